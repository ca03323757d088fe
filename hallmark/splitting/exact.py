"""The split of small sets: each class as close to its shares as whole units allow, without regard to stability.

Units of one image (*singles*) can fill any gap, so the search is over units of several images (*blocks*: groups and
duplicate clusters). The search minimises, in this order: the splits that a class lacks although it has units for them,
the largest deviation of a class from its share of a split in images, and the sum of squared deviations. Up to
:data:`EXHAUSTIVE` blocks every assignment is tried; beyond, a greedy start is improved by moves and swaps. Then the
singles are rounded class by class, and the error of rounding is carried to the next class, so that the splits' totals
stay near their shares too.

Guarantees, for any data:

- *Whole units*: all images of a unit share its split.
- *Shares*: a class whose units are all singles is less than one image off its share of each split, unless it is so
  small that the next guarantee moves an image.
- *Small classes*: a class of three or more singles has an image in each split with a share above 0; a class of one
  unit is in train.
- *Determinism*: the split follows from the units, their positions and the shares; the order of images does not matter.

There is no guarantee over growth: an image may move from test to train when the set grows. See
docs/decisions/0002-stable-splits.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, product
from typing import TYPE_CHECKING

import numpy as np

from hallmark.splitting.assignment import TEST, TRAIN, VAL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Integers = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Score = tuple[float, float, float]

EXHAUSTIVE = 9  # blocks: 3^9 assignments
_SWAPPED = 100  # blocks: with more, moves alone come close enough
_CELLS = 2_000_000  # numbers held at once while candidates are scored
_STARTS = 4
_DIGITS = 9  # of a deviation: further digits are float rounding


def assign(unit: Integers, label: Integers, position: Floats, *, val: float, test: float) -> Integers:
    """The split of each unit: 0 train, 1 val, 2 test; arguments as of :func:`hallmark.splitting.assignment.assign`.

    A unit without images is train.
    """
    split = np.full(len(position), TRAIN)
    if len(unit) == 0:
        return split
    problem, singles, blocks = _state(unit, label, position, np.array([1 - val - test, val, test]))
    chosen = _search(problem, position[blocks]) if len(blocks) else np.zeros(0, np.int64)
    split[blocks] = chosen
    counts = _counts(problem, chosen)
    carry = np.zeros(3)
    for number, members in enumerate(singles):
        wanted = problem.targets[number] - counts[number]
        _, n_val, n_test = _rounded(wanted, counts[number], problem, number, carry)
        split[members[:n_test]] = TEST
        split[members[n_test : n_test + n_val]] = VAL
    return split


@dataclass(frozen=True, kw_only=True, eq=False)
class _Problem:
    """``blocks`` are images [blocks, classes], ``targets`` images [classes, splits]; ``open`` splits have a share."""

    blocks: Floats
    targets: Floats
    singles: Integers
    units: Integers
    open: NDArray[np.bool_]


def _state(
    unit: Integers, label: Integers, position: Floats, shares: Floats
) -> tuple[_Problem, list[Integers], Integers]:
    """The problem, the singles of each class by position, and the blocks by position."""
    n_classes = int(label.max()) + 1
    sizes = np.bincount(unit, minlength=len(position))
    pairs = np.unique(unit * n_classes + label)
    units = np.bincount(pairs % n_classes, minlength=n_classes)
    order = np.lexsort((np.arange(len(position)), position))
    blocks = order[sizes[order] > 1]
    row = np.full(len(position), -1)
    row[blocks] = np.arange(len(blocks))
    images = np.zeros((len(blocks), n_classes))
    np.add.at(images, (row[unit[row[unit] >= 0]], label[row[unit] >= 0]), 1)
    of_single = np.full(len(position), -1)
    single = sizes[unit] == 1
    of_single[unit[single]] = label[single]
    members = [order[of_single[order] == number] for number in range(n_classes)]
    problem = _Problem(
        blocks=images,
        targets=np.bincount(label, minlength=n_classes)[:, None] * shares,
        singles=np.array([len(each) for each in members]),
        units=units,
        open=shares > 1e-12,
    )
    return problem, members, blocks


def _counts(problem: _Problem, chosen: Integers) -> Floats:
    """Images of blocks, [classes, splits]."""
    return np.stack([problem.blocks[chosen == number].sum(axis=0) for number in range(3)], axis=-1)


def _filled(wanted: Floats, total: Integers | Floats) -> Floats:
    """Amounts >= 0 of the given total, [..., 1], nearest to ``wanted`` [..., 3] (projection onto a simplex)."""
    ordered = -np.sort(-wanted, axis=-1)
    excess = (np.cumsum(ordered, axis=-1) - total) / np.arange(1, 4)
    last = np.maximum((ordered > excess).sum(axis=-1, keepdims=True) - 1, 0)
    filled: Floats = np.maximum(wanted - np.take_along_axis(excess, last, axis=-1), 0)
    return np.where(total > 0, filled, 0)


def _score(problem: _Problem, counts: Floats, covered: NDArray[np.bool_]) -> Floats:
    """``[candidates, 3]``, lower is better: missing splits, largest deviation, sum of squares.

    ``counts`` and ``covered`` are [candidates, classes, splits]: images of blocks, and whether there is any.
    """
    wanted = problem.targets - counts
    off = np.abs(wanted - _filled(wanted, problem.singles[:, None]))
    possible = np.minimum(problem.units, problem.open.sum())
    lacking = np.maximum(possible - (covered & problem.open).sum(axis=-1) - problem.singles, 0)
    untrained = ~covered[..., TRAIN] & (problem.singles == 0) & (problem.units > 0)
    closed = (counts * ~problem.open).sum(axis=(-1, -2))
    return np.stack(
        [
            (lacking + untrained).sum(axis=-1) + closed,
            np.round(off.max(axis=(-1, -2)), _DIGITS),
            np.round((off**2).sum(axis=(-1, -2)), _DIGITS - 3),
        ],
        axis=-1,
    )


def _scores(problem: _Problem, candidates: Integers) -> Floats:
    """The score of each assignment of the blocks, [candidates, blocks] -> [candidates, 3]."""
    at_once = max(1, _CELLS // (3 * max(problem.blocks.size, 1)))
    parts = []
    for start in range(0, len(candidates), at_once):
        chosen = candidates[start : start + at_once, :, None] == np.arange(3)
        counts = np.einsum("kbs,bc->kcs", chosen.astype(np.float64), problem.blocks)
        parts.append(_score(problem, counts, counts > 0))
    return np.concatenate(parts)


def _best(scores: Floats) -> int:
    return int(np.lexsort((np.arange(len(scores)), scores[:, 2], scores[:, 1], scores[:, 0]))[0])


def _search(problem: _Problem, position: Floats) -> Integers:
    """The split of each block."""
    n = len(problem.blocks)
    if n <= EXHAUSTIVE:
        # among equally good assignments the first has the lowest positions in test
        every = np.array(list(product((TEST, VAL, TRAIN), repeat=n)))
        return np.asarray(every[_best(_scores(problem, every))])
    starts = _STARTS if n <= _SWAPPED else 1
    found = [_improved(problem, _greedy(problem, (position + turn / starts) % 1)) for turn in range(starts)]
    return found[_best(np.array([score for _, score in found]))][0]


def _greedy(problem: _Problem, position: Floats) -> Integers:
    """Places the largest block first, where it reduces the squared deviations most."""
    chosen = np.zeros(len(problem.blocks), np.int64)
    off = -problem.targets.copy()
    allowed = np.where(problem.open, 0.0, np.inf)
    for block in np.lexsort((position, -problem.blocks.sum(axis=1))):
        images = problem.blocks[block]
        touched = np.flatnonzero(images)
        chosen[block] = int(np.argmin(images[touched] @ off[touched] + allowed))
        off[touched, chosen[block]] += images[touched]
    return chosen


def _improved(problem: _Problem, chosen: Integers) -> tuple[Integers, Score]:
    """Applies the best move or swap until none improves the score."""
    chosen = chosen.copy()
    _, kind = np.unique(problem.blocks, axis=0, return_inverse=True)
    present = problem.blocks > 0
    best: Score | None = None
    while True:
        counts = _counts(problem, chosen)
        units = np.stack([present[chosen == number].sum(axis=0) for number in range(3)], axis=-1)
        now = tuple(_score(problem, counts[None], (units > 0)[None])[0].tolist())
        best = (now[0], now[1], now[2])
        changes = list(_changes(problem, chosen, kind.ravel()))
        scores = []
        at_once = max(1, _CELLS // counts.size)
        for start in range(0, len(changes), at_once):
            part = changes[start : start + at_once]
            after, left = np.repeat(counts[None], len(part), 0), np.repeat(units[None], len(part), 0)
            for index, change in enumerate(part):
                for block, target in change:
                    for table, of_block in ((after, problem.blocks), (left, present)):
                        table[index, :, chosen[block]] -= of_block[block]
                        table[index, :, target] += of_block[block]
            scores.append(_score(problem, after, left > 0))
        if not changes:
            return chosen, best
        every = np.concatenate(scores)
        winner = _best(every)
        if tuple(every[winner].tolist()) >= best:
            return chosen, best
        for block, target in changes[winner]:
            chosen[block] = target


def _changes(problem: _Problem, chosen: Integers, kind: Integers) -> Iterator[tuple[tuple[int, int], ...]]:
    """Moves of one block and swaps of two; of blocks with the same images in one split, only the first."""
    _, first = np.unique(kind * 3 + chosen, return_index=True)
    blocks = sorted(first.tolist())
    for block in blocks:
        for target in np.flatnonzero(problem.open).tolist():
            if target != chosen[block]:
                yield ((block, target),)
    if len(problem.blocks) <= _SWAPPED:
        for one, other in combinations(blocks, 2):
            if chosen[one] != chosen[other]:
                yield ((one, int(chosen[other])), (other, int(chosen[one])))


def _rounded(wanted: Floats, counts: Floats, problem: _Problem, number: int, carry: Floats) -> Integers:
    """Singles of a class for each split; ``carry`` holds the rounding errors of earlier classes and takes this one's.

    Splits that the class lacks get an image first: train, then, if the class has three units or more, test and val.
    """
    total = int(problem.singles[number])
    amounts = np.zeros(3, np.int64)
    enough = problem.units[number] >= problem.open.sum()
    for split in (TRAIN, TEST, VAL) if enough else (TRAIN,):
        if problem.open[split] and counts[split] == 0 and amounts.sum() < total:
            amounts[split] = 1
    left = total - int(amounts.sum())
    share = _filled(np.where(problem.open, wanted - amounts, -np.inf), np.array([left]))
    whole = np.floor(share + 1e-9)
    fraction = share - whole
    rest = left - int(whole.sum())
    for split in np.lexsort((np.arange(3), -np.where(fraction > 1e-9, fraction + carry, -np.inf)))[:rest]:
        whole[split] += 1
    carry += share - whole
    return np.asarray(amounts + whole.astype(np.int64))
