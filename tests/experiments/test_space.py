"""Search spaces: the syntax of a file, and a report of all its faults with their lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hallmark.contracts.errors import InputError
from hallmark.experiments import space
from hallmark.pipeline.configuration import params_with
from hallmark.pipeline.params import Document, read
from tasks import STAGES

ROOT = Path(__file__).parents[2]


def check(values: Any) -> Any:
    return params_with(STAGES, read(ROOT / "params.yaml"), values, package="tasks")


def parse(text: str) -> space.Space:
    return space.parse(Document(text, name="my.yaml"), check=check, stem="my")


def test_the_spaces_that_come_with_it_are_valid() -> None:
    files = sorted((ROOT / "conf" / "search").glob("*.yaml"))
    assert [path.stem for path in files] == ["architecture", "default", "quick"]
    for path in files:
        assert space.read(path, sections=("train", "model"), check=check).dimensions


def test_a_misspelt_key_is_one_message_with_its_line_and_the_right_word() -> None:
    with pytest.raises(InputError) as caught:
        parse("train.lr: {low: 0.001, high: 0.1}\ntrain.label_smoothin: {low: 0.0, high: 0.2}\n")
    assert "my.yaml, line 2" in str(caught.value)
    assert "did you mean 'train.label_smoothing'?" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_faults_are_reported_at_once() -> None:
    with pytest.raises(InputError) as caught:
        parse(
            "train.lr: {lo: 0.001, high: 0.1}\n"
            "train.mixup: {low: 0.5, high: 0.1}\n"
            "split.val: {low: 0.1, high: 0.2}\n"
            "train.batch_size: {choices: [32]}\n"
            "train.label_smoothing: {low: 0.0, high: 0.9}\n"
            "model.dropout: {low: 0.0, high: 0.5, log: true}\n"
        )
    text = str(caught.value)
    for words in (
        "my.yaml has 6 faults",
        "line 1: unknown key train.lr.lo; did you mean 'low'?",
        "line 2: train.mixup: low is 0.5, not below high",
        "line 3: split.val: only values of train and model can vary",
        "line 4: train.batch_size.choices is [32]",
        "line 5: train.label_smoothing is 0.9, outside [0, 0.5]",
        "line 6: model.dropout.low is 0.0, but must be above 0 where log is true",
    ):
        assert words in text, text


def test_a_grid_has_every_combination_and_whole_numbers_where_both_ends_are() -> None:
    searched = parse("model.depth: {low: 1, high: 3}\ntrain.lr: {low: 0.001, high: 0.1, log: true}\n")
    grid = searched.grid()
    assert len(grid) == 3 * space.POINTS
    assert {values["model.depth"] for values in grid} == {1, 2, 3}
    assert sorted({values["train.lr"] for values in grid}) == pytest.approx([0.001, 0.00316228, 0.01, 0.0316228, 0.1])
    stepped = parse("train.label_smoothing: {low: 0.0, high: 0.2, step: 0.05}\n")
    assert stepped.dimensions[0].points() == [0.0, 0.05, 0.1, 0.15, 0.2]


def test_an_unknown_space_names_those_there_are() -> None:
    with pytest.raises(InputError, match=r"did you mean 'default'\? give one of architecture, default, quick"):
        space.find("defualt", ROOT / "conf")
