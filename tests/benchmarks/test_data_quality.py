"""The fault maker and the scores: what a published comparison rests on."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hallmark.images.decoding import Undecodable, decode

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks import faults, scoring


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (120, 28, 28), dtype=np.uint8)
    labels = (np.arange(120) % 3).astype(np.uint8)
    folder = tmp_path_factory.mktemp("faults") / "set"
    truth = faults.write(faults.plant(pictures, labels, pictures[:5], seed=3), folder, pictures)
    return folder, pd.read_csv(truth, dtype=str, keep_default_na=False)


def test_every_fault_is_planted_and_each_file_is_what_the_truth_says(made: tuple[Path, pd.DataFrame]) -> None:
    folder, truth = made
    assert set(faults.SHARES) | {"bomb", "stray_file", ""} == set(truth["faults"])
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == set(truth["file"])
    for row in truth.itertuples():
        data = (folder / str(row.file)).read_bytes()
        if row.readable == "True":
            assert decode(data).pixels.size
        else:
            with pytest.raises(Undecodable):
                decode(data)


def test_the_same_seed_gives_the_same_files() -> None:
    pictures = np.random.default_rng(1).integers(0, 256, (60, 28, 28), dtype=np.uint8)
    labels = (np.arange(60) % 2).astype(np.uint8)
    one, other = (faults.plant(pictures, labels, pictures[:3], seed=5) for _ in range(2))
    assert one == other
    assert one != faults.plant(pictures, labels, pictures[:3], seed=6)


def test_scores_of_files_leave_out_what_carries_another_fault() -> None:
    truth = pd.DataFrame({"file": list("abcd"), "faults": ["dark", "dark", "", "ood"]})
    score = scoring.of_files(truth, {"a", "c", "d"}, ("dark",))
    assert (score.found, score.wanted, score.right) == (2, 2, 1)
    assert score.f1 == 0.5


def test_scores_of_pairs_tell_exact_from_near() -> None:
    truth = pd.DataFrame(
        {
            "file": list("abcdefg"),
            "faults": ["", "exact_dup", "", "near_dup", "", "", "blank"],
            "dup_group": ["1", "1", "2", "2", "", "", ""],
            "detail": ["", '{"how": "exact"}', "", '{"how": "resize"}', "", "", ""],
            "natural_dup_group": [""] * 7,
        }
    )
    groups = [["a", "b"], ["c", "d", "e"], ["f", "g"]]
    near = scoring.of_pairs(truth, groups, exact=False)
    assert (near.found, near.wanted, near.right) == (3, 1, 1)
    exact = scoring.of_pairs(truth, [["a", "b"]], exact=True)
    assert (exact.found, exact.wanted, exact.right) == (1, 1, 1)


def test_average_precision_of_a_ranking() -> None:
    truth = pd.DataFrame(
        {"file": list("abcd"), "faults": ["ood", "", "ood", "blank"], "expected": ["flag", "keep", "flag", "drop"]}
    )
    assert scoring.average_precision(truth, {"a": 3.0, "b": 2.0, "c": 1.0, "d": 9.0}, "ood") == pytest.approx(5 / 6)
