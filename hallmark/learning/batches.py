"""Training batches as a function of (epoch, number): the same for any worker count, from any place a run is taken up.

An epoch's order comes from the sampling plan; it is cut into batches of nearly equal size, so that none is too small
for batch norm. Each image's augmentation is seeded by (seed, epoch, image, place in the epoch).
"""

from __future__ import annotations

import signal
import sys
import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from hallmark.contracts import runtime
from hallmark.contracts.seeds import derive
from hallmark.learning.pixels import opened
from hallmark.sampling.order import epoch_order

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from hallmark.transforms.policy import Policy

WORTH_WORKERS = 15.0  # seconds of augmentation in all, below which worker processes cost more than they save


class Batch(NamedTuple):
    """images uint8 [b, height, width, channels], labels int64 [b], weights float32 [b]."""

    images: Tensor
    labels: Tensor
    weights: Tensor


Key = tuple[int, int]


@final
class Batches(Dataset[Batch]):
    """Batches by (epoch, number).

    ``images`` is the .npy file of the images of the plan's rows; ``plan`` has ``repeats`` and ``probability``;
    ``labels`` int64 [n] and ``weights`` float32 [n] are the rows'; ``transforms`` is policy.json's list.
    """

    def __init__(
        self,
        images: Path,
        *,
        plan: pd.DataFrame,
        sampler: str,
        labels: NDArray[np.int64],
        weights: NDArray[np.float32],
        transforms: Sequence[dict[str, Any]],
        batch_size: int,
        seed: int,
    ) -> None:
        self._path = images
        self._plan = plan[["repeats", "probability"]].reset_index(drop=True)
        self._sampler = sampler
        self._labels, self._weights = labels, weights
        self._transforms = list(transforms)
        self._seed = seed
        self.shown = int(self._plan["repeats"].sum())
        self.per_epoch = -(-self.shown // batch_size)
        self._opened: NDArray[np.uint8] | None = None
        self._policy: Policy | None = None
        self._order: tuple[int, NDArray[np.int64]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without what a worker process opens itself."""
        return {**self.__dict__, "_opened": None, "_policy": None, "_order": None}

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """All images, uint8 [n, height, width, channels], memory-mapped."""
        if self._opened is None:
            self._opened = opened(self._path)
        return self._opened

    def __getitem__(self, key: Key) -> Batch:
        epoch, number = key
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, epoch_order(self._plan, seed=self._seed, epoch=epoch, sampler=self._sampler))
        order = self._order[1]
        start, end = (len(order) * place // self.per_epoch for place in (number, number + 1))
        rows = order[start:end]
        images = self.pixels[rows]
        if self._transforms:
            policy = self._built()
            for place, row in enumerate(rows):
                seed = derive(self._seed, "train", "augment", epoch, int(row), start + place)
                images[place] = policy(images[place], seed)
        return Batch(
            torch.from_numpy(images), torch.from_numpy(self._labels[rows]), torch.from_numpy(self._weights[rows])
        )

    def _built(self) -> Policy:
        if self._policy is None:
            from hallmark.transforms.policy import build

            height, width, channels = self.pixels.shape[1:]
            self._policy = build(self._transforms, height=height, width=width, channels=channels)
        return self._policy

    def cost(self) -> float:
        """Seconds that augmenting one image takes, by trial; 0 without augmentation."""
        if not self._transforms:
            return 0.0
        policy, count = self._built(), min(32, len(self.pixels))
        started = time.perf_counter()
        for row in range(count):
            policy(np.array(self.pixels[row]), row)
        return (time.perf_counter() - started) / count


@dataclass
class Waiting:
    """Seconds spent waiting for batches."""

    seconds: float = 0.0


def workers(batches: Batches, *, epochs: int, where: torch.device) -> int:
    """Worker processes worth their start. Changes no batch: only the time they take."""
    spare = runtime.workers() - (1 if where.type == "cpu" else 0)
    if batches.cost() * batches.shown * epochs < WORTH_WORKERS:
        return 0
    return max(0, spare)


def stream(batches: Batches, *, start: Key, epochs: int, processes: int, waiting: Waiting) -> Iterator[Batch]:
    """All batches from ``start`` to the end of the last epoch, in order."""
    keys = [(start[0], number) for number in range(start[1], batches.per_epoch)]
    keys += [(epoch, number) for epoch in range(start[0] + 1, epochs) for number in range(batches.per_epoch)]
    if not processes:
        for key in keys:
            started = time.perf_counter()
            batch = batches[key]
            waiting.seconds += time.perf_counter() - started
            yield batch
        return
    with warnings.catch_warnings():
        # how many workers there are is for the person who set HALLMARK_WORKERS to say
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        loader: DataLoader[Batch] = DataLoader(
            batches,
            batch_size=None,
            sampler=keys,
            num_workers=processes,
            prefetch_factor=4,
            worker_init_fn=_quiet,
            generator=torch.Generator(),  # else it draws from torch's own
            # a forked worker would inherit the locks and exit hooks of Prefect's and MLflow's threads
            multiprocessing_context="spawn",
        )
        iterator = iter(loader)
    for _ in keys:
        started = time.perf_counter()
        batch = next(iterator)
        waiting.seconds += time.perf_counter() - started
        yield batch


def _quiet(_: int) -> None:
    """In a worker: signals are the parent's to handle, and OpenCV takes one core."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2 = sys.modules.get("cv2")
    if cv2 is not None:
        cv2.setNumThreads(0)
