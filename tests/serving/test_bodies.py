"""JSON bodies: images, an error for each invalid one, or a status for an invalid body."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from fastapi import HTTPException
from hypothesis import given, settings
from hypothesis import strategies as st

from hallmark.serving import bodies
from hallmark.serving.bodies import parsed

IMAGE = b"\x89PNG bytes \xff"
TEXT = base64.b64encode(IMAGE).decode()
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.text("\ud800=A/+,"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["image", "images", "x"]), inner),
    max_leaves=12,
)


def test_images_are_decoded() -> None:
    assert [item.data for item in parsed(json.dumps({"image": TEXT}).encode()).items] == [IMAGE]
    body = parsed(json.dumps({"images": [TEXT, f"data:image/png;base64,{TEXT}", f"{TEXT[:4]}\n{TEXT[4:]}"]}).encode())
    assert ([item.data for item in body.items], body.single) == ([IMAGE] * 3, False)
    assert not parsed(json.dumps({"images": [TEXT]}).encode()).single


def test_a_bad_image_is_its_own_error() -> None:
    body = parsed(json.dumps({"images": [TEXT, "###", 3, None, [], "\ud800", TEXT[:-1]]}).encode())
    assert [bool(item.error) for item in body.items] == [False, *[True] * 6]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400), (b"{", 400), (b"\xff", 400), (b"[" * 100_000, 400), (b"1" * 10_000, 400),
        (b"{}", 422), (b"[]", 422), (b'"x"', 422), (b'{"images": []}', 422), (b'{"images": {"0": "x"}}', 422),
        (b'{"images": "x"}', 422), (b'{"image": "#"}', 422), (b'{"image": "", "images": []}', 422),
        (json.dumps({"images": [""] * (bodies.IMAGES + 1)}).encode(), 413),
    ],
)  # fmt: skip
def test_other_bodies_are_refused(body: bytes, status: int) -> None:
    with pytest.raises(HTTPException) as raised:
        parsed(body)
    assert raised.value.status_code == status


@given(ANY_JSON)
@settings(deadline=None)
def test_any_json_has_images_or_a_status(content: Any) -> None:
    for body in (content, {"images": [content, content]}, {"image": content}):
        try:
            images = parsed(json.dumps(body).encode())
        except HTTPException as error:
            assert error.status_code == 422  # noqa: PT017  either is right
        else:
            assert images.items
