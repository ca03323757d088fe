"""Connection limits: idle clients are disconnected, and refused ones still receive their answer.

:class:`Bounded`: uvicorn limits the pause between two requests, but not the time a request line and headers take. A
client that sends nothing, or byte by byte, would hold its connection forever; many such clients exhaust the server.

:class:`Drained`: if a request is refused before its body is read (401, 403, 413, 503), the rest of the body is read
and discarded. Closing a connection with unread bytes resets it, and the client sees a broken pipe, not the answer.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECONDS = 30.0  # for the line and headers of a request
DRAIN = 10.0  # seconds to discard an unread body
DRAIN_BYTES = 128 * 1024 * 1024


class Bounded(AutoHTTPProtocol):  # type: ignore[misc, valid-type]  # chosen at run time
    """uvicorn's protocol; a request line and headers must arrive within :data:`SECONDS`."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop()
        elif self._late is None:  # the start of another request
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._late = self.loop.call_later(SECONDS, self.transport.close)

    def _stop(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class Drained:
    """ASGI middleware: completes a response after its request body has arrived, or after :data:`DRAIN` seconds."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        more = True

        async def received() -> Message:
            nonlocal more
            message = await receive()
            more = message["type"] == "http.request" and message.get("more_body", False)
            return message

        async def drain() -> None:
            length = 0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN):
                    while more and length < DRAIN_BYTES:
                        length += len((await received()).get("body", b""))

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body", False) and more:
                await send({**message, "more_body": True})
                message = {"type": "http.response.body"}
                await drain()
            await send(message)

        await self.app(scope, received, sent)
