"""The gates of synthetic images, in order, for any origin of the images.

Near-copies and images that do not show their class are dropped; each class keeps the first images it needs of the rest.
The first failed gate refuses the set and skips the later ones: a set of copies needs no training run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from hallmark.contracts import progress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from hallmark.synthesis.gate import Gate
    from hallmark.synthesis.generator import Images, Labels
    from hallmark.synthesis.rules import Rules
    from hallmark.transforms.policy import Policy


@dataclass(frozen=True, kw_only=True)
class Real:
    """Real images uint8 [n, height, width, channels] and their labels int64 [n]."""

    images: Images
    labels: Labels


@dataclass(kw_only=True)
class Assay:
    """The results of the gates; ``kept`` are indices into the candidates."""

    gates: list[Gate] = field(default_factory=list)
    kept: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    fate: NDArray[np.str_]  # kept, near_copy, unfaithful, surplus; refused: kept but for a failed gate
    distance: NDArray[np.float64]
    agreement: NDArray[np.float64]

    @property
    def refusal(self) -> Gate | None:
        """The gate that refused the set, or None."""
        return next((gate for gate in self.gates if not gate.passed), None)


def assay(
    images: Images, labels: Labels, *, train: Real, held_out: Real, names: Sequence[str], wanted: Mapping[int, int],
    policy: Policy, rules: Rules, seed: int,
) -> Assay:  # fmt: skip
    """Judges candidates uint8 [m, height, width, channels] of classes int64 [m]; ``wanted`` is the count per class."""
    from hallmark.synthesis import distribution, faithfulness, memorisation, utility

    progress.report("comparing synthetic images with real ones")
    closeness = memorisation.measure(images, train.images, held_out.images, quantile=rules.near_copy_quantile)
    agreement = faithfulness.measure(images, labels, train.images, train.labels, held_out.images, held_out.labels)
    faithful, failed = faithfulness.gate(
        agreement, labels, held_out.labels, names=names, min_agreement=rules.min_agreement
    )
    fate = np.where(closeness.copy, "near_copy", np.where(agreement.agrees, "kept", "unfaithful")).astype("<U10")
    fate[np.isin(labels, sorted(failed)) & ~closeness.copy] = "unfaithful"
    for label, count in wanted.items():
        fate[np.flatnonzero((fate == "kept") & (labels == label))[count:]] = "surplus"
    kept = np.flatnonzero(fate == "kept")
    out = Assay(fate=fate, distance=closeness.distance, agreement=agreement.probability)
    out.gates.append(memorisation.gate(closeness, max_copies=rules.max_near_copies))
    if out.refusal is None:
        out.gates.append(faithful)
    if out.refusal is None and len(kept):
        out.gates.append(
            distribution.gate(
                images[kept], labels[kept], train.images, train.labels, held_out.images, held_out.labels,
                min_precision=rules.min_precision, min_coverage=rules.min_coverage,
                max_two_sample_auc=rules.max_two_sample_auc, seed=seed,
            )
        )  # fmt: skip
    if out.refusal is None and len(kept):
        done = utility.trials(
            train.images, train.labels, images[kept], labels[kept], held_out.images, held_out.labels,
            policy=policy, classes=len(names), pairs=rules.utility_pairs, steps=rules.utility_steps, seed=seed,
        )  # fmt: skip
        meant = [int(label) for label in np.unique(labels[kept])]
        out.gates.append(utility.gate(done, meant=meant, names=names, max_loss=rules.max_loss, min_gain=rules.min_gain))
    if out.refusal is None:
        out.kept = kept
    else:
        fate[kept] = "refused"
    return out
