"""A small HTTP server around one package: raw image bytes in, JSON out.

POST /predict    the bytes of one image, or a multipart form with one file
GET  /health     {"status": "ok"} once the model answers
GET  /metadata   name, version, digest, classes and input of the model
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, HTTPException, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from hallmark.contracts.errors import MachineError
from hallmark.serving.classifier import Classifier
from hallmark.serving.source import Source, resolve

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import Message

LIMIT = 32 * 1024 * 1024  # bytes of a request


def create_app(source: Source, *, limit: int = LIMIT) -> FastAPI:
    """The application; the model is loaded before it answers. Requests above ``limit`` bytes get 413."""
    classifier = Classifier(source.folder)
    # the pages of the interactive documentation fetch scripts from elsewhere; the schema itself stays
    app = FastAPI(title=f"Hallmark: {source.name}", docs_url=None, redoc_url=None)

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/metadata")
    def metadata() -> dict[str, Any]:
        return {
            "name": source.name,
            "version": source.version,
            "digest": source.digest,
            "classes": classifier.classes,
            "input": classifier.description["input"],
        }

    @app.post("/predict")
    async def predict(request: Request) -> dict[str, Any]:
        data = await _image(request, limit)
        try:
            found = await run_in_threadpool(classifier.probabilities, [data])
        except ValueError as error:
            raise HTTPException(422, str(error).removeprefix("image 0 ")) from error
        probabilities = {name: float(value) for name, value in zip(classifier.classes, found[0], strict=True)}
        return {"label": classifier.labels(found)[0], "probabilities": probabilities, "version": source.version}

    return app


def serve(model_uri: str, *, host: str, port: int, fallback: Path | None = None) -> None:
    """Serves until interrupted; ``model_uri`` and ``fallback`` as for :func:`hallmark.serving.source.resolve`.

    Raises MachineError where the address is taken.
    """
    import socket

    import uvicorn

    source = resolve(model_uri, fallback=fallback)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise MachineError(f"{host}:{port} cannot be served ({error})", remedy="give another --port") from error
    uvicorn.run(create_app(source), host=host, port=port, access_log=False)


async def _image(request: Request, limit: int) -> bytes:
    """The bytes of the image of a request."""
    body = await _body(request, limit)
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        if not body:
            raise HTTPException(422, "the request has no body; send the bytes of an image")
        return body

    async def replay() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async with Request(request.scope, replay).form(max_files=1, max_fields=8) as form:
        for value in form.values():
            if isinstance(value, UploadFile):
                return await value.read()
    raise HTTPException(422, "the form has no file; send one image")


async def _body(request: Request, limit: int) -> bytes:
    """The body, never more of it in memory than the limit."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise HTTPException(413, f"the request is above {limit} bytes")
    return bytes(body)
