"""The files of the built-in data, with their planted faults: the same list each time."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits, load_sample_image

from hallmark.contracts.seeds import derive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

#: Digits of each class that are used, of about 180: a head of six classes and a long tail.
KEPT = (178, 182, 177, 183, 181, 182, 181, 120, 60, 45)

#: The number of files with each planted fault. There are also three stray files: two hidden ones and a text file.
PLANTED = {
    "empty": 4,
    "corrupt": 6,
    "truncated": 5,
    "text": 3,
    "exact_duplicate": 20,
    "reencoded_duplicate": 10,
    "near_duplicate": 30,
    "conflicting_duplicate": 3,
    "label_flip": 38,
    "blank": 6,
    "foreign": 3,
}
SEED = 20


@dataclass(frozen=True, kw_only=True)
class DemoFile:
    """A file to write; ``path`` is set last, after shuffling."""

    label: str
    true_label: str
    fault: str
    how: str
    data: bytes
    suffix: str = ".png"
    path: str = ""
    partner: int | None = None  # index in the list of files of the file it duplicates


def all_files() -> list[DemoFile]:
    """All files, named; the same list each time."""
    bunch = load_digits()
    pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    random = np.random.default_rng(derive(SEED, "demo"))
    files: list[DemoFile] = []
    pictures: list[NDArray[np.uint8]] = []
    for digit, kept in enumerate(KEPT):
        for index in np.sort(random.permutation(np.flatnonzero(bunch.target == digit))[:kept]):
            pictures.append(pixels[index])
            label = str(digit)
            files.append(DemoFile(label=label, true_label=label, fault="", how="", data=_png(pixels[index])))
    # each original has at most one fault, so that each fault can be tested separately
    order = iter(random.permutation(len(files)).tolist())
    _mislabel(files, order, random)
    _vary(files, pictures, order)
    files += _doubled(files, pictures, order, random)
    files += _broken(files, order, random)
    files += _without_meaning(random)
    return _named(files, random)


def _mislabel(files: list[DemoFile], order: Iterator[int], random: np.random.Generator) -> None:
    for _ in range(PLANTED["label_flip"]):
        index = next(order)
        wrong = (int(files[index].label) + int(random.integers(1, 10))) % 10
        files[index] = replace(files[index], label=str(wrong), fault="label_flip", how=f"is a {files[index].label}")


def _vary(files: list[DemoFile], pictures: Sequence[NDArray[np.uint8]], order: Iterator[int]) -> None:
    """The same pictures in other encodings: all are valid and must be kept."""
    sideways = Image.Exif()
    sideways[0x0112] = 6  # shown after a quarter turn to the right
    ways: list[tuple[str, str, Callable[[NDArray[np.uint8]], bytes]]] = [
        ("RGB", ".png", lambda picture: _encoded(Image.fromarray(picture).convert("RGB"), "PNG")),
        ("palette", ".png", lambda picture: _encoded(Image.fromarray(picture).convert("P"), "PNG")),
        ("16 bits", ".png", lambda picture: _encoded(Image.fromarray(picture.astype(np.uint16) * 257), "PNG")),
        ("opaque alpha", ".png", lambda picture: _encoded(Image.fromarray(picture).convert("RGBA"), "PNG")),
        ("grey and alpha", ".png", lambda picture: _encoded(Image.fromarray(picture).convert("LA"), "PNG")),
        ("TIFF", ".tif", lambda picture: _encoded(Image.fromarray(picture), "TIFF")),
        ("upper-case extension", ".PNG", _png),
        ("wrong extension", ".jpg", _png),
        (
            "EXIF orientation",
            ".png",
            lambda picture: _encoded(Image.fromarray(np.rot90(picture).copy()), "PNG", exif=sideways),
        ),
    ]
    for how, suffix, encode in ways:
        index = next(order)
        files[index] = replace(files[index], fault="variant", how=how, data=encode(pictures[index]), suffix=suffix)


def _doubled(
    files: list[DemoFile], pictures: Sequence[NDArray[np.uint8]], order: Iterator[int], random: np.random.Generator
) -> list[DemoFile]:
    """Copies: of the same bytes, of the same pixels, of nearly the same pixels, and under another label."""
    copies = []
    for fault in ("exact_duplicate", "reencoded_duplicate", "near_duplicate", "conflicting_duplicate"):
        for number in range(PLANTED[fault]):
            index = next(order)
            picture, copy = pictures[index], replace(files[index], fault=fault, partner=index)
            match fault:
                case "exact_duplicate":
                    copy = replace(copy, how="same bytes")
                case "reencoded_duplicate":
                    copy = replace(copy, how="as BMP", suffix=".bmp", data=_encoded(Image.fromarray(picture), "BMP"))
                case "near_duplicate":
                    copy = _nearly(copy, picture, number)
                case "conflicting_duplicate":
                    other = str((int(copy.label) + int(random.integers(1, 10))) % 10)
                    copy = replace(copy, how=f"also labelled {copy.label}", label=other)
            copies.append(copy)
    return copies


def _nearly(copy: DemoFile, picture: NDArray[np.uint8], number: int) -> DemoFile:
    image = Image.fromarray(picture)
    match number % 3:
        case 0:
            brighter = np.clip(picture.astype(np.int16) + 10, 0, 255).astype(np.uint8)
            return replace(copy, how="brightened by 10 of 255", data=_png(brighter))
        case 1:
            return replace(copy, how="JPEG at quality 90", suffix=".jpg", data=_encoded(image, "JPEG", quality=90))
        case _:
            larger = image.resize((16, 16), Image.Resampling.BICUBIC)
            return replace(copy, how="enlarged to 16×16", data=_encoded(larger, "PNG"))


def _broken(files: list[DemoFile], order: Iterator[int], random: np.random.Generator) -> list[DemoFile]:
    """Unreadable files and stray files."""
    broken = []
    for fault in ("empty", "corrupt", "truncated", "text"):
        for _ in range(PLANTED[fault]):
            whole = files[next(order)]
            data = whole.data
            match fault:
                case "empty":
                    data, how = b"", "no bytes"
                case "corrupt":
                    # the compressed pixels lie between the 41 bytes of PNG's header and the 16 of its end
                    noise = random.integers(0, 256, len(data) - 57, dtype=np.uint8).tobytes()
                    data, how = data[:41] + noise + data[-16:], "pixel data overwritten"
                case "truncated":
                    data, how = data[: len(data) * 6 // 10], "the last 40 % missing"
                case _:
                    data, how = b"The picture that belongs here was not downloaded.\n", "text named .png"
            broken.append(replace(whole, fault=fault, how=how, data=data, suffix=".png"))
    stray = DemoFile(
        label="", true_label="", fault="stray", how="hidden", data=b"\x00\x00\x00\x01Bud1\x00\x00", suffix=""
    )
    hidden = files[next(order)]
    return [
        *broken,
        replace(stray, path="3/.DS_Store", label="3"),
        replace(stray, path=f"{hidden.label}/.preview.png", label=hidden.label, data=hidden.data),
        replace(stray, path="notes.txt", how="beside the class folders", data=b"Digits, scanned and sorted.\n"),
    ]


def _without_meaning(random: np.random.Generator) -> list[DemoFile]:
    """Images that show no digit."""
    files = []
    for number in range(PLANTED["blank"]):
        shade = (0, 255, 128)[number % 3]
        label = str(random.integers(0, 10))
        data = _png(np.full((8, 8), shade, np.uint8))
        files.append(DemoFile(label=label, true_label="", fault="blank", how=f"all {shade}", data=data))
    china, flower = (Image.fromarray(load_sample_image(name)) for name in ("china.jpg", "flower.jpg"))
    stripes = np.indices((32, 32)).sum(axis=0) // 4 % 2 * 255
    foreign = (
        ("a photograph of a temple", china.crop((100, 40, 356, 296)).resize((64, 64))),
        ("a photograph of a flower", flower.crop((180, 120, 436, 376)).resize((64, 64))),
        ("stripes", Image.fromarray(stripes.astype(np.uint8))),
    )
    for how, image in foreign:
        label = str(random.integers(0, 10))
        files.append(DemoFile(label=label, true_label="", fault="foreign", how=how, data=_encoded(image, "PNG")))
    return files


def _named(files: list[DemoFile], random: np.random.Generator) -> list[DemoFile]:
    """The files, with names that reveal nothing about their faults."""
    numbers = random.permutation(len(files))
    return [
        file if file.path else replace(file, path=f"{file.label}/digit_{number:04d}{file.suffix}")
        for file, number in zip(files, numbers, strict=True)
    ]


def _png(picture: NDArray[np.uint8]) -> bytes:
    return _encoded(Image.fromarray(picture), "PNG")


def _encoded(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()
