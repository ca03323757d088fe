"""Any request to the review page gets a status below 500, and invalid ones change nothing."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hallmark.reviewing import server
from hallmark.reviewing.server import create_app

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import ASGIApp

FUZZ = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
DEEP = b"[" * 100_000 + b"]" * 100_000
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.text("\ud800\udfff\x00\r\n,\"'a"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
HEADER = st.binary(max_size=40).map(lambda data: data.replace(b"\r", b"").replace(b"\n", b""))


def send(app: ASGIApp, verb: str, path: bytes, headers: list[tuple[bytes, bytes]], body: bytes = b"") -> int:
    """The status of a raw request, as any client may send it."""
    raw, _, query = path.partition(b"?")
    scope: dict[str, Any] = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": verb, "scheme": "http",
        "path": raw.decode("utf-8", "replace"), "raw_path": raw, "query_string": query, "root_path": "",
        "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8090),
    }  # fmt: skip
    parts = [{"type": "http.request", "body": body, "more_body": False}]
    statuses = []

    async def receive() -> Any:
        return parts.pop() if parts else await asyncio.Event().wait()

    async def record(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    asyncio.run(app(scope, receive, record))  # type: ignore[arg-type]
    (status,) = statuses
    return int(status)


HERE = [(b"host", b"127.0.0.1:8090"), (b"content-type", b"application/json")]


@pytest.fixture(scope="module")
def app(cleaned: Path) -> ASGIApp:
    return create_app(cleaned)


@pytest.fixture(autouse=True)
def nothing_is_written(cleaned: Path) -> Any:
    before = (cleaned / "data" / "review.csv").read_bytes()
    yield
    assert (cleaned / "data" / "review.csv").read_bytes() == before


@given(host=HEADER | st.sampled_from([b"[::1", b"[", b"]:1", b"127.0.0.1:", b"127.0.0.1:99999999", b"[::1]a", b"\xff"]))
@settings(FUZZ, max_examples=60)
def test_any_host_header_is_answered(app: ASGIApp, host: bytes) -> None:
    allowed = (b"127.0.0.1", b"localhost", b"[::1]")
    for path in (b"/", b"/state"):
        status = send(app, "GET", path, [(b"host", host)])
        assert status == 200 if host.lower() in allowed else status in (200, 403)
    assert send(app, "GET", b"/state", [(b"host", host), (b"host", b"localhost")]) == 403
    assert send(app, "POST", b"/undo", [*HERE, (b"origin", host)], b"{}") == 403


@given(body=ANY_JSON)
@settings(FUZZ, max_examples=100)
def test_any_json_is_answered(app: ASGIApp, body: Any) -> None:
    decided = {"path": "a/wrong.png", "hash": "0", "decision": "drop", "label": "", "note": ""}
    bodies = [json.dumps(body), *(json.dumps({**decided, name: body}) for name in decided)]
    for each in bodies:
        assert send(app, "POST", b"/decisions", HERE, each.encode("utf-8", "surrogatepass")) in (400, 404, 409, 422)


@given(body=st.binary(max_size=200), kind=HEADER, path=st.binary(max_size=60))
@settings(FUZZ, max_examples=60)
def test_any_bytes_are_answered(app: ASGIApp, body: bytes, kind: bytes, path: bytes) -> None:
    assert send(app, "POST", b"/decisions", HERE, body) in (400, 404, 409, 422)
    assert send(app, "POST", b"/decisions", [HERE[0], (b"content-type", kind)], body) < 500
    for query in (b"/picture?path=" + path, b"/neighbours?path=" + path, b"/picture?" + path, b"/" + path):
        assert send(app, "GET", query, HERE) < 500


@pytest.mark.parametrize("body", [DEEP, b'{"path":' * 50_000, b"1" * 10_000, b"\xff\xfe", b"", b"null", b'"\\ud800"'])
def test_odd_bodies_are_answered(app: ASGIApp, body: bytes) -> None:
    assert 400 <= send(app, "POST", b"/decisions", HERE, body) < 500


def test_a_large_body_is_refused(app: ASGIApp) -> None:
    for path in (b"/decisions", b"/undo"):
        assert send(app, "POST", path, HERE, b" " * (server.LIMIT + 1)) == 413
    assert send(app, "POST", b"/decisions", HERE, b" " * server.LIMIT) == 422
