"""Predictions on labelled images, with the duplicate clusters that make images dependent."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Judged:
    """``labels`` (indices of ``classes``) and ``clusters`` are integers [n], ``probabilities`` [n, classes].

    ``paths`` [n] name the images; matching them with another set needs them.
    """

    labels: Integers
    probabilities: Floats
    clusters: Integers
    classes: tuple[str, ...]
    paths: NDArray[np.object_] | None = None

    @staticmethod
    def of(images: pd.DataFrame, probabilities: Floats, classes: Sequence[str]) -> Judged:
        """Images (columns ``path``, ``label``, ``cluster``) with their ``probabilities`` [n, classes].

        A label that the model does not know is appended as a class of probability 0: each image of it is a mistake.
        """
        everything = (*classes, *sorted(set(images["label"].astype(str)) - set(classes)))
        index = {name: position for position, name in enumerate(everything)}
        clusters = np.unique(images["cluster"].to_numpy(dtype=str), return_inverse=True)[1]
        return Judged(
            np.asarray(images["label"].astype(str).map(index), dtype=np.int64),
            _padded(probabilities, len(everything)),
            clusters.astype(np.int64),
            everything,
            images["path"].astype(str).to_numpy(dtype=object),
        )

    @staticmethod
    def read(predictions: pd.DataFrame, clusters: pd.DataFrame | None, classes: Sequence[str]) -> Judged:
        """From a prediction table (``path label predicted`` and a column per class) and a CLUSTERS table.

        Without clusters (models registered before they were written) each image is its own cluster.
        """
        images = predictions[["path", "label"]]
        if clusters is None:
            images = images.assign(cluster=images["path"])
        else:
            images = images.merge(clusters, on="path", how="left", validate="one_to_one")
        probabilities = predictions.iloc[:, 3:].to_numpy(dtype=np.float64)
        judged = Judged.of(images, probabilities[:, : len(classes)], classes)
        columns = probabilities.shape[1]
        assert columns == len(judged.classes), f"predictions have {columns} probability columns"
        return judged

    @property
    def predicted(self) -> Integers:
        """The most probable class of each image, [n]; ties go to the first."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether the prediction is correct, [n]."""
        return np.asarray(self.predicted == self.labels)

    @property
    def confidence(self) -> Floats:
        """The highest probability, [n]."""
        return np.asarray(self.probabilities.max(axis=1), dtype=np.float64)

    def rows(self, keep: NDArray[np.bool_] | Integers) -> Judged:
        """The images selected by a mask or by row numbers."""
        paths = None if self.paths is None else self.paths[keep]
        return Judged(self.labels[keep], self.probabilities[keep], self.clusters[keep], self.classes, paths)

    def answered(self, probabilities: Floats) -> Judged:
        """The same images with other predictions; missing trailing classes get probability 0."""
        return replace(self, probabilities=_padded(probabilities, len(self.classes)))

    def reordered(self, classes: Sequence[str]) -> Judged:
        """The same predictions with the classes in another order."""
        order = [self.classes.index(name) for name in classes]
        labels = np.argsort(order)[self.labels]
        return replace(self, labels=labels, probabilities=self.probabilities[:, order], classes=tuple(classes))

    def n_clusters(self) -> int:
        """The number of independent observations."""
        return len(np.unique(self.clusters))


def _padded(probabilities: Floats, classes: int) -> Floats:
    return np.pad(probabilities, ((0, 0), (0, classes - probabilities.shape[1])))
