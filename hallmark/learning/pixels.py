"""The images of a training, decoded and resized once into a memory-mapped array.

The array lies in .hallmark/cache/pixels/, named by what it follows from: the images' contents, the size, the decoder.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hallmark.contracts import processes, runtime
from hallmark.contracts.errors import InputError, MachineError
from hallmark.images import decoding, depth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    from numpy.typing import NDArray

CHUNK = 256  # small images that a process decodes at a time
PEEKED = 16  # images whose files decide who decodes
COUNTED = 2**16  # values summed at a time: their squares add up to less than 2**32
WORTH_THREADS = 4096  # mean bytes of a file, below which decoding is mostly Python
WORTH_PROCESSES = 20_000  # images of such files, below which starting processes would take longer
LOOKED_AT = 256  # images whose size and colour decide for all


class Item(NamedTuple):
    """Where an image's bytes lie; ``digest`` is of those bytes, ``path`` its name for people."""

    folder: Path
    shard: int
    row: int
    digest: str
    path: str


@dataclass(frozen=True, kw_only=True)
class Survey:
    """The median of the shorter sides, whether all images looked at are grey, and how many bits their samples use."""

    side: int
    grey: bool
    bits: int


def survey(items: Sequence[Item]) -> Survey:
    """Looks at up to :data:`LOOKED_AT` images, spread evenly."""
    count = min(LOOKED_AT, len(items))
    chosen = [items[index * len(items) // count] for index in range(count)]

    bits = _bits(items)
    looks = np.stack(list(_decoded(chosen, functools.partial(_look, bits=bits))))
    return Survey(side=int(np.median(looks[:, 0])), grey=not looks[:, 1].any(), bits=bits)


def _bits(items: Sequence[Item]) -> int:
    # synthetic images have 8 bits a sample, and their folder says nothing
    return min((depth.read(folder) for folder in {item.folder for item in items}), default=depth.MOST)


def _look(data: bytes, bits: int) -> NDArray[np.int64]:
    """The shorter side of an image, and whether it has colour."""
    pixels = decoding.decode(data, bits=bits).pixels
    colour = pixels.shape[2] == 3 and bool((pixels != pixels[:, :, :1]).any())
    return np.array([min(pixels.shape[:2]), colour])


def prepared(items: Sequence[Item], *, height: int, width: int, channels: int, bits: int, cache: Path) -> Path:
    """The .npy file of the images, uint8 [n, height, width, channels] in the order of ``items``.

    ``bits`` as in :func:`hallmark.images.decoding.decode`.
    """
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{height} {width} {channels} {bits} pillow {version('pillow')}".encode())
    digest.update(Path(decoding.__file__).read_bytes())
    for item in items:
        digest.update(item.digest.encode())
    path = cache / f"{digest.hexdigest()}.npy"
    if path.exists():
        return path
    cache.mkdir(parents=True, exist_ok=True)
    partial = cache / f".partial-{os.getpid()}-{path.name}"
    shape = (len(items), height, width, channels)
    array = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
    # in the order of storage every byte is read once
    order = sorted(range(len(items)), key=lambda index: items[index][:3])
    prepare = functools.partial(decoding.prepare, height=height, width=width, channels=channels, bits=bits)
    images = _decoded([items[i] for i in order], prepare)
    for index, image in zip(order, images, strict=True):
        array[index] = image
    array.flush()
    del array
    partial.replace(path)
    return path


def opened(path: Path) -> NDArray[np.uint8]:
    """A .npy file of images, memory-mapped."""
    images: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    return images


def _decoded(items: Sequence[Item], work: Callable[[bytes], NDArray[np.generic]]) -> Iterator[NDArray[np.generic]]:
    """What ``work``, which can be pickled, makes of each image's bytes, in order; few images are held at a time.

    Decoding of small files is mostly Python, which one thread runs at a time: where there are many of them it is done
    by processes, which takes half the time.
    """
    encoded = _encoded(items)
    head = list(itertools.islice(encoded, PEEKED))
    small = sum(len(data) for _, data in head) < WORTH_THREADS * len(head)
    encoded = itertools.chain(iter(head), encoded)  # an iterator, unlike the list, lets go of what it has given
    del head
    workers = runtime.workers()
    if small and (len(items) < WORTH_PROCESSES or workers == 1):
        for pair in encoded:
            yield from _checked([pair], _attempted(work, [pair[1]]))
        return
    size, most = CHUNK if small else 1, 2 * workers + 2
    waiting: deque[tuple[list[tuple[Item, bytes]], Future[list[Any]]]] = deque()
    try:
        with processes.pool(workers) if small else ThreadPoolExecutor(workers) as pool:
            while chunk := list(itertools.islice(encoded, size)):
                waiting.append((chunk, pool.submit(_attempted, work, [data for _, data in chunk])))
                if len(waiting) == most:
                    chunk, future = waiting.popleft()
                    yield from _checked(chunk, future.result())
            for chunk, future in waiting:
                yield from _checked(chunk, future.result())
    except BrokenProcessPool as error:
        raise MachineError(
            "a process that decodes images was ended", remedy=f"free some memory, or set {runtime.WORKERS} to 1"
        ) from error


def _encoded(items: Sequence[Item]) -> Iterator[tuple[Item, bytes]]:
    from hallmark.images.shards import Reader  # with pyarrow, which the processes that decode need not import

    for folder, group in itertools.groupby(items, key=lambda item: item.folder):
        with Reader(folder) as reader:
            for item in group:
                yield item, reader.read(item.shard, item.row)


def _attempted(work: Callable[[bytes], Any], chunk: list[bytes]) -> list[Any]:
    """What ``work`` makes of each, or why it could not."""
    results: list[Any] = []
    for data in chunk:
        try:
            results.append(work(data))
        except decoding.Undecodable as error:
            results.append(error)
    return results


def _checked(chunk: list[tuple[Item, bytes]], results: list[Any]) -> Iterator[NDArray[np.generic]]:
    for (item, _), image in zip(chunk, results, strict=True):
        if isinstance(image, decoding.Undecodable):
            raise InputError(
                f"'{item.path}' cannot be decoded ({image}), but no earlier stage refused it",
                remedy="run the stage validate again",
            ) from image
        yield image


def statistics(images: NDArray[np.uint8]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel of images [n, h, w, c], scaled to [0, 1].

    Counted in whole numbers, so that no order of adding can change a digit. A channel without spread has deviation 1.
    """
    channels = images.shape[3]
    first, second = [0] * channels, [0] * channels
    rows = np.asarray(images).reshape(-1, channels)
    for start in range(0, len(rows), COUNTED):
        for channel, values in enumerate(rows[start : start + COUNTED].T):
            first[channel] += int(values.sum(dtype=np.uint32))
            second[channel] += int(np.square(values, dtype=np.uint16).sum(dtype=np.uint32))
    count = images.size // channels
    mean = [total / count / 255 for total in first]
    spread = [
        (max(0, count * squares - total * total) ** 0.5) / count / 255
        for squares, total in zip(second, first, strict=True)
    ]
    return mean, [value if value > 1e-4 else 1.0 for value in spread]


def scaling(name: str, images: NDArray[np.uint8]) -> tuple[list[float], list[float]]:
    """(mean, std) per channel: ``unit`` leaves [0, 1], ``symmetric`` gives [-1, 1], ``standard`` mean 0, spread 1."""
    channels = images.shape[3]
    if name == "unit":
        return [0.0] * channels, [1.0] * channels
    if name == "symmetric":
        return [0.5] * channels, [0.5] * channels
    assert name == "standard", name
    return statistics(images)
