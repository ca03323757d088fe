"""Nearest neighbours to compare a suspect with, among the images of a class without findings.

The distance is Euclidean in the features with which stage clean checks labels, before their PCA. Each class is sampled
to at most 300 evenly spaced images and decoded on first use, so a page opens at once even on a million images.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from hallmark.quality import embedding, thumbnails

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from hallmark.quality.embedding import Features

PER_CLASS = 300
_SCALED_ON = 600


class Neighbours:
    """Nearest images in ``files`` (of :class:`hallmark.reviewing.suspects.Findings`), stored in ``shards``.

    Threads may share it.
    """

    def __init__(self, files: pd.DataFrame, shards: Path, *, workers: int) -> None:
        self._files = files
        self._shards = shards
        self._workers = workers
        usable = files[(files["width"] > 0) & ~files["quarantined"] & (files["label"] != "")]
        sound = usable[usable["reasons"] == ""]
        all_suspect = set(usable["label"]) - set(sound["label"])
        # a class without sound images is represented by its suspects
        self._pool = {
            str(label): rows.index.to_numpy(object)
            for label, rows in [*sound.groupby("label"), *usable[usable["label"].isin(all_suspect)].groupby("label")]
        }
        self._of_class: dict[str, tuple[NDArray[np.object_], Features]] = {}
        self._scales: tuple[np.float32, ...] | None = None
        self._lock = threading.Lock()

    def nearest(self, path: str, label: str, *, count: int) -> list[str]:
        """The paths of the ``count`` images of class ``label`` most similar to ``path``, without itself."""
        return self._nearest(path, [label], count)

    def nearest_of_others(self, path: str, label: str, *, count: int) -> list[str]:
        """The paths of the ``count`` images most similar to ``path`` in other classes than ``label``.

        Searches the 20 classes with the most images.
        """
        others = sorted((name for name in self._pool if name != label), key=lambda name: (-len(self._pool[name]), name))
        return self._nearest(path, others[:20], count)

    def _nearest(self, path: str, labels: list[str], count: int) -> list[str]:
        with self._lock:
            parts = [self._reference(label) for label in labels if label in self._pool]
            if not parts:
                return []
            own = self._embed(np.array([path], object))
        names = np.concatenate([paths for paths, _ in parts])
        distance = np.concatenate([np.square(features - own).sum(axis=1) for _, features in parts])
        order = np.argsort(distance, kind="stable")
        return [str(names[index]) for index in order if names[index] != path][:count]

    def _reference(self, label: str) -> tuple[NDArray[np.object_], Features]:
        if label not in self._of_class:
            chosen = _spread(self._pool[label], PER_CLASS)
            self._of_class[label] = (chosen, self._embed(chosen))
        return self._of_class[label]

    def _embed(self, paths: NDArray[np.object_]) -> Features:
        if self._scales is None:
            everything = self._small(_spread(np.sort(np.concatenate(list(self._pool.values()))), _SCALED_ON))
            self._scales = tuple(_scale(of(everything)) for of in (embedding.gradients, embedding.colours))
        small = self._small(paths)
        shapes, looks = (of(small) for of in (embedding.gradients, embedding.colours))
        return embedding.join(shapes * self._scales[0], looks * self._scales[1])

    def _small(self, paths: NDArray[np.object_]) -> NDArray[np.uint8]:
        rows = self._files.loc[list(paths), ["shard", "row"]].to_numpy(np.int64)
        return thumbnails.load(self._shards, rows, side=embedding.SIDE, workers=self._workers)


def _spread(paths: NDArray[np.object_], most: int) -> NDArray[np.object_]:
    """At most ``most`` of the paths, evenly spaced."""
    return paths[:: -(-len(paths) // most)]


def _scale(features: Features) -> np.float32:
    """The factor that scales features ``[images, features]`` to a mean squared distance of 1 from their mean."""
    return np.float32(1 / np.sqrt(max(float(features.var(axis=0).sum()), 1e-12)))
