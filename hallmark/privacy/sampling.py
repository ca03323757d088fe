"""Which units a step sees, as the accounting assumes it: replayable by key and step.

- *poisson*: each unit is in each batch with probability q, independently of everything else.
- *cyclic*: units are divided once into ``groups``; step t samples only from group t mod ``groups``, each unit with
  probability q. A unit takes part at most once in any ``groups`` steps in a row.

A unit's group is a keyed hash of its own key, so it depends on no other unit; groups differ in size, which the
accounting does not mind. A batch may be empty: its step is taken with noise alone.

>>> from hallmark.privacy.keys import Key
>>> sampler = Sampler(key=Key.fixed(0), units=("a", "b", "c", "d"), rate=Fraction(1), groups=2)
>>> sorted([*sampler.batch(0).tolist(), *sampler.batch(1).tolist()])
[0, 1, 2, 3]
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hallmark.privacy.keys import Key


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """``units`` are the units' keys, ``rate`` the probability in the step's group; 1 group is Poisson sampling."""

    key: Key
    units: tuple[str, ...]
    rate: Fraction
    groups: int = 1

    def __post_init__(self) -> None:
        assert 0 < self.rate <= 1, self.rate
        assert self.groups >= 1, self.groups
        assert len(set(self.units)) == len(self.units), "a unit is listed twice"

    def batch(self, step: int) -> NDArray[np.int64]:
        """Indices of the units of a step, counted from 0, in increasing order; there may be none."""
        members = self._members[step % self.groups]
        return members[self.key.stream("sampling", step).bernoulli(len(members), self.rate)]

    @cached_property
    def _members(self) -> list[NDArray[np.int64]]:
        if self.groups == 1:
            return [np.arange(len(self.units))]
        secret = self.key.derived("groups")
        hashes = [hashlib.blake2b(unit.encode(), key=secret, digest_size=8).digest() for unit in self.units]
        group = np.array([int.from_bytes(each, "big") % self.groups for each in hashes], dtype=np.int64)
        return [np.flatnonzero(group == each) for each in range(self.groups)]


def rate(*, units: int, batch_size: int, groups: int = 1) -> Fraction:
    """The probability that makes batches of ``batch_size`` units on average. It must be 1 at most."""
    probability = Fraction(groups * batch_size, units)
    assert probability <= 1, (units, batch_size, groups)
    return probability
