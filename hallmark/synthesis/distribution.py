"""Gate (c): do the images, as a set, look like the real ones of their class, and as varied?

Precision and density ask whether generated images lie where real ones do; recall and coverage, whether real images have
generated ones about them (Kynkäänniemi et al. 2019; Naeem et al. 2020). They are taken class by class, in the space of
a few hundred image features, and averaged. A two-sample test (Lopez-Paz & Oquab 2017) asks how well a classifier tells
generated from real images it was not fitted on: an AUC of 0.5 is guessing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hallmark.contracts.seeds import derive
from hallmark.statistics.components import principal
from hallmark.statistics.neighbours import nearest
from hallmark.synthesis.gate import Gate, rounded
from hallmark.transforms.judge import describe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hallmark.synthesis.generator import Images, Labels

    Features = NDArray[np.float32]

NEIGHBOURS = 5
COMPONENTS = 32
MOST = 1000  # images of a class that are compared
FOLDS = 5
FIGURES = ("precision", "recall", "density", "coverage")
TOO_FEW = "too few images of a class to compare distributions"


def prdc(real: Features, made: Features, *, k: int) -> dict[str, float]:
    """Precision, recall, density and coverage of made [m, d] against real [n, d] features; k < n, k < m."""
    real_radius = nearest(real, real, k=k, but=np.arange(len(real)))[0][:, -1]
    made_radius = nearest(made, made, k=k, but=np.arange(len(made)))[0][:, -1]
    gaps = np.linalg.norm(made[:, None].astype(np.float64) - real[None], axis=2)
    inside = gaps <= real_radius[None]
    return {
        "precision": float(inside.any(axis=1).mean()),
        "recall": float((gaps <= made_radius[:, None]).any(axis=0).mean()),
        "density": float(inside.sum(axis=1).mean() / k),
        "coverage": float((gaps.min(axis=0) <= real_radius).mean()),
    }


def gate(
    made: Images, asked: Labels, real: Images, labels: Labels, held_out: Images, truth: Labels, *,
    min_precision: float, min_coverage: float, max_two_sample_auc: float, seed: int,
) -> Gate:  # fmt: skip
    """Compares generated images with real training images of the same classes.

    The same figures of held-out real images are the yardstick: what real images reach. A figure that too few images
    leave undefined refuses the set, unless its bound (0, of the AUC 1) asks nothing.
    """
    base = describe(real)
    plane = principal(base, COMPONENTS).fit(base)
    points = plane.transform(base).astype(np.float32)
    points_made = plane.transform(describe(made)).astype(np.float32)
    points_held = plane.transform(describe(held_out)).astype(np.float32) if len(held_out) else points[:0]
    rows, yardstick = [], []
    for label in np.unique(asked):
        of_class = points[labels == label][:MOST]
        found = _compared(of_class, points_made[asked == label][:MOST])
        if found is not None:
            rows.append(found)
    for label in np.unique(labels):
        found = _compared(points[labels == label][:MOST], points_held[truth == label][:MOST])
        if found is not None:
            yardstick.append(found)
    mean = {name: _mean([row[name] for row in rows]) for name in FIGURES}
    auc, p = _two_samples(points, labels, points_made, asked, seed=seed)
    figures: dict[str, Any] = {
        **{name: rounded(value) for name, value in mean.items()},
        "held_out": {name: rounded(_mean([row[name] for row in yardstick])) for name in FIGURES},
        "two_sample_auc": rounded(auc),
        "two_sample_p": rounded(p),
        "min_precision": min_precision,
        "min_coverage": min_coverage,
        "max_two_sample_auc": max_two_sample_auc,
    }
    precision, coverage = mean["precision"], mean["coverage"]
    told_apart = f"they are told from real ones with an AUC of {auc:.3f}, above {max_two_sample_auc}"
    # every comparison with NaN is false: a figure passes only where it is known to meet its bound
    imprecise = f"precision {precision:.2f} is below {min_precision}"
    sparse = f"coverage {coverage:.2f} is below {min_coverage}"
    checks = (
        (precision, min_precision > 0, precision >= min_precision, imprecise),
        (coverage, min_coverage > 0, coverage >= min_coverage, sparse),
        (auc, max_two_sample_auc < 1, auc <= max_two_sample_auc, told_apart),
    )
    faults = [TOO_FEW if np.isnan(value) else fault for value, asked, met, fault in checks if asked and not met]
    told = f"precision {precision:.2f}, coverage {coverage:.2f}, two-sample AUC {auc:.2f}" if rows else TOO_FEW
    reason = "; ".join(dict.fromkeys(faults)) or told
    return Gate(name="distribution", passed=not faults, reason=reason, figures=figures)


def _compared(real: Features, made: Features) -> dict[str, float] | None:
    """Figures of one class, None where it has too few images."""
    k = min(NEIGHBOURS, len(real) - 1, len(made) - 1)
    return prdc(real, made, k=k) if k >= 2 else None


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _two_samples(real: Features, labels: Labels, made: Features, asked: Labels, *, seed: int) -> tuple[float, float]:
    """The AUC of telling made from real, out of fold, with equally many of each class; and its p-value against 0.5."""
    from scipy.stats import mannwhitneyu
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    random = np.random.default_rng(derive(seed, "synthesize", "two samples"))
    of_real, of_made = [], []
    for label in np.unique(asked):
        there, here = np.flatnonzero(labels == label), np.flatnonzero(asked == label)
        count = min(len(there), len(here), MOST)
        of_real.append(random.permutation(there)[:count])
        of_made.append(random.permutation(here)[:count])
    points = np.concatenate([real[np.concatenate(of_real)], made[np.concatenate(of_made)]])
    half = len(points) // 2
    if half < FOLDS:
        return float("nan"), float("nan")
    truth = np.repeat([0, 1], half)
    # squares let a linear rule see that generated images vary less
    points = np.concatenate([points, points**2], axis=1)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=derive(seed, "synthesize", "folds") % 2**32)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    scores = cross_val_predict(model, points, truth, cv=folds, method="decision_function")
    test = mannwhitneyu(scores[half:], scores[:half], alternative="two-sided")
    return float(test.statistic / half**2), float(test.pvalue)
