"""Training batches as a function of (epoch, number): the same for any worker count, from any position a run resumes at.

An epoch's order comes from the sampling plan; it is cut into batches of nearly equal size, so that none is too small
for batch norm. Each image's augmentation is seeded by (seed, epoch, image, position in the epoch), and done for many
images at once or one by one, as :func:`hallmark.transforms.batched.executor` says for their size and the device.
Images, seed and device decide what a batch holds, never how many batches are made together or by whom.
"""

from __future__ import annotations

import itertools
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
from hallmark.contracts.processes import leave_signals_to_the_parent
from hallmark.contracts.seeds import derive
from hallmark.sampling.order import epoch_order
from hallmark.transforms import draws

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    import pandas as pd
    from numpy.typing import NDArray

    from hallmark.learning.replicas import Replicas

    Augment = Callable[[Tensor, NDArray[np.uint64]], Tensor]

TOGETHER = 1 << 20  # values of images made at once where no worker makes them: fixed costs are shared by many batches
RESIDENT = 0.5  # share of a GPU's free memory that the images may take
TRIED = 128  # images that tell what augmentation costs
WORTH_WORKERS = 15.0  # seconds of augmentation in all, below which worker processes cost more than they save


class Batch(NamedTuple):
    """images uint8 [b, height, width, channels], labels int64 [b], weights float32 [b]; on the host or the device."""

    images: Tensor
    labels: Tensor
    weights: Tensor


Key = tuple[int, int]


@final
class Batches(Dataset[Batch]):
    """Batches by (epoch, number).

    ``images`` is the .npy file of the images of the plan's rows; ``plan`` has ``repeats`` and ``probability``;
    ``labels`` int64 [n] and ``weights`` float32 [n] are the rows'; ``transforms`` is policy.json's list, applied from
    epoch ``plain_epochs`` on. ``device`` is where training runs; a GPU keeps all images where they fit, and then makes
    the batches.
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
        plain_epochs: int = 0,
        device: torch.device | None = None,
    ) -> None:
        self._path = images
        self._plan = plan[["repeats", "probability"]].reset_index(drop=True)
        self._sampler = sampler
        self._labels, self._weights = torch.from_numpy(labels), torch.from_numpy(weights)
        self._transforms = list(transforms)
        self._seed = seed
        self.plain_epochs = plain_epochs
        self.images_per_epoch = int(self._plan["repeats"].sum())
        self.per_epoch = -(-self.images_per_epoch // batch_size)
        self._opened: NDArray[np.uint8] | None = None
        self._augment: Augment | None = None
        self._order: tuple[int, NDArray[np.int64]] | None = None
        device = device or torch.device("cpu")
        self.executor = _executor(self._transforms, self.pixels.shape, device)
        self._resident: Tensor | None = None
        if device.type == "cuda" and self.executor != "per_image":
            free, _ = torch.cuda.mem_get_info(device)
            if self.pixels.nbytes < RESIDENT * free:
                self.reside(device)

    @property
    def by_threads(self) -> bool:
        """Whether several threads may make batches at once: albumentations keeps a state for all of them."""
        if self.resident or self.executor == "per_image":
            return False
        return self.executor == "none" or bool(getattr(self._augmenter(), "whole", False))

    @property
    def values_per_batch(self) -> int:
        """Pixels times channels that a batch holds at most."""
        return -(-self.images_per_epoch // self.per_epoch) * int(np.prod(self.pixels.shape[1:]))

    def reside(self, device: torch.device) -> None:
        """Keeps all images, labels and weights on the device, where batches are then made."""
        self._resident = torch.from_numpy(np.array(self.pixels)).to(device)
        self._labels, self._weights = self._labels.to(device), self._weights.to(device)

    @property
    def resident(self) -> bool:
        """Whether the images lie on the device."""
        return self._resident is not None

    def __getstate__(self) -> dict[str, Any]:
        """Without what another process opens itself, on its own device."""
        anew = {"_opened": None, "_augment": None, "_order": None, "_resident": None}
        return {**self.__dict__, **anew, "_labels": self._labels.cpu(), "_weights": self._weights.cpu()}

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """All images, uint8 [n, height, width, channels], memory-mapped."""
        if self._opened is None:
            self._opened = np.load(self._path, mmap_mode="r")
        return self._opened

    def __getitem__(self, key: Key) -> Batch:
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[Key]) -> list[Batch]:
        """Several batches, made together: the same as one by one."""
        parts = itertools.groupby(keys, key=lambda key: key[0] < self.plain_epochs)
        return [batch for plain, some in parts for batch in self._load(list(some), plain=plain)]

    def _load(self, keys: Sequence[Key], *, plain: bool) -> list[Batch]:
        rows, positions, seeds = zip(*(self._members(key) for key in keys), strict=True)
        chosen = np.concatenate(rows)
        index = torch.from_numpy(chosen)
        if self._resident is not None:
            index = index.to(self._resident.device, non_blocking=True)
            images = self._resident.index_select(0, index)
        else:
            images = torch.from_numpy(self.pixels[chosen])
        if self._transforms and not plain:
            marks = [
                draws.keys(seed=seed, rows=each, positions=position)
                for seed, each, position in zip(seeds, rows, positions, strict=True)
            ]
            images = self._augmented(images, np.concatenate(marks))
        sizes = [len(each) for each in rows]
        parts = (images, self._labels[index], self._weights[index])
        return [Batch(*part) for part in zip(*(torch.split(each, sizes) for each in parts), strict=True)]

    def _members(self, key: Key) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
        """A batch's rows, their positions in the epoch, and the seed of the epoch's augmentation."""
        epoch, number = key
        cached = self._order
        if cached is None or cached[0] != epoch:
            cached = self._order = epoch, epoch_order(self._plan, seed=self._seed, epoch=epoch, sampler=self._sampler)
        order = cached[1]
        start, end = (len(order) * index // self.per_epoch for index in (number, number + 1))
        return order[start:end], np.arange(start, end), derive(self._seed, "train", "augment", epoch)

    def _augmented(self, images: Tensor, marks: NDArray[np.uint64]) -> Tensor:
        return self._augmenter()(images, marks)

    def _augmenter(self) -> Augment:
        if self._augment is None:
            height, width, channels = self.pixels.shape[1:]
            shape = {"height": height, "width": width, "channels": channels}
            if self.executor == "batched":
                from hallmark.transforms import batched

                # the stage augment built it from the params
                self._augment = batched.build(self._transforms, **shape, known_good=True)
            else:
                self._augment = _one_by_one(self._transforms, **shape)
        return self._augment

    def cost(self) -> float:
        """Seconds that augmenting one image takes, by trial; 0 without augmentation or where a GPU does it."""
        if not self._transforms or self._resident is not None:
            return 0.0
        count = min(TRIED, len(self.pixels))
        images, marks = torch.from_numpy(np.array(self.pixels[:count])), np.arange(count, dtype=np.uint64)
        self._augmented(images[:1].clone(), marks[:1])
        started = time.perf_counter()
        self._augmented(images, marks)
        return (time.perf_counter() - started) / count


def _executor(transforms: list[dict[str, Any]], shape: tuple[int, ...], device: torch.device) -> str:
    """``none``, ``batched`` or ``per_image``."""
    if not transforms:
        return "none"
    from hallmark.transforms import batched

    height, width, channels = shape[1:]
    return batched.executor(transforms, height=height, width=width, channels=channels, device=device.type)


def _one_by_one(transforms: list[dict[str, Any]], *, height: int, width: int, channels: int) -> Augment:
    from hallmark.transforms import policy

    transform = policy.build(transforms, height=height, width=width, channels=channels)

    def augment(images: Tensor, marks: NDArray[np.uint64]) -> Tensor:
        pixels = images.numpy()
        for index, mark in enumerate((marks >> np.uint64(1)).tolist()):
            pixels[index] = transform(pixels[index], mark)
        return images

    return augment


@dataclass
class Waiting:
    """Seconds spent waiting for batches."""

    seconds: float = 0.0


def workers(batches: Batches, *, epochs: int, device: torch.device, replicas: int = 1) -> int:
    """Worker processes worth their start. Changes no batch: only the time they take.

    None where the replicas of the training make the batches: they share the cores without taking them from each other.
    """
    if batches.resident or (replicas > 1 and batches.by_threads):
        return 0
    spare = runtime.workers() - (1 if device.type == "cpu" else 0)
    if batches.cost() * batches.images_per_epoch * epochs < WORTH_WORKERS:
        return 0
    return max(0, spare)


def stream(
    batches: Batches, *, start: Key, epochs: int, processes: int, waiting: Waiting, replicas: Replicas | None = None
) -> Iterator[Batch]:
    """All batches from ``start`` to the end of the last epoch, in order, made by ``processes`` or by ``replicas``."""
    keys = [(start[0], number) for number in range(start[1], batches.per_epoch)]
    keys += [(epoch, number) for epoch in range(start[0] + 1, epochs) for number in range(batches.per_epoch)]
    if not processes:
        parts = len(replicas) if replicas is not None and batches.by_threads else 1
        each = max(1, TOGETHER // max(1, batches.values_per_batch))
        for first in range(0, len(keys), each * parts):
            started = time.perf_counter()
            shares = [keys[begin : begin + each] for begin in range(first, min(first + each * parts, len(keys)), each)]
            work = batches.__getitems__
            groups = (
                replicas.map(work, shares) if replicas is not None and parts > 1 else [work(share) for share in shares]
            )
            waiting.seconds += time.perf_counter() - started
            for group in groups:
                yield from group
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
    leave_signals_to_the_parent()
    sys.excepthook = _unless_the_parent_left
    cv2 = sys.modules.get("cv2")
    if cv2 is not None:
        cv2.setNumThreads(0)


def _unless_the_parent_left(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Reports what nobody caught, a connection apart that broke as the parent ended while it fetched a batch."""
    if not issubclass(kind, ConnectionError):
        sys.__excepthook__(kind, error, trace)
