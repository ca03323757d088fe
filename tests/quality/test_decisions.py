"""How much of a class a detector may act on."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hallmark.quality.decisions import within_share

LABEL = pd.Series(["a"] * 10 + ["b"] * 4, dtype="string")


def test_the_surest_are_chosen_up_to_the_share_of_each_class() -> None:
    score = np.arange(14, dtype=float)
    chosen = within_share(np.ones(14, bool), score, LABEL, np.ones(14, bool), 0.25)
    assert np.flatnonzero(chosen).tolist() == [8, 9, 13]


def test_no_candidates_are_no_choice() -> None:
    chosen = within_share(np.zeros(14, bool), np.zeros(14), LABEL, np.ones(14, bool), 0.25)
    assert not chosen.any()
