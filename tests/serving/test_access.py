"""Host, Origin and token: which requests are allowed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hallmark.contracts.errors import InputError
from hallmark.serving.access import Access, Gate, loopback

LOCAL = Access.of("127.0.0.1", token="", allowed=["Photos.example", "[fe80::1]:9000"])
SECRET = Access.of("0.0.0.0", token="s3cret", allowed=["cats.example:8080"])
BYTES = st.binary(max_size=30)


def status(access: Access, headers: dict[str, str], path: str = "/predict", method: str = "POST") -> int:
    refusal = access.refusal(method, path, [(name.encode(), value.encode()) for name, value in headers.items()])
    return 200 if refusal is None else refusal[0]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *((name, 200) for name in ("127.0.0.1", "LOCALHOST:8080", "[::1]:1", "photos.example", "[fe80::1]:9000")),
        *((name, 403) for name in ("evil.example", "127.0.0.1.evil.example", "127.0.0.2", "photos.example.evil")),
        *((name, 403) for name in ("[fe80::1]", "[fe80::1]:9001")),
        *((name, 400) for name in ("", "[::1", "a b", "a@127.0.0.1", "127.0.0.1/", "127.0.0.1:x", "127.0.0.1:1:2")),
    ],
)
def test_only_names_of_the_server_are_answered(host: str, expected: int) -> None:
    for path in ("/predict", "/health", "/docs", "/metadata"):
        assert status(LOCAL, {"host": host}, path, "GET") == expected


def test_a_request_has_one_host() -> None:
    assert LOCAL.refusal("GET", "/health", []) is not None
    assert LOCAL.refusal("GET", "/health", [(b"host", b"localhost"), (b"host", b"evil.example")]) is not None


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "", "http://127.0.0.1:9", "file://", "127.0.0.1:80"])
def test_other_pages_are_refused_on_loopback_too(origin: str) -> None:
    assert status(LOCAL, {"host": "127.0.0.1:80", "origin": origin}) == 403
    both = [(b"host", b"127.0.0.1:80"), (b"origin", b"http://127.0.0.1:80"), (b"origin", origin.encode())]
    assert LOCAL.refusal("POST", "/predict", both) is not None


def test_the_own_page_is_answered() -> None:
    assert (
        status(LOCAL, {"host": "127.0.0.1:80", "origin": "http://127.0.0.1:80", "sec-fetch-site": "same-origin"}) == 200
    )
    # behind a proxy that ends TLS
    assert status(LOCAL, {"host": "photos.example", "origin": "https://photos.example"}) == 200
    for site in ("cross-site", "same-site"):
        assert status(LOCAL, {"host": "localhost", "sec-fetch-site": site}, "/metadata", "GET") == 403
        assert status(LOCAL, {"host": "localhost", "sec-fetch-site": site}, "/docs", "GET") == 200


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        ("Bearer s3cret", 200), ("bearer s3cret", 200), ("Bearer s3cre", 401), ("Bearer s3crets", 401),
        ("Bearer", 401), ("s3cret", 401), ("Basic s3cret", 401), ("Bearer é", 401), ("", 401), (None, 401),
    ],
)  # fmt: skip
def test_the_token_is_required(authorization: str | None, expected: int) -> None:
    headers = {"host": "cats.example:8080"} | ({} if authorization is None else {"authorization": authorization})
    for path, method in (
        ("/predict", "POST"),
        ("/metadata", "GET"),
        ("/", "GET"),
        ("/health", "POST"),
        ("/docs/", "GET"),
    ):
        assert status(SECRET, headers, path, method) == expected
    for path in ("/health", "/docs", "/openapi.json"):
        assert status(SECRET, headers, path, "GET") == 200
    assert status(SECRET, {**headers, "host": "cats.example"}) == 403


@given(name=st.sampled_from([b"host", b"origin", b"authorization", b"sec-fetch-site"]), value=BYTES, path=st.text())
@settings(deadline=None)
def test_any_header_is_answered(name: bytes, value: bytes, path: str) -> None:
    good = {b"host": b"cats.example:8080", b"authorization": b"Bearer s3cret"}
    refusal = SECRET.refusal("POST", path, list({**good, name: value}.items()))
    assert refusal is None or refusal[0] in (400, 401, 403)


def test_a_refused_request_is_not_read() -> None:
    sent: list[Any] = []

    async def never(*_: Any) -> Any:
        raise AssertionError("it was read, or handed on")

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": [(b"host", b"cats.example:8080")]}
    asyncio.run(Gate(never, SECRET)(scope, never, send))
    assert sent[0]["status"] == 401
    assert dict(sent[0]["headers"])[b"www-authenticate"] == b'Bearer realm="hallmark"'


def test_an_open_address_needs_a_token() -> None:
    for host in ("0.0.0.0", "::", "", "192.0.2.1"):
        assert not loopback(host)
        with pytest.raises(InputError, match="no token is set; set HALLMARK_TOKEN"):
            Access.of(host, token="", allowed=[])
    for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost"):
        assert loopback(host)
        assert (host, "") in Access.of(host, token="", allowed=[]).hosts
    with pytest.raises(InputError, match="not an address of this machine"):
        Access.of("no.such.host.invalid", token="", allowed=[])
    for token in ("a b", "a\n", "é", "\udcff"):
        with pytest.raises(InputError, match="HALLMARK_TOKEN has characters"):
            Access.of("127.0.0.1", token=token, allowed=[])
    with pytest.raises(InputError, match=r"--allowed-host is 'http://x'"):
        Access.of("127.0.0.1", token="", allowed=["http://x"])
