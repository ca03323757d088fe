"""Access control: a request needs an allowed Host, no foreign origin and, if one is set, the bearer token.

``/health``, ``/docs`` and ``/openapi.json`` need no token: they reveal nothing about the model.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

from hallmark.contracts import hosts
from hallmark.contracts.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN = "HALLMARK_TOKEN"  # noqa: S105  the name of the variable
OPEN = ("/health", "/docs", "/openapi.json")
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)


@dataclass(frozen=True, kw_only=True)
class Access:
    """Allowed hosts as (name, port), where an empty port allows any, and the token (empty: none)."""

    hosts: frozenset[tuple[str, str]]
    token: str = ""

    @classmethod
    def of(cls, host: str, *, token: str, allowed: Sequence[str]) -> Access:
        """The access rules of a server that listens on the address ``host``.

        ``allowed`` adds hosts to that address and the loopback names. Raises InputError for an address other than
        loopback without a token, a token that no header can carry, and a malformed host.
        """
        if token and not re.fullmatch(r"[A-Za-z0-9._~+/=-]+", token):
            raise InputError(
                f"{TOKEN} has characters that a bearer token cannot have",
                remedy="use letters, digits and -._~+/=; `openssl rand -hex 32` generates one",
            )
        if not token and not loopback(host):
            raise InputError(
                f"--host {host} can be reached from other machines, and no token is set",
                remedy=f"set {TOKEN} (`openssl rand -hex 32` generates one), or leave --host at 127.0.0.1",
            )
        names = [(name, "") for name in hosts.LOOPBACK]
        if not _wildcard(host):
            names.append((host.lower(), ""))
        for name in allowed:
            called = hosts.split(f"[{name}]" if name.count(":") > 1 and not name.startswith("[") else name)
            if called is None:
                raise InputError(f"--allowed-host is '{name}'", remedy="give a name or address, with an optional :port")
            names.append(called)
        return cls(hosts=frozenset(names), token=token)

    def refusal(self, method: str, path: str, headers: Sequence[tuple[bytes, bytes]]) -> tuple[int, str] | None:
        """Status and detail of the error response to a refused request; None if the request is allowed."""

        def values(name: bytes) -> list[str]:
            return [value.decode("latin-1") for key, value in headers if key == name]

        called = values(b"host")
        host = hosts.split(called[0]) if len(called) == 1 else None
        if host is None:
            return 400, "the request needs one valid Host header"
        if host not in self.hosts and (host[0], "") not in self.hosts:
            return 403, "the Host of the request is not allowed; `hallmark serve --allowed-host` adds one"
        if any(not hosts.same_origin(origin, called[0]) for origin in values(b"origin")):
            return 403, "the request is from a page of another origin"
        opened = method == "GET" and path in OPEN
        if not opened and any(site not in ("same-origin", "none") for site in values(b"sec-fetch-site")):
            return 403, "the request is from a page of another site"
        if self.token and not opened and not self._authorized(values(b"authorization")):
            return 401, f"the request needs the header Authorization: Bearer, with the server's {TOKEN}"
        return None

    def _authorized(self, values: Sequence[str]) -> bool:
        scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
        equal = hmac.compare_digest(token.strip().encode("latin-1"), self.token.encode("latin-1"))
        return equal and scheme.lower() == "bearer"


class Gate:
    """ASGI middleware: refuses requests by :class:`Access` before reading the body, and adds :data:`HEADERS`."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def send_hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name for name, _ in message.get("headers", ())}
                message["headers"] = [*message.get("headers", ()), *(pair for pair in HEADERS if pair[0] not in names)]
            await send(message)

        refusal = self._access.refusal(scope["method"], scope["path"], scope["headers"])
        if refusal is None:
            await self._app(scope, receive, send_hardened)
            return
        status, detail = refusal
        more = {"WWW-Authenticate": 'Bearer realm="hallmark"'} if status == 401 else {}
        # uvicorn discards the body as it arrives; closing the connection would lose the answer for some clients
        await JSONResponse({"detail": detail}, status, more)(scope, receive, send_hardened)


def loopback(host: str) -> bool:
    """Whether a host resolves to loopback addresses only. Raises InputError if it does not resolve."""
    if _wildcard(host):
        return False
    try:
        addresses = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise InputError(f"--host '{host}' is not an address of this machine ({error})", remedy="give one") from error
    return all(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]).is_loopback for entry in addresses)


def _wildcard(host: str) -> bool:
    return host in ("", "0.0.0.0", "::")  # noqa: S104  compared with, not listened on
