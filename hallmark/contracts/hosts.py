"""Which requests reach a server on this machine by the name, and from the page, that they should.

A page of another website can send requests to a loopback server through the reader's browser, and can make a name of
its own point to this machine (DNS rebinding). So a server checks the Host of every request, and the Origin of those
that have one.

>>> split("[::1]:8080"), split("LocalHost"), split("[::1"), split("a b")
(('::1', '8080'), ('localhost', ''), None, None)
>>> same_origin("http://localhost:8080", "localhost:8080"), same_origin("null", "localhost:8080")
(True, False)
"""

from __future__ import annotations

import re

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_HOST = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]{2,45})\]|(?P<name>[A-Za-z0-9._-]{1,253}))(?::(?P<port>[0-9]{1,5}))?")


def split(host: str) -> tuple[str, str] | None:
    """Name in lower case and port (may be empty) of a Host header; None where it is malformed."""
    parts = _HOST.fullmatch(host)
    return None if parts is None else ((parts["six"] or parts["name"]).lower(), parts["port"] or "")


def same_origin(origin: str, host: str) -> bool:
    """Whether an Origin header is that of a page which this server itself gave, under the name of the Host header."""
    scheme, separator, where = origin.partition("://")
    return bool(separator) and scheme in ("http", "https") and split(where) == split(host) is not None
