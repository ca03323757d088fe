"""An HTTP server around one package: images in, JSON out.

POST /predict       one image or several, see :mod:`hallmark.serving.bodies`
GET  /health        {"status": "ok"} once the model answers
GET  /metadata      name, version, digest, classes and input of the model, and the limits
GET  /docs          the API as an offline page; /openapi.json is its schema

Guarded processes decode the images. Requests above a concurrency limit get 503 with Retry-After before their body is
read. If a client disconnects, its work is cancelled.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import socket
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, Response

from hallmark.contracts.errors import MachineError
from hallmark.serving import bodies, connections, schema
from hallmark.serving.access import TOKEN, Access, Gate
from hallmark.serving.pool import REQUEST, Busy, InferencePool
from hallmark.serving.source import Source, resolve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from hallmark.images.guard import Limits

__all__ = ["TOKEN", "Access", "create_app", "serve"]

LIMIT = 32 * 1024 * 1024  # bytes of a request
PER_WORKER = 8  # concurrent requests
CONNECTIONS = 1000
GRACE = 2  # seconds for requests to finish after SIGTERM
RETRY = {"Retry-After": "2"}
PAGE = Path(__file__).parent / "templates" / "docs.html"


def create_app(
    source: Source,
    *,
    limits: Limits,
    access: Access,
    workers: int = 1,
    concurrency: int | None = None,
    limit: int = LIMIT,
) -> FastAPI:
    """The application, with its model loaded and its processes started.

    Requests above ``limit`` bytes get 413; requests beyond ``concurrency`` at a time (default: :data:`PER_WORKER` per
    worker) get 503. Raises MachineError if the processes do not start.
    """
    pool = InferencePool(source, limits, workers)
    pool.start()
    most = concurrency or PER_WORKER * workers
    under_way = 0

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        pool.close()

    app = FastAPI(title="Hallmark", version="1", docs_url=None, redoc_url=None, lifespan=lifespan)
    app.add_middleware(Gate, access=access)
    app.add_middleware(connections.Drained)
    page, policy = _page()

    @app.get("/health", responses=schema.HEALTH)
    async def health() -> dict[str, str]:
        """Whether the model answers."""
        return {"status": "ok"}

    @app.get("/metadata", responses=schema.METADATA)
    async def metadata() -> dict[str, Any]:
        """The model's description, and the limits of a request and of an image."""
        return {
            "name": source.name,
            "version": source.version,
            "digest": source.digest,
            "classes": pool.classifier.classes,
            "input": pool.classifier.description["input"],
            "temperature": source.temperature,
            "limits": {**asdict(limits), "request_bytes": limit, "images": bodies.IMAGES, "requests": most},
        }

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page, headers={"Content-Security-Policy": policy})

    @app.post("/predict", openapi_extra=schema.BODY, responses=schema.ANSWERS)
    async def predict(request: Request) -> Response:
        """The class of each image, and one probability per class."""
        nonlocal under_way
        if under_way >= most:
            raise HTTPException(503, f"the server handles {most} requests at a time; try again", headers=RETRY)
        under_way += 1
        try:
            body = await bodies.read(request, limit)
            answered = await _unless_gone(request, _answers(pool, body))
            if answered is None:
                return Response(status_code=499)  # the client is gone
            if body.single:
                (only,) = answered
                if "error" in only:
                    raise HTTPException(422, only["error"])
                return schema.json_response({**only, "version": source.version})
            return schema.json_response({"answers": answered, "version": source.version})
        except asyncio.CancelledError:  # by the server, after its grace period
            raise HTTPException(503, "the server is shutting down", headers=RETRY) from None
        finally:
            under_way -= 1

    return app


def serve(
    model_uri: str,
    *,
    host: str,
    port: int,
    limits: Limits,
    access: Access,
    workers: int,
    concurrency: int | None = None,
    fallback: Path | None = None,
    ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Serves until interrupted; ``model_uri`` and ``fallback`` as for :func:`hallmark.serving.source.resolve`.

    Calls ``ready`` with a line that names the address. Raises MachineError if the address is in use.
    """
    import uvicorn

    with listen(host, port) as bound:
        source = resolve(model_uri, fallback=fallback)
        app = create_app(source, limits=limits, access=access, workers=workers, concurrency=concurrency)
        config = uvicorn.Config(
            app,
            http=connections.Bounded,
            access_log=False,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=GRACE,
            limit_concurrency=CONNECTIONS,
            ws="none",
        )
        version = "not registered" if source.version is None else f"version {source.version}"
        name = f"[{host}]" if ":" in host else host
        address = f"http://{name}:{bound.getsockname()[1]}"
        ready(f"Serving {source.name} ({version}) on {address}, described at {address}/docs (Ctrl+C stops it)")
        uvicorn.Server(config).run(sockets=[bound])


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 picks a free one. Raises MachineError if the address is in use."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise MachineError(f"{host}:{port} cannot be served ({error})", remedy="give another --host") from error
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
        bound.listen(128)
    except OSError as error:
        bound.close()
        raise MachineError(f"{host}:{port} cannot be served ({error})", remedy="give another --port") from error
    return bound


async def _answers(pool: InferencePool, body: bodies.Body) -> list[dict[str, Any]]:
    """One answer or error per image; as many images at a time as there are workers."""
    until = time.monotonic() + REQUEST
    turns = asyncio.Semaphore(pool.workers)

    async def one(item: bodies.Item) -> dict[str, Any]:
        named = {"name": item.name} if item.name and not body.single else {}
        if item.error:
            return {**named, "error": item.error}
        async with turns:
            try:
                return {**named, **await pool.answer(item.data, until)}
            except ValueError as error:
                return {**named, "error": str(error)}

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(item)) for item in body.items]
    except* Busy:
        raise HTTPException(503, "all processes are busy with other images; try again", headers=RETRY) from None
    except* MachineError as errors:
        raise HTTPException(503, str(errors.exceptions[0]), headers=RETRY) from None
    return [task.result() for task in tasks]


async def _unless_gone(request: Request, work: Any) -> list[dict[str, Any]] | None:
    """The result of ``work``; if the client disconnects first, cancels it and returns None."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    working, waiting = asyncio.ensure_future(work), asyncio.ensure_future(gone())
    try:
        await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        working.cancel()
        waiting.cancel()
        await asyncio.gather(working, waiting, return_exceptions=True)


def _page() -> tuple[str, str]:
    """The page of /docs, and a content security policy that allows only its own script and style."""
    page = PAGE.read_text(encoding="utf-8")
    own = {}
    for tag in ("script", "style"):
        text = page.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
        own[tag] = "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src 'self' data: blob:; connect-src 'self'; script-src '{own['script']}'; "
        f"style-src '{own['style']}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return page, policy
