"""Host and Origin checks of a server on this machine.

A page of another website can send requests to a loopback server through the user's browser, and can point its own
domain at this machine (DNS rebinding). So a server checks the Host of every request, and the Origin if there is one.

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
    """Lower-case name and port (may be empty) of a Host header; None if it is malformed."""
    parts = _HOST.fullmatch(host)
    return None if parts is None else ((parts["six"] or parts["name"]).lower(), parts["port"] or "")


def same_origin(origin: str, host: str) -> bool:
    """Whether an Origin header names a page that this server served under the name in the Host header."""
    scheme, separator, address = origin.partition("://")
    return bool(separator) and scheme in ("http", "https") and split(address) == split(host) is not None
