from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from hallmark.contracts.errors import InputError
from hallmark.splitting.assignment import TEST, TRAIN, VAL
from hallmark.splitting.given import ABSENT, find_leaks, honour, read_given


def test_unknown_words_are_refused() -> None:
    given = pd.Series(["train", None, "holdout"], dtype="string")
    with pytest.raises(InputError, match="'holdout'"):
        read_given(given)
    assert read_given(given[:2]).tolist() == [TRAIN, ABSENT]


def test_leaks_are_units_across_splits() -> None:
    unit = np.array([0, 0, 1, 1, 2])
    given = np.array([TRAIN, TEST, TRAIN, ABSENT, VAL])
    assert find_leaks(given, unit, 3).tolist() == [True, True, False, False, False]


@pytest.mark.parametrize("move", [True, False])
def test_a_given_split_is_honoured(move: bool) -> None:
    unit = np.array([0, 0, 1, 1, 2])
    given = np.array([TRAIN, TEST, VAL, ABSENT, TRAIN])
    split, carved = honour(
        given, unit, np.zeros(5, np.int64), np.full(3, 0.9), val=0.2, test=0.1, cover=False, move=move
    )
    assert split.tolist() == [TEST if move else TRAIN, TEST, VAL, VAL, TRAIN]
    assert carved == []


def test_a_missing_val_is_carved_out_of_train() -> None:
    random = np.random.default_rng(0)
    given = np.where(np.arange(2000) % 5 == 0, TEST, TRAIN)
    split, carved = honour(
        given, np.arange(2000), np.arange(2000) % 2, random.random(2000), val=0.2, test=0.1, cover=False, move=True
    )
    assert carved == ["val"]
    assert (split[given == TEST] == TEST).all()
    assert (split == VAL).mean() == pytest.approx(0.2, abs=0.02)
    assert not (split[given == TRAIN] == TEST).any()
