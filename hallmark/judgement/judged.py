"""What a model says of images whose labels are known, and which of the images are one piece of evidence."""

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

    ``paths`` [n] name the images, where they are matched with those of another set.
    """

    labels: Integers
    probabilities: Floats
    clusters: Integers
    classes: tuple[str, ...]
    paths: NDArray[np.object_] | None = None

    @staticmethod
    def of(images: pd.DataFrame, probabilities: Floats, classes: Sequence[str]) -> Judged:
        """The images with columns ``path``, ``label`` and ``cluster``, judged by ``probabilities`` [n, classes].

        A label the model does not know becomes a class of probability 0, after the others: it cannot be got right.
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
        """From a table of predictions (``path label predicted`` and a column per class) and one of CLUSTERS.

        Without the latter, as of a model registered before it was written, each image is evidence of its own.
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
        """The most probable class of each image, [n]; the first of equals."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether the most probable class is the label, [n]."""
        return np.asarray(self.predicted == self.labels)

    @property
    def confidence(self) -> Floats:
        """The highest probability, [n]."""
        return np.asarray(self.probabilities.max(axis=1), dtype=np.float64)

    def rows(self, keep: NDArray[np.bool_] | Integers) -> Judged:
        """Some of the images: where a mask holds, or by their numbers."""
        paths = None if self.paths is None else self.paths[keep]
        return Judged(self.labels[keep], self.probabilities[keep], self.clusters[keep], self.classes, paths)

    def answered(self, probabilities: Floats) -> Judged:
        """The same images with other answers; classes beyond those answered have probability 0."""
        return replace(self, probabilities=_padded(probabilities, len(self.classes)))

    def reordered(self, classes: Sequence[str]) -> Judged:
        """The same with the classes in another order."""
        order = [self.classes.index(name) for name in classes]
        labels = np.argsort(order)[self.labels]
        return replace(self, labels=labels, probabilities=self.probabilities[:, order], classes=tuple(classes))

    def n_clusters(self) -> int:
        """How many independent pieces of evidence the images are."""
        return len(np.unique(self.clusters))


def _padded(probabilities: Floats, classes: int) -> Floats:
    return np.pad(probabilities, ((0, 0), (0, classes - probabilities.shape[1])))
