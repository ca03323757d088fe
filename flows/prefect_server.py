"""Checks the user's Prefect server before Prefect's client, which would fail with a traceback, uses it."""

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
    """Raises MachineError, naming the variable or the profile, if a configured server does not answer as Prefect.

    ``limit``: timeout in seconds (see :func:`hallmark.contracts.servers.seconds`). If Prefect's settings name no
    server, only the database of the one that a run starts is checked.
    """
    configured = os.environ.get(URL)
    if configured:
        _check_server(URL, configured, None, limit, f"correct {URL}, or unset it")
    settings = _settings()
    url = settings.api.url
    if not url:
        _check_database(settings, limit or servers.seconds())
        return
    if configured:
        _check_server(URL, url, settings, limit, f"correct {URL}, or unset it")
    else:
        from prefect.context import get_settings_context

        name = get_settings_context().profile.name
        _check_server(
            f"{URL} of Prefect's profile '{name}'",
            url,
            settings,
            limit,
            f"correct it (`prefect config set {URL}=...`), or unset it (`prefect config unset {URL}`)",
        )


def check_early() -> None:
    """Calls :func:`check` if the user has configured Prefect; otherwise does not import Prefect."""
    if users_own_prefect():
        check()


def _check_server(setting: str, url: str, settings: Settings | None, limit: float | None, otherwise: str) -> None:
    """Sends a request to the server; without ``settings`` checks the URL alone and does not import Prefect."""
    try:
        servers.check_address(url)
        if settings is not None:
            _ask(url.rstrip("/"), settings, limit or servers.seconds())
    except NoAnswer as error:
        raise MachineError(
            f"{setting} is {servers.without_password(url)}: {error}",
            remedy=f"start that server (`prefect server start`), {otherwise}: a run then starts a server of its own",
        ) from error


def _check_database(settings: Settings, limit: float) -> None:
    """Checks that the database of a run's own server opens: with a broken one Prefect restarts its server forever."""
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
                remedy="restore it, or move it away: a new one is created, without the old runs",
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

    def get(path: str) -> Any:
        answer = servers.get(f"{url}/{path}", limit=limit, headers=_headers(settings), verify=_verify(settings))
        try:
            return servers.accepted(answer, kind="Prefect's API, whose address usually ends in /api")
        except NoAnswer as error:
            if answer.status == 200:
                raise NoAnswer("the server there is not Prefect's API, whose address usually ends in /api") from error
            raise

    def check_api() -> None:
        if get("health") is not True:
            raise NoAnswer("the server there is not Prefect's API, or reports that it is unhealthy")
        if url.startswith(settings.cloud.api_url):
            return
        version = get("admin/version")
        if str(version).partition(".")[0] != prefect.__version__.partition(".")[0]:
            raise NoAnswer(f"the server there is Prefect {version}, but {prefect.__version__} is installed here")

    servers.within(limit, check_api)


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
            remedy="correct the environment variable or ~/.prefect/profiles.toml",
        ) from error
