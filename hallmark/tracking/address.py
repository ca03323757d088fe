"""URIs of the tracking store and the model registry, without importing MLflow.

Both default to ``mlflow.db`` in the workspace, MLflow's own default; ``MLFLOW_TRACKING_URI`` and
``MLFLOW_REGISTRY_URI`` override it.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote

DATABASE = Path("mlflow.db")
ARTIFACTS = Path("mlartifacts")
_SQLITE = "sqlite:///"


def tracking_uri() -> str:
    """The tracking store; a SQLite path is made absolute, so that changing directory does not change the store."""
    return _absolute(os.environ.get("MLFLOW_TRACKING_URI") or f"{_SQLITE}{DATABASE}")


def registry_uri() -> str:
    """The model registry: MLFLOW_REGISTRY_URI, else the tracking store."""
    uri = os.environ.get("MLFLOW_REGISTRY_URI")
    return _absolute(uri) if uri else tracking_uri()


def database(uri: str) -> Path | None:
    """The file of a SQLite store, None for other stores."""
    name = uri.removeprefix(_SQLITE).split("?")[0]
    return Path(unquote(name)) if uri.startswith(_SQLITE) and name and name != ":memory:" else None


def artifact_location() -> str | None:
    """The artifact folder of new experiments as a file URI; None where a tracking server decides."""
    path = database(tracking_uri())
    return (path.parent / ARTIFACTS).as_uri() if path is not None else None


def sqlite_uri(path: Path) -> str:
    """The store in a SQLite file. SQLAlchemy decodes %-signs; MLflow makes parent folders of the name as written, so
    that only what has to be is encoded."""
    encoded = str(path.absolute()).replace("%", "%25").replace("?", "%3F")
    return f"{_SQLITE}{encoded}"


def _absolute(uri: str) -> str:
    path = database(uri)
    return sqlite_uri(path) if path is not None and "?" not in uri else uri
