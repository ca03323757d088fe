"""Side queries have the noise they are charged for, and the ledger composes all runs on the same data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from hallmark.contracts.errors import InputError
from hallmark.privacy import accounting, charges
from hallmark.privacy.keys import Key
from hallmark.privacy.privacy_loss import Gaussian, Laplace, Mechanism

if TYPE_CHECKING:
    from pathlib import Path


def test_counts_get_the_noise_that_is_charged() -> None:
    counts = np.full(20_000, 500)
    noisy, charge = charges.noisy_counts(counts, deviation=12.0, stream=Key.fixed(0).stream("counts"), per_unit=3.0)
    assert (noisy - 500).std() == pytest.approx(12, rel=0.02)
    assert charge.mechanism == Gaussian(noise_multiplier=4.0)
    few, _ = charges.noisy_counts(np.zeros(1000, int), deviation=5.0, stream=Key.fixed(0).stream("counts"))
    assert few.min() == 0


def test_moments_are_those_of_the_data_at_little_noise() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal([0.3, 0.5], 0.1, size=(5000, 2))
    stream = Key.fixed(0).stream("moments")
    mean, deviation, charge = charges.noisy_moments(values, values**2, largest=2.0, noise_multiplier=5.0, stream=stream)
    assert mean == pytest.approx([0.3, 0.5], abs=0.01)
    assert deviation == pytest.approx([0.1, 0.1], abs=0.03)
    assert charge.mechanism == Gaussian(noise_multiplier=5.0)


@pytest.mark.parametrize("value", [1e6, np.nan, np.inf, -1e200])
def test_one_unit_moves_the_moments_by_its_bound_at_most(value: float) -> None:
    calm = np.full((100, 1), 0.5)
    wild = calm.copy()
    wild[0] = value

    def mean(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
        stream = Key.fixed(0).stream("moments")
        with np.errstate(over="ignore"):
            squares = values**2
        moments = charges.noisy_moments(values, squares, largest=1.0, noise_multiplier=1.0, stream=stream)
        return float(moments[0][0])

    assert abs(mean(wild) - mean(calm)) <= 2 / 100 + 1e-12


def test_runs_compose() -> None:
    one: list[Mechanism] = [Gaussian(noise_multiplier=1.0, sampling_rate=0.01, count=1000), Laplace(scale=5.0)]
    both = charges.total([one, one], delta=1e-6)
    assert both == pytest.approx(
        accounting.epsilon(
            [Gaussian(noise_multiplier=1.0, sampling_rate=0.01, count=2000), Laplace(scale=5.0, count=2)], delta=1e-6
        ),
        rel=1e-3,
    )
    single = charges.total([one], delta=1e-6)
    assert single < both < 2 * single
    assert charges.total([], delta=1e-6) == 0


def test_the_ledger_keeps_each_run_once_and_data_apart(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    steps, query = Gaussian(noise_multiplier=1.0, sampling_rate=0.01, count=1000), Laplace(scale=5.0)
    assert charges.recorded(path, data="d1") == {}
    charges.record(path, run="r1", data="d1", mechanisms=[steps, query])
    charges.record(path, run="r2", data="d1", mechanisms=[steps])
    charges.record(path, run="r3", data="d2", mechanisms=[query])
    before = path.read_bytes()
    charges.record(path, run="r1", data="d1", mechanisms=[steps, query])
    assert path.read_bytes() == before
    assert charges.recorded(path, data="d1") == {"r1": [steps, query], "r2": [steps]}
    assert charges.recorded(path, data="d2") == {"r3": [query]}


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"run": "a"}', '{"run": "a", "data": "d", "mechanisms": [{"kind": "Other"}]}']
)
def test_a_damaged_ledger_is_refused_and_not_forgotten(tmp_path: Path, line: str) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(InputError, match="no entry of the privacy ledger"):
        charges.recorded(path, data="d")
