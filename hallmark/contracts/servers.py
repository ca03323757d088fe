"""Checks that a server answers and is of the expected kind: one request, one deadline for the whole exchange.

The MLflow and Prefect clients retry a dead server for minutes, and a socket timeout bounds each read only: a server
that sends a byte a second is read forever. Here a thread sends the request and the caller waits until the deadline.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from hallmark.contracts.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


SECONDS = "HALLMARK_SERVER_SECONDS"
LIMIT = 1 << 20  # bytes of an answer
T = TypeVar("T")


class NoAnswer(Exception):
    """A server gave no usable answer; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The complete answer of an HTTP server."""

    status: int
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises NoAnswer if it is not JSON, as from a server of another kind."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise NoAnswer(f"a server answers there with status {self.status}, but with no JSON") from None


def seconds() -> float:
    """How long to wait for a server's answer: HALLMARK_SERVER_SECONDS, else 5."""
    text = os.environ.get(SECONDS, "5")
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 3600:
        raise InputError(f"{SECONDS} is '{text}'", remedy="give a number of seconds, such as 5")
    return value


def within(limit: float, work: Callable[[], T]) -> T:
    """What ``work`` returns or raises. Raises NoAnswer if it takes longer than ``limit`` seconds.

    The work continues in a daemon thread, which blocks neither the caller nor the end of the process.
    """
    result: list[T] = []
    errors: list[BaseException] = []

    def do() -> None:
        try:
            result.append(work())
        except BaseException as error:  # raised below, in the caller's thread
            errors.append(error)

    worker = threading.Thread(target=do, daemon=True, name="hallmark-server")
    worker.start()
    worker.join(limit)
    if worker.is_alive():
        raise NoAnswer(f"no answer within {limit:g} seconds ({SECONDS} sets how long to wait)")
    if errors:
        raise errors[0]
    return result[0]


def check_address(url: str) -> None:
    """Raises NoAnswer if the text is not the address of an HTTP server."""
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise NoAnswer(f"that is no address ({error})") from None
    if parts.scheme not in ("http", "https") or not host or port == 0 or any(sign.isspace() for sign in url):
        raise NoAnswer("that is no address of a server, such as http://localhost:5000")


def get(
    url: str,
    *,
    limit: float,
    headers: Mapping[str, str] | None = None,
    auth: tuple[str, str] | None = None,
    verify: bool | str = True,
    cert: str | None = None,
) -> Answer:
    """The answer to an HTTP GET; follows redirects and uses the environment's proxies.

    ``limit`` is in seconds, from the name look-up to the last byte. Raises NoAnswer.
    """
    check_address(url)
    import httpx

    def ask() -> Answer:
        settings: dict[str, Any] = {"headers": headers, "auth": auth, "verify": _context(verify, cert)}
        with (
            httpx.Client(timeout=limit, follow_redirects=True, **settings) as client,
            client.stream("GET", url) as response,
        ):
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > LIMIT:
                    raise NoAnswer(f"a server answers there with more than {LIMIT} bytes")
            return Answer(status=response.status_code, body=bytes(body))

    try:
        return within(limit, ask)
    except httpx.TimeoutException:
        raise NoAnswer(f"no answer within {limit:g} seconds ({SECONDS} sets how long to wait)") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, ImportError) as error:
        raise NoAnswer(_reason(error)) from error


def accepted(answer: Answer, *, kind: str) -> Any:
    """The JSON of an answer with status 200. For any other status raises NoAnswer, which says what it means."""
    if answer.status in (401, 403, 407):
        raise NoAnswer(f"the server there refuses us (status {answer.status}): it asks for other credentials")
    if answer.status >= 500:
        raise NoAnswer(f"the server there is not well (status {answer.status})")
    if answer.status != 200:
        raise NoAnswer(f"the server there is not {kind} (status {answer.status})")
    return answer.json()


def open_database(uri: str, *, limit: float) -> None:
    """Raises NoAnswer if the database of an SQLAlchemy address refuses the connection."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import SQLAlchemyError

    def ask() -> None:
        engine = create_engine(uri)
        try:
            with engine.connect() as connection:
                connection.execute(text("SELECT 1"))
        finally:
            engine.dispose()

    try:
        within(limit, ask)
    except ImportError as error:
        raise NoAnswer(
            f"its driver is not installed ({error}); an address may name one, such as postgresql+pg8000://"
        ) from error
    except (SQLAlchemyError, OSError, ValueError) as error:
        words = str(getattr(error, "orig", None) or error).strip().splitlines()
        raise NoAnswer(f"the database does not open ({words[0] if words else type(error).__name__})") from error


def without_password(url: str) -> str:
    """An address safe to show: everything before the last @ is removed, since a password may hold any character.

    >>> without_password("postgresql://me:secret@db/mlflow")
    'postgresql://…@db/mlflow'
    """
    head, separator, tail = url.partition("://")
    return f"{head}{separator}…@{tail.rpartition('@')[2]}" if "@" in tail else url


def _context(verify: bool | str, cert: str | None) -> Any:
    """The certificates for httpx: those that verify the server, and our own."""
    if verify is True and cert is None:
        return True
    import ssl

    context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
    if verify is False:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if cert is not None:
        context.load_cert_chain(cert)
    return context


def _reason(error: BaseException) -> str:
    """Why a connection failed, in a few words from the innermost cause."""
    cause: BaseException = error
    while (cause.__cause__ or cause.__context__) is not None:
        cause = cause.__cause__ or cause.__context__ or cause
    words = (cause.strerror or str(cause)) if isinstance(cause, OSError) else str(cause) or str(error)
    return f"nothing answers there ({words.strip().splitlines()[0] if words.strip() else type(error).__name__})"
