"""The head of a pretrained network, fitted to the features of the network as it came: logistic regression.

A head drawn at random spoils the layers below it with its first gradients, and takes epochs to learn what L-BFGS finds
in seconds. The network that results is also what fine-tuning has to beat (Kumar et al. 2022).
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from hallmark.contracts import progress
from hallmark.models import transfer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import nn

    Values = NDArray[np.float64]

#: inverse strengths of L2 for features whose mean square is 1 a dimension, the strongest first
STRENGTHS = (0.01, 0.03, 0.1, 1.0)
_FOLDS = 5
_TRIED = 2000  # images that choose the strength
_ITERATIONS = 300


@dataclass(frozen=True, kw_only=True)
class LinearHead:
    """``weight`` [classes, features] and ``bias`` [classes]; loss and accuracy are on the images of the fit."""

    weight: Values
    bias: Values
    strength: float
    loss: float
    accuracy: float

    def onto(self, network: nn.Module) -> None:
        """Makes this the head of ``network``."""
        layer = transfer.head(network)
        assert isinstance(layer, torch.nn.Linear)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(self.weight))
            layer.bias.copy_(torch.from_numpy(self.bias))


def fit(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    weights: Values,
    *,
    widths: Sequence[int],
    shift: Values,
    seed: int,
) -> LinearHead:
    """The head for features [n, features], labels [n] in 0..classes-1, each of which occurs, and weights [n].

    The features consist of parts of these ``widths``, each of which counts by its number of features, whatever its
    unit. Cross-validation on up to 2000 images chooses the strength of L2 by the log loss. ``shift`` [classes] is added
    to the logits in training alone (logit adjustment). One thread computes, so that the machine does not change a bit.
    """
    values = features.astype(np.float64)
    mean = values.mean(axis=0)
    values -= mean
    scale = _scale(values, widths)
    values *= scale
    weights = weights / weights.mean()
    progress.report("fitting the head to the features")
    with threadpool_limits(1):
        within, basis = _reduced(values)
        strength = _strength(within, labels, weights, seed)
        model = _fitted(within, labels, weights, strength)
        logits = _logits(model, within)
        coefficients: Values = model.coef_ @ basis * scale
    classes = logits.shape[1]
    weight = coefficients if classes > 2 else np.concatenate([-coefficients, coefficients]) / 2
    bias = model.intercept_ if classes > 2 else np.concatenate([-model.intercept_, model.intercept_]) / 2
    return LinearHead(
        weight=weight,
        bias=bias - weight @ mean - shift,
        strength=strength,
        loss=float(np.average(_losses(logits, labels), weights=weights)),
        accuracy=float((logits.argmax(axis=1) == labels).mean()),
    )


def _scale(centred: Values, widths: Sequence[int]) -> Values:
    """What makes the mean square of each part of the features 1."""
    scales, start = [], 0
    for width in widths:
        part = centred[:, start : start + width]
        scales.append(np.full(width, 1 / max(math.sqrt(float(np.mean(np.square(part)))), 1e-12)))
        start += width
    assert start == centred.shape[1], (start, centred.shape)
    return np.concatenate(scales)


def _reduced(values: Values) -> tuple[Values, Values]:
    """``values`` in an orthonormal basis [k, features] of their rows, where there are fewer images than features.

    The weights that L2 likes best are sums of the images' features, so that nothing is lost.
    """
    if len(values) >= values.shape[1]:
        return values, np.eye(values.shape[1])
    left, sizes, basis = np.linalg.svd(values, full_matrices=False)
    return left * sizes, basis


def _strength(values: Values, labels: NDArray[np.int64], weights: Values, seed: int) -> float:
    """The strength with the lowest log loss out of fold; the middle one where a class is too small to be divided."""
    rows = np.random.default_rng(seed).permutation(len(labels))[:_TRIED]
    count = np.bincount(labels[rows])
    if count[count > 0].min() < 2:
        return STRENGTHS[len(STRENGTHS) // 2]
    folds = StratifiedKFold(min(_FOLDS, int(count[count > 0].min())))
    divided = list(folds.split(rows, labels[rows]))
    loss = partial(_loss_out_of_fold, values[rows], labels[rows], weights[rows], divided)
    return min(STRENGTHS, key=loss)


def _loss_out_of_fold(
    values: Values,
    labels: NDArray[np.int64],
    weights: Values,
    folds: list[tuple[NDArray[np.int64], NDArray[np.int64]]],
    strength: float,
) -> float:
    total = 0.0
    for train, held_out in folds:
        model = _fitted(values[train], labels[train], weights[train], strength)
        logits = _logits(model, values[held_out])
        truth = np.searchsorted(model.classes_, labels[held_out])
        total += float((weights[held_out] * _losses(logits, truth)).sum())
    return total


def _fitted(values: Values, labels: NDArray[np.int64], weights: Values, strength: float) -> LogisticRegression:
    # scikit-learn adds up the losses of all images: the penalty of a mean loss grows with their number
    model = LogisticRegression(C=strength, max_iter=_ITERATIONS)
    with warnings.catch_warnings():
        # of correlated features the last digits would take thousands of iterations, and change no answer
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(values, labels, sample_weight=weights)


def _logits(model: LogisticRegression, values: Values) -> Values:
    logits: Values = model.decision_function(values)
    return logits if logits.ndim == 2 else np.stack([-logits / 2, logits / 2], axis=1)


def _losses(logits: Values, labels: NDArray[np.int64]) -> Values:
    """The log loss of each image [n]."""
    losses: Values = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(labels)), labels]
    return losses
