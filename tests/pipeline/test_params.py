"""Every fault of params.yaml is reported at once, with its line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from hallmark.contracts import require
from hallmark.contracts.errors import InputError
from hallmark.pipeline.params import Document, build_all, read

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Inner:
    rate: float
    names: list[str]

    def __post_init__(self) -> None:
        require.in_range(0, 1, rate=self.rate)
        require.one_of("abc", names=self.names)
        if "c" in self.names:
            raise InputError("c does not grow", remedy="leave it out")


@dataclass(frozen=True, kw_only=True)
class Grow:
    seed: int
    steps: int
    inner: Inner
    limit: int | None
    options: dict[str, float]


TEXT = """\
seed: 3
grow:
  steps: 10
  inner:
    rate: 0.5
    names: [a, b]
  limit: null
  options: {x: 1}
"""


def build(text: str) -> Any:
    return build_all(Document(text, name="params.yaml"), {"grow": Grow}, shared={"grow": ("seed",)})["grow"]


def test_a_right_file_becomes_the_dataclass() -> None:
    assert build(TEXT) == Grow(
        seed=3, steps=10, inner=Inner(rate=0.5, names=["a", "b"]), limit=None, options={"x": 1.0}
    )


def test_a_number_in_scientific_notation_is_a_number() -> None:
    assert build(TEXT.replace("rate: 0.5", "rate: 1e-3")).inner.rate == 1e-3


def test_off_is_a_word_as_in_yaml_1_2() -> None:
    """``dvc exp run -S`` rewrites the file without quotes."""
    values = Document("a: off\nb: true\nc: 1e-3\nd: yes\ne: 12\nf: -1.5e3\n", name="params.yaml").values
    assert values == {"a": "off", "b": True, "c": 1e-3, "d": "yes", "e": 12, "f": -1500.0}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("steps: 10", "stepz: 10", r"line 3: unknown key grow\.stepz; did you mean 'steps'\?"),
        ("steps: 10", "steps: 1.5", r"line 3: grow\.steps is 1\.5, but must be a whole number"),
        ("steps: 10", "steps: true", r"line 3: grow\.steps is True, but must be a whole number"),
        ("rate: 0.5", "rate: 2", r"line 5: grow\.inner\.rate is 2\.0, outside \[0, 1\]"),
        ("rate: 0.5", "rate: fast", r"line 5: grow\.inner\.rate is 'fast', but must be a number"),
        ("[a, b]", "[a, 9]", r"grow\.inner\.names\[1\] is 9, but must be text, in quotes: \"9\""),
        ("[a, b]", "a", r"line 6: grow\.inner\.names is 'a', but must be a list"),
        ("limit: null", "limit: x", r"line 7: grow\.limit is 'x', but must be a whole number or null"),
        ("seed: 3", "sead: 3", r"line 1: unknown key sead; did you mean 'seed'\?"),
        ("seed: 3", "seed: 3\nseed: 4", r"seed is given twice"),
        ("  steps: 10", "  steps: 10\n  seed: 4", r"seed is a shared value; set it once at top level"),
        ("  limit: null\n", "", r"line 2: grow\.limit is missing"),
        ("{x: 1}", "{x: y}", r"line 8: grow\.options\.x is 'y', but must be a number"),
        ("[a, b]", "[a, b", "not valid YAML"),
        (TEXT[TEXT.index("grow") :], "grow: 3", r"line 2: grow is 3, but must be a section of keys"),
        (TEXT[TEXT.index("grow") :], "", r"params\.yaml: grow is missing; restore"),
    ],
)
def test_each_fault_names_the_key_and_the_line(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(InputError, match=message):
        build(TEXT.replace(old, new))


def test_a_file_that_is_not_utf_8_is_reported_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes(b"seed: 3\ntitle: Gr\xfc\xdfe\n")
    with pytest.raises(InputError, match=r"params.yaml, line 2: not UTF-8; save the file as UTF-8"):
        read(tmp_path / "params.yaml")


def test_without_a_file_the_message_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"^no params\.yaml in .*; run from the root of a Hallmark workspace; `hallmark init"
    ):
        read(tmp_path / "params.yaml")


def test_all_faults_are_reported_at_once() -> None:
    text = TEXT.replace("steps: 10", "steps: many").replace("rate: 0.5", "rate: 7").replace("limit: null", "limt: 1")
    with pytest.raises(InputError) as caught:
        build(text)
    message = str(caught.value)
    assert "4 faults" in message
    for words in ("grow.steps", "grow.inner.rate", "grow.limt", "grow.limit is missing"):
        assert words in message


def test_all_wrong_values_of_a_section_are_reported_each_with_its_line() -> None:
    with pytest.raises(InputError) as caught:
        build(TEXT.replace("rate: 0.5", "rate: 7").replace("[a, b]", "[a, x, c]"))
    assert str(caught.value).splitlines() == [
        "params.yaml has 3 faults:",
        "  params.yaml, line 5: grow.inner.rate is 7.0, outside [0, 1]; give a value in that range",
        "  params.yaml, line 6: grow.inner.names[1] is 'x'; choose one of: a, b, c",
        "  params.yaml, line 4: c does not grow; leave it out",
    ]


def test_checks_raise_outside_a_params_file() -> None:
    with pytest.raises(InputError, match=r"^rate is 7, outside"):
        Inner(rate=7, names=["x", "c"])
