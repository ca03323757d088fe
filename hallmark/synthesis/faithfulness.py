"""Gate (b): does an image show the class it was asked to show?

A classifier fitted on real training images alone gives each image the probability of its label. How often it is right
about real images it has not seen, the validation images, is what a faithful generator can reach.
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
    """Of each made image: the probability of its label, and whether no other label is likelier."""

    probability: NDArray[np.float64]
    agrees: NDArray[np.bool_]
    held_out: NDArray[np.bool_]  # of each validation image: whether the classifier is right


def measure(made: Images, asked: Labels, train: Images, labels: Labels, held_out: Images, truth: Labels) -> Agreement:
    """Fits the classifier on the training images and asks it; images uint8 [n, height, width, channels]."""
    model = _fitted(train, labels)
    column = {int(label): place for place, label in enumerate(model.classes_)}
    known = np.array([column[int(label)] for label in asked])
    odds = model.predict_proba(describe(made))
    right = model.predict(describe(held_out)) == truth if len(held_out) else np.empty(0, dtype=bool)
    probability = odds[np.arange(len(made)), known]
    return Agreement(probability=probability, agrees=odds.argmax(axis=1) == known, held_out=right)


def gate(
    found: Agreement, asked: Labels, truth: Labels, *, names: Sequence[str], min_agreement: float
) -> tuple[Gate, set[int]]:
    """Judges each class; the second value is the classes that fail. Refuses where none is left.

    A class fails where the classifier agrees with less than ``min_agreement`` of its accuracy on real images.
    """
    accuracy = float(found.held_out.mean()) if len(found.held_out) else 1.0
    bound = min_agreement * accuracy
    failed: set[int] = set()
    classes: list[dict[str, Any]] = []
    for label in np.unique(asked):
        share = float(found.agrees[asked == label].mean())
        real = found.held_out[truth == label] if len(found.held_out) else found.held_out
        if share < bound:
            failed.add(int(label))
        classes.append(
            {
                "label": names[int(label)],
                "made": int((asked == label).sum()),
                "agreement": rounded(share),
                "accuracy_held_out": rounded(float(real.mean())) if len(real) else None,
                "passed": share >= bound,
            }
        )
    share = float(found.agrees.mean()) if len(found.agrees) else 0.0
    passed = len(failed) < len(classes)
    told = f"a classifier of real images agrees with {share:.0%} of the labels ({accuracy:.0%} on held-out real images)"
    bad = ", ".join(names[label] for label in sorted(failed))
    reason = told if not failed else f"{told}; not faithful: {bad}"
    figures = {
        "agreement": rounded(share),
        "accuracy_held_out": rounded(accuracy) if len(found.held_out) else None,
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
