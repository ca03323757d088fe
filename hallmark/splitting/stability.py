"""The choice between the two rules that split: stable as data grow, or exact on the data at hand."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

AUTO, HASH, EXACT = STABILITIES = ("auto", "hash", "exact")
SMALL = 2000  # images: below, auto is exact


class Rule(Protocol):
    """Assigns a split to each unit, see :func:`hallmark.splitting.assignment.assign`."""

    def __call__(
        self,
        unit: NDArray[np.int64],
        label: NDArray[np.int64],
        position: NDArray[np.float64],
        /,
        *,
        val: float,
        test: float,
    ) -> NDArray[np.int64]: ...


def resolve(stability: str, images: int) -> str:
    """``hash`` or ``exact``.

    >>> resolve("auto", 1999), resolve("auto", 2000), resolve("hash", 10)
    ('exact', 'hash', 'hash')
    """
    if stability != AUTO:
        return stability
    return EXACT if images < SMALL else HASH


def rule(resolved: str, *, cover: bool) -> Rule:
    """The rule of a resolved stability; ``exact`` covers small classes in any case."""
    from hallmark.splitting import assignment, exact  # with numpy, which a check of params.yaml does not import

    return exact.assign if resolved == EXACT else partial(assignment.assign, cover=cover)
