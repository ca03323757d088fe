"""Gate (c): does the set have the distribution of the real images of its classes?

Precision and density measure whether generated images are near real ones; recall and coverage whether real images have
generated neighbours (Kynkäänniemi et al. 2019; Naeem et al. 2020). They are computed per class in principal components
of image features, and averaged. The two-sample test (Lopez-Paz & Oquab 2017) measures how well a classifier separates
held-out generated and real images: an AUC of 0.5 is chance.
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
MOST = 1000  # images compared per class
FOLDS = 5
FIGURES = ("precision", "recall", "density", "coverage")
TOO_FEW = "too few images of a class to compare distributions"


def prdc(real: Features, generated: Features, *, k: int) -> dict[str, float]:
    """Precision, recall, density and coverage of generated [m, d] against real [n, d] features; k < n, k < m."""
    real_radius = nearest(real, real, k=k, but=np.arange(len(real)))[0][:, -1]
    generated_radius = nearest(generated, generated, k=k, but=np.arange(len(generated)))[0][:, -1]
    gaps = np.linalg.norm(generated[:, None].astype(np.float64) - real[None], axis=2)
    inside = gaps <= real_radius[None]
    return {
        "precision": float(inside.any(axis=1).mean()),
        "recall": float((gaps <= generated_radius[:, None]).any(axis=0).mean()),
        "density": float(inside.sum(axis=1).mean() / k),
        "coverage": float((gaps.min(axis=0) <= real_radius).mean()),
    }


def gate(
    images: Images, targets: Labels, real: Images, labels: Labels, held_out: Images, truth: Labels, *,
    min_precision: float, min_coverage: float, max_two_sample_auc: float, seed: int,
) -> Gate:  # fmt: skip
    """Compares generated images with real training images of the same classes.

    The same figures of held-out real images serve as reference. A figure that is undefined for lack of images refuses
    the set, unless its bound (0, or 1 for the AUC) disables it.
    """
    base = describe(real)
    plane = principal(base, COMPONENTS).fit(base)
    points = plane.transform(base).astype(np.float32)
    generated = plane.transform(describe(images)).astype(np.float32)
    points_held = plane.transform(describe(held_out)).astype(np.float32) if len(held_out) else points[:0]
    rows, yardstick = [], []
    for label in np.unique(targets):
        of_class = points[labels == label][:MOST]
        row = _compared(of_class, generated[targets == label][:MOST])
        if row is not None:
            rows.append(row)
    for label in np.unique(labels):
        row = _compared(points[labels == label][:MOST], points_held[truth == label][:MOST])
        if row is not None:
            yardstick.append(row)
    mean = {name: _mean([row[name] for row in rows]) for name in FIGURES}
    auc, p = _two_samples(points, labels, generated, targets, seed=seed)
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
    separable = f"a classifier separates them from real images with an AUC of {auc:.3f}, above {max_two_sample_auc}"
    # fail closed: every comparison with NaN is false, so an undefined figure does not pass
    imprecise = f"precision {precision:.2f} is below {min_precision}"
    sparse = f"coverage {coverage:.2f} is below {min_coverage}"
    checks = (
        (precision, min_precision > 0, precision >= min_precision, imprecise),
        (coverage, min_coverage > 0, coverage >= min_coverage, sparse),
        (auc, max_two_sample_auc < 1, auc <= max_two_sample_auc, separable),
    )
    faults = [TOO_FEW if np.isnan(value) else fault for value, required, met, fault in checks if required and not met]
    summary = f"precision {precision:.2f}, coverage {coverage:.2f}, two-sample AUC {auc:.2f}" if rows else TOO_FEW
    reason = "; ".join(dict.fromkeys(faults)) or summary
    return Gate(name="distribution", passed=not faults, reason=reason, figures=figures)


def _compared(real: Features, generated: Features) -> dict[str, float] | None:
    """Figures of one class, None if it has too few images."""
    k = min(NEIGHBOURS, len(real) - 1, len(generated) - 1)
    return prdc(real, generated, k=k) if k >= 2 else None


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _two_samples(
    real: Features, labels: Labels, generated: Features, targets: Labels, *, seed: int
) -> tuple[float, float]:
    """The out-of-fold AUC of generated against real images, balanced per class, and its p-value against 0.5."""
    from scipy.stats import mannwhitneyu
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    random = np.random.default_rng(derive(seed, "synthesize", "two samples"))
    of_real, of_generated = [], []
    for label in np.unique(targets):
        there, here = np.flatnonzero(labels == label), np.flatnonzero(targets == label)
        count = min(len(there), len(here), MOST)
        of_real.append(random.permutation(there)[:count])
        of_generated.append(random.permutation(here)[:count])
    points = np.concatenate([real[np.concatenate(of_real)], generated[np.concatenate(of_generated)]])
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
