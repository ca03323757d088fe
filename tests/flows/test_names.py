from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from flows import names

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Params:
    source: str = "data/demo"
    lr: float = 1e-3


def test_equal_params_have_equal_digits_and_others_have_not() -> None:
    one = names.digest({"ingest": Params(), "train": Params()})
    assert re.fullmatch("[0-9a-f]{4}", one)
    assert names.digest({"train": Params(), "ingest": Params()}) == one
    assert names.digest({"ingest": Params(), "train": Params(lr=2e-3)}) != one


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("/somewhere/trash", "trash"),
        ("/somewhere/trash/", "trash"),
        ("/somewhere/a {b} c.zip", "a {b} c.zip"),
        ("/somewhere/" + "x" * 60, "x" * 39 + "…"),
        ("/somewhere/caf\udce9", "caf\\xe9"),
        (".", "here"),
    ],
)
def test_a_run_is_named_by_flow_time_source_and_params(source: str, expected: str, tmp_path: Path) -> None:
    root = tmp_path / "here"
    root.mkdir()
    name = names.run_name("training", {"ingest": Params(source=source)}, root)
    start, source_part, digits = name.split(" · ")
    assert re.fullmatch(r"training \d{4}-\d\d-\d\d \d\d:\d\d", start)
    assert source_part == expected
    assert digits == names.digest({"ingest": Params(source=source)})
    name.encode()  # a server takes it
