"""Does the user's Prefect server answer? Asked before Prefect's client, which would end in a traceback."""

from __future__ import annotations

import base64
import os
import sqlite3
import tomllib
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.environment import users_own_prefect
from hallmark.contracts import servers
from hallmark.contracts.errors import MachineError
from hallmark.contracts.servers import NoAnswer

if TYPE_CHECKING:
    from prefect.settings import Settings

URL, DATABASE = "PREFECT_API_URL", "PREFECT_SERVER_DATABASE_CONNECTION_URL"


def check(*, limit: float | None = None) -> None:
    """Raises MachineError, naming the variable or the profile, where a server is named and does not answer as Prefect.

    ``limit``: seconds it has to answer (see :func:`hallmark.contracts.servers.seconds`). Where Prefect's settings name
    no server there is nothing to ask: a run starts one of its own.
    """
    configured = os.environ.get(URL)
    if configured:
        _asked(URL, configured, None, limit, f"correct {URL}, or unset it")
    settings = _settings()
    url = settings.api.url
    if not url:
        _check_database(settings, limit or servers.seconds())
        return
    if configured:
        _asked(URL, url, settings, limit, f"correct {URL}, or unset it")
    else:
        from prefect.context import get_settings_context

        name = get_settings_context().profile.name
        _asked(
            f"{URL} of Prefect's profile '{name}'",
            url,
            settings,
            limit,
            f"correct it (`prefect config set {URL}=...`), or set it back (`prefect config unset {URL}`)",
        )


def check_early() -> None:
    """As :func:`check`, where the user has a Prefect of their own; else without importing Prefect."""
    if users_own_prefect():
        check()


def _asked(what: str, url: str, settings: Settings | None, limit: float | None, otherwise: str) -> None:
    """Asks the server; without settings looks at the address alone, which Prefect need not be imported for."""
    try:
        servers.check_address(url)
        if settings is not None:
            _ask(url.rstrip("/"), settings, limit or servers.seconds())
    except NoAnswer as error:
        raise MachineError(
            f"{what} is {servers.without_password(url)}: {error}",
            remedy=f"start that server (`prefect server start`), {otherwise}: a run then starts a server of its own",
        ) from error


def _check_database(settings: Settings, limit: float) -> None:
    """The database of the server that a run starts can be opened: a broken one makes Prefect start it without end."""
    secret = settings.server.database.connection_url
    connection_url = secret.get_secret_value() if secret is not None else ""
    if not connection_url or connection_url.startswith("sqlite"):
        path = (
            Path(connection_url.partition(":///")[2].partition("?")[0])
            if connection_url
            else settings.home / "prefect.db"
        )
        if not path.is_file():
            return
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.Error as error:
            raise MachineError(
                f"Prefect's database {path} cannot be used ({error})",
                remedy="restore it, or move it away: a new one is made, without the old runs",
            ) from error
        return
    import asyncio

    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.ext.asyncio import create_async_engine

    async def ask() -> None:
        engine = create_async_engine(connection_url)
        try:
            async with engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
        finally:
            await engine.dispose()

    try:
        servers.within(limit, lambda: asyncio.run(ask()))
    except (NoAnswer, SQLAlchemyError, OSError, ImportError, ValueError) as error:
        raise MachineError(
            f"{DATABASE} is {servers.without_password(connection_url)}: the database does not open "
            f"({str(error).strip().splitlines()[0]})",
            remedy=f"start that database, correct {DATABASE}, or unset it to use a file of the workspace",
        ) from error


def _ask(url: str, settings: Settings, limit: float) -> None:
    import prefect

    def question(path: str) -> Any:
        answer = servers.get(f"{url}/{path}", limit=limit, headers=_headers(settings), verify=_verify(settings))
        try:
            return servers.accepted(answer, kind="Prefect's API, whose address usually ends in /api")
        except NoAnswer as error:
            if answer.status == 200:
                raise NoAnswer("the server there is not Prefect's API, whose address usually ends in /api") from error
            raise

    def questions() -> None:
        if question("health") is not True:
            raise NoAnswer("the server there is not Prefect's API, or says that it is not well")
        if url.startswith(settings.cloud.api_url):
            return
        version = question("admin/version")
        if str(version).partition(".")[0] != prefect.__version__.partition(".")[0]:
            raise NoAnswer(f"the server there is Prefect {version}, and {prefect.__version__} is installed here")

    servers.within(limit, questions)


def _headers(settings: Settings) -> dict[str, str]:
    headers = dict(settings.client.custom_headers)
    if settings.api.key is not None:
        headers["Authorization"] = f"Bearer {settings.api.key.get_secret_value()}"
    elif settings.api.auth_string is not None:
        encoded = base64.b64encode(settings.api.auth_string.get_secret_value().encode()).decode()
        headers["Authorization"] = f"Basic {encoded}"
    return headers


def _verify(settings: Settings) -> bool | str:
    if settings.api.tls_insecure_skip_verify:
        return False
    return settings.api.ssl_cert_file or True


def _settings() -> Settings:
    from pydantic import ValidationError

    try:
        from prefect.settings import get_current_settings

        return get_current_settings()
    except (ValidationError, tomllib.TOMLDecodeError) as error:
        raise MachineError(
            f"Prefect's settings cannot be read ({' '.join(str(error).split())[:300]})",
            remedy="correct the variable of the environment, or ~/.prefect/profiles.toml",
        ) from error
