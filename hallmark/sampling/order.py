"""Which plan rows an epoch shows, in which order.

The order depends on (plan, seed, epoch) alone, so a run can resume at any position with any number of workers.

>>> import pandas as pd
>>> plan = pd.DataFrame({"repeats": [1, 2, 0], "probability": [1 / 3, 2 / 3, 0.0]})
>>> sorted(epoch_order(plan, seed=0, epoch=0, sampler="sequential").tolist())
[0, 1, 1]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hallmark.contracts.seeds import derive

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


def epoch_order(plan: pd.DataFrame, *, seed: int, epoch: int, sampler: str) -> NDArray[np.int64]:
    """Row numbers of the plan, int64 [sum of repeats].

    ``sampler`` is plan.json's: ``sequential`` shuffles every row ``repeats`` times; ``weighted`` draws with replacement
    by ``probability``.
    """
    repeats = plan["repeats"].to_numpy(dtype=np.int64)
    probability = plan["probability"].to_numpy(dtype=np.float64)
    assert sampler in ("sequential", "weighted"), f"unknown sampler {sampler!r}"
    generator = np.random.default_rng(derive(seed, "sampling", "order", epoch))
    if sampler == "weighted":
        # choice() rejects sums that differ from 1 by rounding
        drawn = generator.choice(len(plan), size=int(repeats.sum()), p=probability / probability.sum())
        return drawn.astype(np.int64)
    return generator.permutation(np.repeat(np.arange(len(plan), dtype=np.int64), repeats))
