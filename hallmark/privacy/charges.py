"""Queries of private data besides training, and the ledger of all private runs on a data set.

A charge is a query's mechanism under a name. Charges of a run are part of its epsilon; the ledger composes every run
that was ever started on a data set, because whoever sees several models sees all that they release.

>>> counts, charge = noisy_counts(np.array([600, 40]), deviation=20.0, stream=Key.fixed(0).stream("counts"))
>>> counts.tolist(), charge.name
([625, 22], 'noisy class counts')
>>> round(total([[charge.mechanism], [charge.mechanism]], delta=1e-5), 3)
0.234
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from hallmark.contracts import durable
from hallmark.contracts.errors import InputError
from hallmark.privacy import accounting
from hallmark.privacy.keys import Key, Stream
from hallmark.privacy.privacy_loss import Gaussian, Laplace, Mechanism

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

__all__ = ["Charge", "Key", "noisy_counts", "noisy_moments", "record", "recorded", "total"]


@dataclass(frozen=True, kw_only=True)
class Charge:
    """A query besides training: what it is, and its privacy loss."""

    name: str
    mechanism: Mechanism


def noisy_counts(
    counts: NDArray[np.integer[Any]], *, deviation: float, stream: Stream, per_unit: float = 1.0
) -> tuple[NDArray[np.int64], Charge]:
    """Units per class [classes] with Gaussian noise, rounded and at least 0, and the charge.

    ``per_unit`` is the L2 norm of one unit's part: 1 where each unit has one class, the cap for groups of that many
    images.
    """
    noisy = counts + deviation * stream.normal(len(counts))
    charge = Charge(name="noisy class counts", mechanism=Gaussian(noise_multiplier=deviation / per_unit))
    return np.maximum(np.rint(noisy), 0).astype(np.int64), charge


def noisy_moments(
    means: Floats, squares: Floats, *, largest: float, noise_multiplier: float, stream: Stream
) -> tuple[Floats, Floats, Charge]:
    """Mean and standard deviation of each channel [channels] over all units, with noise, and the charge.

    ``means`` and ``squares`` [units, channels] are each unit's means of the values and of their squares. Units whose
    vector of both is longer than ``largest`` are scaled to it; those not finite count as zero. The number of units is
    public.
    """
    units, channels = means.shape
    vectors = np.concatenate([means, squares], axis=1)
    vectors[~np.isfinite(vectors).all(axis=1)] = 0.0
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    clipped = vectors * np.minimum(1.0, largest / np.maximum(norms, 1e-300))
    noisy = (clipped.sum(axis=0) + noise_multiplier * largest * stream.normal(2 * channels)) / units
    variance = np.maximum(noisy[channels:] - noisy[:channels] ** 2, 1e-6)
    charge = Charge(name="noisy normalisation", mechanism=Gaussian(noise_multiplier=noise_multiplier))
    return noisy[:channels], np.sqrt(variance), charge


def total(runs: Iterable[Sequence[Mechanism]], *, delta: float) -> float:
    """Epsilon of all runs together."""
    return accounting.epsilon([mechanism for run in runs for mechanism in run], delta=delta)


def record(path: Path, *, run: str, data: str, mechanisms: Sequence[Mechanism]) -> None:
    """Adds a run on the data of a digest to the ledger, durably; once per run, however often it resumes.

    Call it before the first step, so that no run goes uncounted, whenever it ends.
    """
    entries = _entries(path)
    if any(entry["run"] == run for entry in entries):
        return
    kinds = [{"kind": type(each).__name__, **asdict(each)} for each in mechanisms]
    entries.append({"run": run, "data": data, "mechanisms": kinds})
    durable.write_text(path, "".join(json.dumps(entry, sort_keys=True) + "\n" for entry in entries))


def recorded(path: Path, *, data: str) -> dict[str, list[Mechanism]]:
    """The mechanisms of each run on the data of a digest, by run. Raises InputError for a ledger that is damaged."""
    return {entry["run"]: _mechanisms(entry, path) for entry in _entries(path) if entry["data"] == data}


def _entries(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    entries = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            entry = json.loads(line)
            entries.append({name: entry[name] for name in ("run", "data", "mechanisms")})
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise _damaged(path, number) from error
    return entries


def _mechanisms(entry: dict[str, Any], path: Path) -> list[Mechanism]:
    kinds: dict[str, type[Gaussian] | type[Laplace]] = {"Gaussian": Gaussian, "Laplace": Laplace}
    try:
        return [kinds[each["kind"]](**{k: v for k, v in each.items() if k != "kind"}) for each in entry["mechanisms"]]
    except (KeyError, TypeError) as error:
        raise _damaged(path, None) from error


def _damaged(path: Path, line: int | None) -> InputError:
    place = f", line {line}," if line else ""
    return InputError(
        f"{path.name}{place} is no entry of the privacy ledger",
        remedy="restore it from a backup: without it, epsilon of earlier runs is unknown",
    )
