"""The database of a study."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import optuna

from hallmark.contracts import servers
from hallmark.contracts.errors import MachineError
from hallmark.tracking import address

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def default_storage(state: Path) -> str:
    """The database of a workspace whose private folder is ``state``."""
    return address.sqlite_uri((state / "optuna.db").resolve())


def opened(storage: str, name: str, directions: Sequence[str]) -> optuna.Study:
    """The study of that name, created if missing. Raises MachineError if the database cannot be reached."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        if not storage.startswith("sqlite"):
            servers.open_database(storage, limit=servers.seconds())
        connection: Any = {"connect_args": {"timeout": 60}} if storage.startswith("sqlite") else {"pool_pre_ping": True}
        engine = optuna.storages.RDBStorage(storage, engine_kwargs=connection)
        return optuna.create_study(
            storage=engine,
            study_name=name,
            directions=list(directions),  # type: ignore[arg-type]
            load_if_exists=True,
        )
    except (SQLAlchemyError, ImportError, RuntimeError, servers.NoAnswer) as error:
        raise MachineError(
            f"--storage {servers.without_password(storage)} does not open ({str(error).splitlines()[0]})",
            remedy="give the URL of a database that answers, such as postgresql+pg8000://user:password@host/name, with "
            "its driver installed (hallmark-ml[postgresql] has that one)",
        ) from error
