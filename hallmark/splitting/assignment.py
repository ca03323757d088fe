"""The split of each unit: stratified, grouped, and stable as data grow, without a record of earlier runs.

Each unit has a position in [0, 1) that follows from its own content (:mod:`hallmark.splitting.units`). With the shares
``test`` and ``val``, a unit is nominally test below ``test``, val below ``test + val``, train above. Where that leaves
a class further from its shares than its tolerance allows, the units nearest to the boundary change sides.

No unit crosses the *wall* at ``test + 0.8 val``: only units below it can become test, only units above it train.
Guarantees, for any data:

- *Never from test into train*, however often the data grow: a unit's position changes only to a smaller one (when
  clusters merge), so units below the wall stay below it.
- *Whole units*: all images of a unit share its split.
- *Shares*: in a class of 1 000 or more single-image units, each split's share is within 1 percentage point of the
  requested one, and the class's share of each split is within about 1 point of its share of all images (see
  :func:`tolerance`). This fails if fewer images of a class lie below the wall than test needs, a chance beyond 3.5
  standard deviations; with units of several images or classes, it holds as closely as moving whole units allows.
- *Stability*: growth moves a boundary only where the tolerance forces it. The rank of a fixed quantile among n random
  positions moves by about 0.4 sqrt(n) / 10 images when n grows by a tenth, so from about 1 000 images on at least 99 %
  keep their split; in smaller classes the tolerance widens to two standard deviations of a fixed boundary.
- *Small classes*: at least one test unit if the class has a unit below the wall, and one val unit if it has three.

A rule without memory cannot also guarantee a test image to every class of three units: all but two units would be test
in some set of three, so they could never be train in a larger set. ``cover`` gives that guarantee instead; then a unit
it moved may go from test to train when its class grows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hallmark.contracts.names import SPLITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]
    Floats = NDArray[np.float64]

TRAIN, VAL, TEST = range(3)
LARGE_CLASS = 1000

_WALL = 0.8
_SWEEPS = 3


def tolerance(share: float, sizes: Floats) -> Floats:
    """How far a class's share of one split may differ from ``share``, per class; ``sizes`` are images per class.

    From :data:`LARGE_CLASS` images on: at most 0.95 percentage points, and so small that a class's share of the split
    stays within about one point of its share of all images even if every class is off by its tolerance. Below, it
    widens smoothly towards two standard deviations of a fixed boundary.
    """
    part = sizes / sizes.sum()
    # of a single class the denominator is 0; an infinite quotient times a share of 0 would be NaN
    relative = 0.01 / np.maximum(2 * part * (1 - part), np.finfo(np.float64).tiny)
    tight = 0.95 * np.minimum(0.01, share * relative)
    loose = 2 * np.sqrt(share * (1 - share) / sizes) * (1 - sizes / LARGE_CLASS)
    allowed: Floats = np.maximum(tight, loose)
    return allowed


def assign(
    unit: Integers, label: Integers, position: Floats, *, val: float, test: float, cover: bool = False
) -> Integers:
    """The split of each unit: 0 train, 1 val, 2 test (indices of :data:`hallmark.contracts.names.SPLITS`).

    ``unit`` ``[images]`` indexes ``position`` ``[units]``; ``label`` ``[images]`` is a class number from 0.
    """
    assert SPLITS == ("train", "val", "test")
    if len(unit) == 0:
        return np.zeros(len(position), np.int64)
    tally = _Tally(unit, label, len(position))
    sizes = tally.sizes
    wall = test + _WALL * val
    below = position < wall
    train = 1 - val - test
    held = tolerance(train, sizes)
    several = tally.units >= 3

    low, high = _band(test, tolerance(test, sizes), sizes)
    is_test = tally.balance(
        position < test, np.flatnonzero(below), np.abs(position - test), low, high, needed=several & (test > 0)
    )
    tested = tally.count(is_test)
    low, high = _band(val, tolerance(val, sizes), sizes)
    low_held, high_held = _band(val + test, held, sizes)
    low = np.maximum(low, low_held - tested)
    high = np.maximum(np.minimum(high, high_held - tested), 0)
    held_out = below | (position < test + val)
    is_val = tally.balance(
        held_out & ~is_test,
        np.flatnonzero(~below),
        np.abs(position - test - val),
        np.minimum(low, high),
        high,
        needed=several & (val > 0),
    )
    split = np.select([is_test, is_val], [TEST, VAL], TRAIN)
    return _cover(split, position, tally, val=val, test=test) if cover else split


def _band(share: float, off: Floats, sizes: Floats) -> tuple[Floats, Floats]:
    """Fewest and most images per class within the tolerance ``off``; the range includes the nearest whole number."""
    nearest = np.rint(share * sizes)
    low = np.minimum(np.ceil((share - off) * sizes), nearest)
    high = np.maximum(np.floor((share + off) * sizes), nearest)
    return np.maximum(low, 0), high


class _Tally:
    """Images of each class in each unit (sparse), and the number of units of each class."""

    def __init__(self, unit: Integers, label: Integers, n_units: int) -> None:
        n_classes = int(label.max()) + 1
        pair, count = np.unique(unit * n_classes + label, return_counts=True)
        self.of_unit, self.of_class = np.divmod(pair, n_classes)
        self.images = count.astype(np.float64)
        self.start = np.searchsorted(self.of_unit, np.arange(n_units + 1))
        self.sizes = np.maximum(np.bincount(label, minlength=n_classes).astype(np.float64), 1)
        self.units = np.bincount(self.of_class, minlength=n_classes)

    def count(self, chosen: NDArray[np.bool_]) -> Floats:
        """Images per class in the chosen units."""
        weight = self.images * chosen[self.of_unit]
        return np.bincount(self.of_class, weights=weight, minlength=len(self.sizes)).astype(np.float64)

    def balance(
        self,
        chosen: NDArray[np.bool_],
        movable: Integers,
        distance: Floats,
        low: Floats,
        high: Floats,
        *,
        needed: NDArray[np.bool_],
    ) -> NDArray[np.bool_]:
        """Moves units in or out, nearest to the boundary first, while this brings the counts closer to [low, high].

        A ``needed`` class without a chosen image counts as worse than any surplus.
        """
        chosen = chosen.copy()
        order = movable[np.lexsort((movable, distance[movable]))]
        counts = self.count(chosen)

        def miss(classes: Integers, counted: Floats) -> float:
            off = np.maximum(counted - high[classes], 0) + np.maximum(low[classes] - counted, 0)
            return float((off + self.sizes[classes] * (needed[classes] & (counted <= 0))).sum())

        everything = np.arange(len(counts))
        for _ in range(_SWEEPS):
            moved = False
            wrong = (counts > high) | (counts < low) | (needed & (counts <= 0))
            for candidate in order[self._touches(order, wrong)]:
                part = slice(self.start[candidate], self.start[candidate + 1])
                classes = self.of_class[part]
                after = counts[classes] + (-1 if chosen[candidate] else 1) * self.images[part]
                if miss(classes, after) < miss(classes, counts[classes]):
                    counts[classes] = after
                    chosen[candidate] = not chosen[candidate]
                    moved = True
                    if miss(everything, counts) == 0:
                        return chosen
            if not moved:
                break
        return chosen

    def _touches(self, order: Integers, wrong: NDArray[np.bool_]) -> NDArray[np.bool_]:
        hit = np.zeros(len(self.start) - 1, bool)
        hit[self.of_unit[wrong[self.of_class]]] = True
        return hit[order]


def _cover(split: Integers, position: Floats, tally: _Tally, *, val: float, test: float) -> Integers:
    """Fills each split that a class of three or more units lacks with the class's unit nearest to it."""
    split = split.copy()
    for number in np.flatnonzero(tally.units >= 3):
        members = tally.of_unit[tally.of_class == number]
        members = members[np.argsort(position[members], kind="stable")]
        for wanted, share, ordered in ((TEST, test, members), (TRAIN, 1.0, members[::-1]), (VAL, val, members)):
            present = np.bincount(split[members], minlength=3)
            if present[wanted] or share <= 0:
                continue
            spare = [candidate for candidate in ordered if present[split[candidate]] > 1]
            split[spare[0]] = wanted
    return split
