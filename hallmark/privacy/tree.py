"""Tree aggregation: noisy sums of gradients without any assumption about sampling (dp_ftrl_tree, Kairouz et al. 2021).

The steps are the leaves of binary trees. Each completed node releases the sum of its leaves with noise of its own, and
the sum of all steps so far is that of at most log2(steps) nodes. Honaker's estimator (2015) improves each node by its
children: a node's own noise, of variance 1, and the sum of its children's estimates are averaged in inverse proportion
to their variances. That is post-processing.

Units have fixed steps: a unit of group g takes part in the steps g, g + groups, g + 2 groups, … without sampling. Its
sum in a node is at most the number of its steps there, which gives the whole release's sensitivity exactly.

>>> round(sensitivity(steps=8, groups=8), 3)  # one node of each height: 4 nodes of 1 step each
2.0
>>> [round(prefix_variance(step), 3) for step in (1, 2, 3, 4)]
[1.0, 0.667, 1.667, 0.571]
"""

from __future__ import annotations

import math

import numpy as np


def sensitivity(*, steps: int, groups: int) -> float:
    """The L2 norm of one unit's part in all nodes, at contributions of norm 1; the most over all groups."""
    assert 1 <= groups <= steps, (groups, steps)
    squares = np.zeros(groups)
    step = np.arange(steps)
    for height in range(steps.bit_length()):
        inside = step[: steps >> height << height]  # a node is released when its last step is
        nodes = steps >> height
        keys, counts = np.unique(inside % groups * nodes + (inside >> height), return_counts=True)
        np.add.at(squares, keys // nodes, np.square(counts))
    return math.sqrt(float(squares.max()))


def node_variance(height: int) -> float:
    """The variance of Honaker's estimate of a node's sum; leaves have height 0 and variance 1."""
    variance = 1.0
    for _ in range(height):
        variance = 2 * variance / (1 + 2 * variance)
    return variance


def own_weight(height: int) -> float:
    """The weight of a node's own noisy sum in its estimate; the sum of its children has the rest."""
    children = 2 * node_variance(height - 1)
    return children / (1 + children)


def prefix_variance(steps: int) -> float:
    """The variance of the estimated sum of the first ``steps`` steps."""
    return sum(node_variance(height) for height in range(steps.bit_length()) if steps >> height & 1)
