"""The OpenAPI description of the server's requests and answers."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

_PROBABILITIES: dict[str, Any] = {
    "type": "object",
    "additionalProperties": {"type": "number", "minimum": 0, "maximum": 1},
}
_ANSWER: dict[str, Any] = {
    "type": "object",
    "required": ["label", "probabilities"],
    "properties": {
        "label": {"type": "string", "description": "the most probable class"},
        "probabilities": {**_PROBABILITIES, "description": "by class, as the network outputs them"},
        "calibrated": {
            **_PROBABILITIES,
            "type": ["object", "null"],
            "description": "by class, with the temperature fitted on the validation images; null without one",
        },
    },
}
_VERSION = {"type": ["integer", "null"], "description": "of the model in the registry; null if it is not registered"}
_ERROR: dict[str, Any] = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
_NAME = {"name": {"type": "string", "description": "the file name in a form"}}
_SINGLE = {**_ANSWER, "properties": {**_ANSWER["properties"], "version": _VERSION}}
_SEVERAL = {
    "type": "object",
    "required": ["answers"],
    "properties": {
        "answers": {
            "type": "array",
            "description": "in the order of the images",
            "items": {
                "anyOf": [
                    {**_ANSWER, "properties": {**_ANSWER["properties"], **_NAME}},
                    {**_ERROR, "properties": {**_ERROR["properties"], **_NAME}},
                ]
            },
        },
        "version": _VERSION,
    },
}
_BASE64 = {"type": "string", "format": "byte"}

BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "One image, or several. With any other content type the body is the bytes of one image.",
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "image/*": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"images": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                }
            },
            "application/json": {
                "schema": {
                    "oneOf": [
                        {"type": "object", "required": ["image"], "properties": {"image": _BASE64}},
                        {
                            "type": "object",
                            "required": ["images"],
                            "properties": {"images": {"type": "array", "items": _BASE64}},
                        },
                    ]
                }
            },
        },
    },
}


def _error_response(description: str) -> dict[str, Any]:
    detail = {"type": "object", "properties": {"detail": {"type": "string"}}}
    return {"description": description, "content": {"application/json": {"schema": detail}}}


_REFUSED: dict[int | str, dict[str, Any]] = {
    401: _error_response("the token is missing or wrong"),
    403: _error_response("the Host is not allowed, or the request is from a page of another website"),
}
HEALTH: dict[int | str, dict[str, Any]] = {200: {"description": "the model answers"}}
METADATA: dict[int | str, dict[str, Any]] = {
    200: {"description": "name, version, digest, classes, input and limits"},
    **_REFUSED,
}
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "for one image, its answer; for several, one answer or error per image",
        "content": {"application/json": {"schema": {"oneOf": [_SINGLE, _SEVERAL]}}},
    },
    400: _error_response("the body does not match its content type"),
    **_REFUSED,
    408: _error_response("the body took too long to arrive"),
    413: _error_response("the body is too large, or has too many images"),
    422: _error_response("there is no image, or the one image cannot be decoded within the limits"),
    503: _error_response("too many concurrent requests; Retry-After says when to try again"),
}


def json_response(content: Any) -> Response:
    """JSON in ASCII: a file name may contain bytes that are not UTF-8."""
    return Response(json.dumps(content, allow_nan=False, separators=(",", ":")), media_type="application/json")
