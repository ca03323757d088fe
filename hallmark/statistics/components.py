"""Principal components: scikit-learn's PCA for pipelines, and :class:`Components` where float32 features are stored.

:class:`Components` computes in float64 and stores float32. scikit-learn's PCA differs in the last bits, which would
change the output of the stages clean and evaluate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Features = NDArray[np.float32]

_DIMENSIONS = 96
_FIT_ON = 20_000  # images whose covariance gives the components


def principal(features: NDArray[Any], most: int, *, whiten: bool = False) -> Any:
    """An unfitted scikit-learn PCA for ``features`` [n, d] with min(``most``, n, d) components."""
    from sklearn.decomposition import PCA

    return PCA(n_components=min(most, *features.shape), whiten=whiten, svd_solver="covariance_eigh")


@dataclass(frozen=True, kw_only=True, eq=False)
class Components:
    """Principal components of one kind of feature; :meth:`of` scales them to a mean squared length of 1."""

    mean: Features
    axes: Features  # [features, dimensions]
    scale: float

    @classmethod
    def fit(cls, features: Features) -> Components:
        """Fits on ``[images, features]``; beyond 20 000 images, on evenly spaced rows."""
        chosen = features[:: -(-len(features) // _FIT_ON)].astype(np.float64)
        mean = chosen.mean(axis=0)
        centred = chosen - mean
        values, vectors = np.linalg.eigh(centred.T @ centred / len(chosen))
        strongest = np.argsort(-values, kind="stable")[: min(_DIMENSIONS, max(1, len(chosen) - 1))]
        variance = float(values[strongest].clip(min=0).sum())
        return cls(
            mean=mean.astype(np.float32),
            axes=vectors[:, strongest].astype(np.float32),
            scale=float(1 / np.sqrt(max(variance, 1e-12))),
        )

    def of(self, features: Features) -> Features:
        """The features projected and scaled: float32 ``[images, dimensions]``."""
        return np.asarray(((features - self.mean) @ self.axes) * self.scale, np.float32)
