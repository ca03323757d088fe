"""The images of a request body: raw bytes, a multipart form of files, or JSON with base64.

=========================  ======================================================================================
multipart/form-data        each file is an image; one file is a single image
application/json           ``{"image": "<base64>"}``, or ``{"images": ["<base64>", ...]}``; a data: URL works too
any other                  the body is one image
=========================  ======================================================================================

Statuses: 413 for too many bytes or more than :data:`IMAGES` images, 408 for a body that takes longer than
:data:`SECONDS` to arrive, 422 for a body without an image, 400 for one that does not match its content type.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastapi import HTTPException
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.requests import Request

if TYPE_CHECKING:
    from starlette.types import Message

IMAGES = 256
SECONDS = 60.0
_FIELDS = 16  # of a form, besides files


@dataclass(frozen=True, kw_only=True)
class Item:
    """One image of a request, or the error in its place; ``name`` is the file name in a form."""

    data: bytes = b""
    name: str = ""
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Body:
    """The images of a request; ``single``: the response is one answer, not a list."""

    items: list[Item]
    single: bool


async def read(request: Request, limit: int) -> Body:
    """The images of a request. Raises HTTPException, and Starlette's ClientDisconnect."""
    try:
        async with asyncio.timeout(SECONDS):
            body = await _bytes(request, limit)
    except TimeoutError:
        raise HTTPException(408, f"the request took longer than {SECONDS:g} seconds") from None
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _form(request, body)
    if kind == "application/json":
        return await asyncio.to_thread(parsed, body)
    if not body:
        raise HTTPException(422, "the request has no body; send the bytes of an image")
    return Body(items=[Item(data=body)], single=True)


def parsed(body: bytes) -> Body:
    """The images of a JSON body. Raises HTTPException."""
    try:
        content: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "the body is not valid JSON") from error
    expected = 'send {"image": "<base64>"} or {"images": ["<base64>", ...]}'
    if not isinstance(content, dict) or len(content.keys() & {"image", "images"}) != 1 or len(content) != 1:
        raise HTTPException(422, f"the JSON has no images; {expected}")
    if "image" in content:
        item = _decoded(content["image"])
        if item.error:
            raise HTTPException(422, item.error)
        return Body(items=[item], single=True)
    if not isinstance(content["images"], list) or not content["images"]:
        raise HTTPException(422, f"'images' is not a list of images; {expected}")
    _count(len(content["images"]))
    return Body(items=[_decoded(value) for value in content["images"]], single=False)


def _decoded(value: object) -> Item:
    if not isinstance(value, str):
        return Item(error="the image is not a string of base64")
    text = value.partition(",")[2] if value.startswith("data:") else value
    try:
        # base64 often has line breaks; any other character outside its alphabet is an error
        return Item(data=base64.b64decode("".join(text.split()), validate=True))
    except (binascii.Error, ValueError):
        return Item(error="the image is not valid base64")


async def _form(request: Request, body: bytes) -> Body:
    async def replay() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    # given the request's scope, Starlette raises HTTPException(400) for a body that is not a form
    form = Request(request.scope, replay).form(max_files=IMAGES + 1, max_fields=_FIELDS)
    async with form as fields:
        files = [value for _, value in fields.multi_items() if isinstance(value, UploadFile)]
        _count(len(files))
        items = [Item(data=await file.read(), name=file.filename or "") for file in files]
    if not _ends(request, body):  # Starlette silently drops a file that is cut off
        raise HTTPException(400, "the form ends before its closing boundary")
    if not items:
        raise HTTPException(422, "the form has no file; send images as files")
    return Body(items=items, single=len(items) == 1)


def _ends(request: Request, body: bytes) -> bool:
    _, options = parse_options_header(request.headers["content-type"])
    return b"--" + options[b"boundary"] + b"--" in body


def _count(images: int) -> None:
    if images > IMAGES:
        raise HTTPException(413, f"the request has more than {IMAGES} images")


async def _bytes(request: Request, limit: int) -> bytes:
    """The body; at most ``limit`` bytes (and one chunk) are held in memory."""
    length = request.headers.get("content-length", "")
    too_large = HTTPException(413, f"the request is above {limit} bytes")
    if length.isascii() and length.isdigit() and int(length[:20]) > limit:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise too_large
    return bytes(body)
