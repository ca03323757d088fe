"""The review page over HTTP, on the loopback interface only.

GET  /            the page: one file, no other requests
GET  /state       suspects, classes, decisions
GET  /neighbours  ?path=: rows of pictures to compare with
GET  /picture     ?path=&side=: a picture within that many pixels
POST /decisions   {path, hash, decision: keep, drop, relabel or null, label, note}
POST /undo        reverts the last change

Another website's page could reach a loopback server through the user's browser. So a request must name a loopback host
(which stops DNS rebinding), have this page's origin if it names one, and send changes as JSON, which a form of another
site cannot. A body above :data:`LIMIT` bytes gets 413.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from markupsafe import Markup
from pydantic import BaseModel, ConfigDict, Field

from hallmark.contracts import hosts
from hallmark.contracts.errors import InputError, MachineError
from hallmark.reporting.templating import environment
from hallmark.reviewing.session import Changed, ReviewSession

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LIMIT = 2**20  # bytes of a body
TEMPLATES = Path(__file__).parent / "templates"


class JSONResponse(Response):
    """JSON in ASCII: messages may quote lone surrogates from a request, which UTF-8 cannot encode."""

    media_type = "application/json"

    def __init__(self, content: Any, status_code: int = 200) -> None:
        super().__init__(json.dumps(content, separators=(",", ":")), status_code)


class Bounded:
    """ASGI middleware: reads the whole body first, and answers 413 if it is above the limit."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body, more = bytearray(), True
        while more and len(body) <= LIMIT:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if len(body) > LIMIT:
            await JSONResponse({"detail": f"the body is above {LIMIT} bytes"}, 413)(scope, receive, send)
            return
        whole: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        await self._app(scope, replay, send)


class Decided(BaseModel):
    """The body of POST /decisions."""

    model_config = ConfigDict(extra="forbid")

    path: str
    hash: str
    decision: Literal["keep", "drop", "relabel"] | None
    label: str = ""
    note: str = Field(default="", max_length=2000)


def create_app(root: Path) -> FastAPI:
    """The application for the workspace ``root``. Raises InputError as :class:`ReviewSession` does."""
    session = ReviewSession(root)
    page, policy = _page()
    app = FastAPI(title="Hallmark: review", docs_url=None, redoc_url=None, openapi_url=None)

    app.add_middleware(Bounded)

    @app.middleware("http")
    async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        refused = _refused(request)
        response = await call_next(request) if not refused else JSONResponse({"detail": refused}, 403)
        response.headers["Content-Security-Policy"] = policy
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    @app.exception_handler(RequestValidationError)
    def malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        # without the input, which may be large or nested too deeply to serialise
        faults = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        return JSONResponse({"detail": "; ".join(faults)}, 422)

    @app.exception_handler(InputError)
    def invalid(_: Request, error: InputError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 422)

    @app.exception_handler(Changed)
    def changed(_: Request, error: Changed) -> JSONResponse:
        return JSONResponse({"detail": f"the content of {error} has changed; reload the page"}, 409)

    @app.exception_handler(KeyError)
    def unknown(_: Request, error: KeyError) -> JSONResponse:
        return JSONResponse({"detail": f"there is no suspect {error}"}, 404)

    @app.get("/")
    def index() -> HTMLResponse:
        return HTMLResponse(page)

    @app.get("/state")
    def state() -> dict[str, Any]:
        return session.state()

    @app.get("/neighbours")
    def neighbours(path: str) -> list[dict[str, Any]]:
        return session.neighbours(path)

    @app.get("/picture")
    def picture(path: str, side: Annotated[int, Query(ge=16, le=2048)] = 768) -> Response:
        encoded = session.picture(path, side)
        if encoded is None:
            raise HTTPException(404, f"'{path}' cannot be decoded")
        kind, data = encoded
        return Response(data, media_type=kind, headers={"Cache-Control": "private, max-age=60"})

    @app.post("/decisions")
    def decide(decided: Decided) -> dict[str, Any]:
        item = session.decide(decided.path, decided.hash, decided.decision, decided.label, decided.note)
        return {"item": item, "undoable": session.journal.undoable}

    @app.post("/undo")
    def undo(request: Request) -> dict[str, Any]:
        path = session.journal.undo()
        return {"path": path, "undoable": session.journal.undoable}

    return app


def listen(port: int) -> socket.socket:
    """A listening socket on 127.0.0.1; port 0 picks a free one. Raises MachineError if the port is in use."""
    import socket

    # bound here, not by uvicorn, so that the reported address is the one that answers
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise MachineError(f"port {port} cannot be used ({error.strerror})", remedy="give another --port") from error
    return listener


def serve(root: Path, *, port: int, ready: Callable[[str], None]) -> None:
    """Serves until interrupted; calls ``ready`` with the address. Raises InputError and MachineError."""
    import uvicorn

    app = create_app(root)
    with listen(port) as listener:
        ready(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        uvicorn.Server(uvicorn.Config(app, access_log=False, log_level="warning")).run(sockets=[listener])


def _refused(request: Request) -> str:
    """The reason to refuse a request that is not from this page; empty to allow it."""
    host = request.headers.get("host", "")
    name = hosts.split(host)
    if name is None or name[0] not in hosts.LOOPBACK or len(request.headers.getlist("host")) != 1:
        return f"the host '{host}' is not this machine"
    if any(not hosts.same_origin(origin, host) for origin in request.headers.getlist("origin")):
        return "the request is from a page of another origin"
    # any site may link to the page itself
    if request.scope["path"] != "/" and request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return "the request is from another page"
    if request.method == "POST" and request.headers.get("content-type", "").split(";")[0] != "application/json":
        return "a change must be sent as JSON"
    return ""


def _page() -> tuple[str, str]:
    """The page, and a content security policy that allows only its own script and style."""
    script = (TEMPLATES / "script.js").read_text(encoding="utf-8")
    templates = environment(TEMPLATES)
    page = templates.get_template("page.html").render(script=Markup(script))  # noqa: S704  our own file
    policy = "; ".join(
        [
            "default-src 'none'",
            "img-src 'self' data:",
            "connect-src 'self'",
            f"script-src '{_digest(script)}'",
            f"style-src '{_digest(str(templates.globals['style']))}'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )
    return page, policy


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
