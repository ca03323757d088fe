"""Hallmark: from a folder of labelled images to a classifier its owner can vouch for.

    import hallmark

    workspace = hallmark.init("my-project", source="photos")
    run = hallmark.run(workspace=workspace)  # in a notebook a run shows its figures, run.show() the report
    model = hallmark.load("models:/hallmark@champion", workspace=workspace)
    model.predict(["new.png", "others/"])

Importing the package imports nothing else; each function imports what it needs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from hallmark.reporting.run_results import Run
    from hallmark.serving.loading import Model

__all__ = ["Model", "Run", "__version__", "init", "load", "run"]

# the attributes that __getattr__ imports
_LATE = {"Run": "hallmark.reporting.run_results", "Model": "hallmark.serving.loading"}


def init(folder: str | os.PathLike[str], source: str | os.PathLike[str] | None = None) -> Path:
    """Creates a workspace in a folder, new or existing, and returns its path; as ``hallmark init``.

    Args:
        folder: The workspace. None of the files that are written may exist.
        source: The images: a folder of class folders, an archive or a manifest. None: the built-in digits, which the
            first run creates.

    Raises InputError if a file would be overwritten or the source is unusable, MachineError if git is missing.
    """
    path: Path = _above("init")(folder, source)
    return path


def run(
    source: str | os.PathLike[str] | None = None,
    overrides: Mapping[str, Any] | Sequence[str] = (),
    *,
    workspace: str | os.PathLike[str] = ".",
) -> Run:
    """Runs the pipeline in a workspace and returns its results; as ``hallmark run``, in a process of its own.

    Stages that are up to date are skipped. The progress is printed. Ctrl+C, or a notebook's interrupt, stops the run,
    which the next call resumes.

    Args:
        source: The images from now on (``ingest.source``); None: those that params.yaml names.
        overrides: Changes to params.yaml, which are checked and written first: ``{"train.lr": 1e-3, "model": "vit"}``
            or ``["train.lr=1e-3", "model=vit"]``.
        workspace: Its folder.

    Raises InputError for wrong input or params, GateRefused if a gate refuses the data set, MachineError if the machine
    is in the way. A model that the promotion gate refuses is a result: ``run.decision`` is ``refused``.
    """
    results: Run = _above("run")(source, overrides, workspace)
    return results


def load(uri: str, *, workspace: str | os.PathLike[str] = ".") -> Model:
    """Loads a model to classify images with.

    Args:
        uri: ``models:/<name>@<alias>``, ``models:/<name>/<version>``, or a folder that the train stage wrote.
        workspace: The folder whose registry (mlflow.db) has the model, unless ``MLFLOW_TRACKING_URI`` names a server.

    Raises InputError if there is no such model, MachineError if its files differ from those registered.
    """
    from hallmark.serving.loading import load as load_model

    return load_model(uri, workspace=Path(workspace))


def _above(name: str) -> Any:
    """A function of a layer above this package, which registers it as an entry point."""
    from importlib.metadata import entry_points

    found = list(entry_points(group="hallmark.api", name=name))
    if not found:
        from hallmark.contracts.errors import MachineError

        raise MachineError(f"the installation of Hallmark lacks its function {name}", remedy="install Hallmark again")
    return found[0].load()


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        from hallmark.contracts.names import DISTRIBUTION

        return version(DISTRIBUTION)
    if name not in _LATE:
        raise AttributeError(f"module 'hallmark' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_LATE[name]), name)
