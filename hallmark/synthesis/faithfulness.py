"""Gate (b): does an image show its target class?

A classifier fitted on real training images only gives the probability of each image's label. Its accuracy on validation
images is the most that a faithful generator can reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hallmark.statistics.components import principal
from hallmark.synthesis.gate import Gate, rounded
from hallmark.transforms.judge import describe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from hallmark.synthesis.generator import Images, Labels

COMPONENTS = 96
MOST = 10_000  # real images, the first: where there are more, the caller's order has the classes in turn


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Per generated image: the probability of its label, and whether its label is the most probable."""

    probability: NDArray[np.float64]
    agrees: NDArray[np.bool_]
    held_out: NDArray[np.bool_]  # per validation image: whether the classifier is right


def measure(
    images: Images, targets: Labels, train: Images, labels: Labels, held_out: Images, truth: Labels
) -> Agreement:
    """Fits the classifier on the training images and applies it; images uint8 [n, height, width, channels]."""
    model = _fitted(train, labels)
    column = {int(label): index for index, label in enumerate(model.classes_)}
    target_columns = np.array([column[int(label)] for label in targets])
    odds = model.predict_proba(describe(images))
    right = model.predict(describe(held_out)) == truth if len(held_out) else np.empty(0, dtype=bool)
    probability = odds[np.arange(len(images)), target_columns]
    return Agreement(probability=probability, agrees=odds.argmax(axis=1) == target_columns, held_out=right)


def gate(
    agreement: Agreement, targets: Labels, truth: Labels, *, names: Sequence[str], min_agreement: float
) -> tuple[Gate, set[int]]:
    """Judges each class; the second value is the set of failed classes. Refuses the set if all classes fail.

    A class fails if the share of agreement is below ``min_agreement`` times the classifier's accuracy on real images.
    """
    accuracy = float(agreement.held_out.mean()) if len(agreement.held_out) else 1.0
    bound = min_agreement * accuracy
    failed: set[int] = set()
    classes: list[dict[str, Any]] = []
    for label in np.unique(targets):
        share = float(agreement.agrees[targets == label].mean())
        real = agreement.held_out[truth == label] if len(agreement.held_out) else agreement.held_out
        if share < bound:
            failed.add(int(label))
        classes.append(
            {
                "label": names[int(label)],
                "made": int((targets == label).sum()),
                "agreement": rounded(share),
                "accuracy_held_out": rounded(float(real.mean())) if len(real) else None,
                "passed": share >= bound,
            }
        )
    share = float(agreement.agrees.mean()) if len(agreement.agrees) else 0.0
    passed = len(failed) < len(classes)
    summary = (
        f"a classifier of real images agrees with {share:.0%} of the labels ({accuracy:.0%} on held-out real images)"
    )
    bad = ", ".join(names[label] for label in sorted(failed))
    reason = summary if not failed else f"{summary}; not faithful: {bad}"
    figures = {
        "agreement": rounded(share),
        "accuracy_held_out": rounded(accuracy) if len(agreement.held_out) else None,
        "least_agreement": rounded(bound),
        "classes": classes,
    }
    return Gate(name="faithfulness", passed=passed, reason=reason, figures=figures), failed


def _fitted(images: Images, labels: Labels) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    images, labels = images[:MOST], labels[:MOST]
    features = describe(images)
    model = make_pipeline(
        principal(features, COMPONENTS, whiten=True),
        LogisticRegression(C=0.1, class_weight="balanced", max_iter=500),
    )
    return model.fit(features, labels)
