"""Checks that the tracking store and the registry answer, before MLflow's client would retry for minutes.

The check takes microseconds for a SQLite file and one request for a server.
"""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hallmark.contracts import servers
from hallmark.contracts.errors import MachineError
from hallmark.contracts.servers import NoAnswer
from hallmark.tracking import address

if TYPE_CHECKING:
    from collections.abc import Iterator

TRACKING, REGISTRY = "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"
MEMORY = 10.0  # seconds for which a successful check is cached
_NO_ANSWER = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED")  # MLflow's codes
_SQL = ("postgresql", "mysql", "mssql")
_EXTERNAL = ("databricks", "databricks-uc", "uc")  # MLflow's clients for these have their own settings
_ANSWERED: dict[str, float] = {}


def check(*, writes: bool = True, limit: float | None = None) -> None:
    """Raises MachineError, naming the variable, if the tracking store or the registry cannot be reached.

    ``limit``: timeout of each in seconds (see :func:`hallmark.contracts.servers.seconds`). ``writes``: whether a SQLite
    store must be writable.
    """
    for variable, uri in _stores():
        if time.monotonic() - _ANSWERED.get(uri, -MEMORY) < MEMORY:
            continue
        try:
            _ask(uri, registry=variable == REGISTRY, writes=writes, limit=limit or servers.seconds())
        except NoAnswer as error:
            raise MachineError(_words(variable, uri, error), remedy=_remedy(variable, uri)) from error
        if address.database(uri) is None:
            _ANSWERED[uri] = time.monotonic()


def fault(uri: str) -> str | None:
    """Why the server at ``uri`` cannot be reached now; None if it can, or if ``uri`` is no web address."""
    if not uri.startswith(("http://", "https://")):
        return None
    try:
        _ask_server(uri, registry=uri != address.tracking_uri(), limit=servers.seconds())
    except NoAnswer as error:
        _ANSWERED.pop(uri, None)
        return str(error)
    _ANSWERED[uri] = time.monotonic()
    return None


def away(uri: str, why: str) -> MachineError:
    """The error for a store that becomes unreachable during a run."""
    variable = TRACKING if uri == address.tracking_uri() else REGISTRY
    return MachineError(
        f"{variable} is {servers.without_password(uri)}: {why}",
        remedy="start that server and run again: the training is kept, and the records that wait in "
        ".hallmark/tracking are then delivered",
    )


@contextmanager
def answering() -> Iterator[None]:
    """Wraps calls of the store and the registry; raises MachineError, naming the variable, if one does not answer."""
    uris = dict.fromkeys((address.tracking_uri(), address.registry_uri()))
    for uri in uris:
        if (why := fault(uri)) is not None:
            raise away(uri, why)
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    try:
        yield
    except (MlflowException, RequestException) as error:
        for uri in uris:
            why = fault(uri)
            code = getattr(error, "error_code", _NO_ANSWER[0])
            if why is None and ((uri.startswith("http") and code in _NO_ANSWER) or _is_external(uri)):
                why = str(error).splitlines()[0]
            if why is not None:
                raise away(uri, why) from error
        raise


def _is_external(uri: str) -> bool:
    return uri.partition("://")[0] in _EXTERNAL


def _stores() -> Iterator[tuple[str, str]]:
    tracking, registry = address.tracking_uri(), address.registry_uri()
    yield TRACKING, tracking
    if registry != tracking:
        yield REGISTRY, registry


def _ask(uri: str, *, registry: bool, writes: bool, limit: float) -> None:
    scheme = uri.partition(":")[0].partition("+")[0] if "://" in uri else uri
    path = address.database(uri)
    if path is not None:
        _ask_file(path, writes=writes)
    elif scheme == "sqlite":
        if not uri.startswith(("sqlite:///", "sqlite+")) or uri == "sqlite:///":
            raise NoAnswer("that is not a SQLite file: the path follows three slashes, as in sqlite:///mlflow.db")
    elif scheme in ("http", "https"):
        _ask_server(uri, registry=registry, limit=limit)
    elif scheme in _SQL:
        servers.open_database(uri, limit=limit)
    elif scheme not in _EXTERNAL and scheme not in _plugins():
        raise NoAnswer("MLflow cannot store runs there: that is neither an http address nor a database")


def _ask_file(path: Path, *, writes: bool) -> None:
    """Checks that an existing SQLite file can be opened and that a new one can be created in its folder."""
    try:
        if path.is_dir():
            raise NoAnswer("that is a folder")
        if path.exists():
            with path.open("r+b" if writes else "rb"):
                pass
        folder = path.parent
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        if writes or not path.exists():
            with tempfile.TemporaryFile(dir=folder):  # SQLite writes a journal next to the database
                pass
    except OSError as error:
        raise NoAnswer(f"it cannot be {'opened' if path.is_file() else 'created'} ({error.strerror})") from error


def _ask_server(uri: str, *, registry: bool, limit: float) -> None:
    servers.check_address(uri)
    head, _, tail = uri.partition("://")
    authority, slash, path = tail.partition("/")
    in_address = authority.rpartition("@")[0]
    url = f"{head}://{authority.rpartition('@')[2]}{slash}{path}".rstrip("/")
    token, name = os.environ.get("MLFLOW_TRACKING_TOKEN"), os.environ.get("MLFLOW_TRACKING_USERNAME")
    auth: tuple[str, str] | None = None
    if name is not None:
        auth = (name, os.environ.get("MLFLOW_TRACKING_PASSWORD", ""))
    elif in_address:
        user, _, password = in_address.partition(":")
        auth = (user, password)
    verify: bool | str = (
        os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or os.environ.get("REQUESTS_CA_BUNDLE") or True
    )
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        verify = False
    until = time.monotonic() + limit

    def get(path: str, limit: float) -> servers.Answer:
        return servers.get(
            f"{url}/api/2.0/mlflow/{path}",
            limit=limit,
            headers={"Authorization": f"Bearer {token}"} if token and auth is None else None,
            auth=auth,
            verify=verify,
            cert=os.environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH"),
        )

    resource = "registered_models" if registry else "experiments"
    answer = get(f"{resource.replace('_', '-')}/search?max_results=1", limit)
    if os.environ.get("MLFLOW_TRACKING_AUTH") and answer.status in (401, 403):
        return  # an MLflow plugin signs its requests; this one is unsigned
    content = servers.accepted(answer, kind="one of MLflow")
    if not isinstance(content, dict) or (resource in content and not _is_list(content[resource])):
        raise NoAnswer("the server there is not one of MLflow")
    if resource in content:
        return
    rest = max(0.1, until - time.monotonic())
    if not _refuses(get(f"{resource.replace('_', '-')}/get", rest)):
        raise NoAnswer("the server there is not one of MLflow")


def _is_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) and "name" in each for each in value)


def _refuses(answer: servers.Answer) -> bool:
    """Whether a request without a name is rejected with MLflow's error code.

    A server without experiments answers ``{}``, and so does one that answers every request with it.
    """
    content = answer.json()
    return answer.status >= 400 and isinstance(content, dict) and "error_code" in content


def _plugins() -> set[str]:
    """URI schemes that other packages add to MLflow."""
    from importlib.metadata import entry_points

    return {entry.name for entry in entry_points(group="mlflow.tracking_store")}


def _words(variable: str, uri: str, error: NoAnswer) -> str:
    safe = servers.without_password(uri)
    configured = os.environ.get(variable)
    return f"{variable} is {safe}: {error}" if configured else f"the MLflow store {safe} cannot be used: {error}"


def _remedy(variable: str, uri: str) -> str:
    if not os.environ.get(variable):
        return f"give access to {Path(address.DATABASE)} and its folder, or name another store in {variable}"
    default = "the file mlflow.db of the workspace" if variable == TRACKING else "the tracking store"
    if address.database(uri) is not None or uri.startswith("sqlite"):
        return f"give a path that can be written, or unset {variable} to use {default}"
    return f"start that server, correct {variable}, or unset it to use {default}"
