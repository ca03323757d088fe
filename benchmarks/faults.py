"""Plants faults in clean images and records the truth: a data set for measuring detectors of bad data.

    .venv/bin/python -m benchmarks.faults --data FOLDER_OF_IDX_FILES --foreign ANOTHER --to FOLDER --seed 1

``--data`` and ``--foreign`` hold IDX files as MNIST and Fashion-MNIST are distributed (``*-images-idx3-ubyte.gz``
with ``*-labels-idx1-ubyte.gz``); out-of-distribution images are taken from the foreign set.
Writes class folders of PNGs and JPEGs to FOLDER, and FOLDER.csv with one row per file: its content, its planted fault,
and, for a copy, its partner. The same arguments give the same bytes. The truth is only for judging and never an input
of the pipeline.

``--strength`` scales the degradation of dark, light, blurred and noisy images: 1 is obvious, 0.5 is subtle.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import itertools
import json
import struct
import sys
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image

from benchmarks import idx

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]

#: Share of the clean images that carry each fault, or get such a copy.
SHARES: Mapping[str, float] = {
    "label_flip": 0.05,
    "exact_dup": 0.02,
    "near_dup": 0.03,
    "conflict_dup": 0.01,
    "blank": 0.005,
    "dark": 0.01,
    "light": 0.01,
    "blur": 0.01,
    "noise": 0.01,
    "ood": 0.01,
    "zero_byte": 0.003,
    "truncated": 0.005,
    "corrupt": 0.005,
    "not_an_image": 0.003,
    "mode": 0.01,
    "exif": 0.005,
    "upper_ext": 0.005,
    "ext_mismatch": 0.003,
    "name": 0.003,
    "nested": 0.003,
}
EXPECTED: Mapping[str, str] = {
    "label_flip": "relabel_or_drop",
    "conflict_dup": "relabel_or_drop",
    "exact_dup": "dedup",
    "near_dup": "dedup",
    **dict.fromkeys(("dark", "light", "blur", "noise", "ood"), "flag"),
    **dict.fromkeys(("blank", "zero_byte", "truncated", "corrupt", "not_an_image", "bomb", "stray_file"), "drop"),
}
COLUMNS = (
    "file",
    "split",
    "given_class",
    "true_class",
    "faults",
    "expected",
    "readable",
    "error",
    "dup_group",
    "partner",
    "detail",
    "bytes",
    "sha256",
    "natural_dup_group",
)
UNREADABLE = ("zero_byte", "truncated", "corrupt", "not_an_image", "bomb", "stray_file")


@dataclass(frozen=True, kw_only=True)
class File:
    """One file to be; ``original`` is the place in the set of clean images that it shows."""

    label: str
    true_label: str
    data: bytes
    suffix: str = ".png"
    faults: str = ""
    detail: dict[str, Any] = field(default_factory=dict)
    original: int = -1
    group: int | None = None
    folder: str = ""
    path: str = ""


def read_idx(folder: Path) -> tuple[Picture, NDArray[np.uint8]]:
    """All images ``[images, height, width]`` and labels ``[images]`` below a folder of IDX files, training part last.

    Raises ValueError if images and labels do not match.
    """
    pictures, labels = [], []
    for images in sorted(folder.glob("*-images-idx3-ubyte.gz")):
        read, said = idx.read(folder, images.name.partition("-")[0])
        pictures.append(read[:, :, :, 0])
        labels.append(said.astype(np.uint8))
    if not pictures:
        raise ValueError(f"{folder} holds no *-images-idx3-ubyte.gz")
    return np.concatenate(pictures), np.concatenate(labels)


def plant(
    pictures: Picture, labels: NDArray[np.uint8], foreign: Picture, *, seed: int, strength: float = 1.0
) -> list[File]:
    """The files of a faulted set: every clean image once, at most one fault in each, and the planted copies.

    ``pictures`` is grey uint8 ``[images, height, width]``, ``foreign`` likewise of any size.
    """
    random = np.random.default_rng(seed)
    classes = sorted({str(label) for label in labels})
    order = iter(random.permutation(len(pictures)).tolist())
    files = [
        File(label=str(label), true_label=str(label), data=_encoded(picture), original=place)
        for place, (picture, label) in enumerate(zip(pictures, labels, strict=True))
    ]
    groups = itertools.count(1)
    for fault, share in SHARES.items():
        for number in range(max(2, round(share * len(pictures)))):
            place = next(order)
            file, picture = files[place], pictures[place]
            if fault in ("exact_dup", "near_dup", "conflict_dup"):
                group = next(groups)
                files[place] = replace(file, group=group)
                how = "exact" if fault == "exact_dup" or (fault == "conflict_dup" and number % 2) else ""
                copy = replace(file, group=group, faults=fault, detail={"how": "exact"})
                if not how:
                    copy = _nearly(copy, picture, number // (2 if fault == "conflict_dup" else 1), random)
                if fault == "conflict_dup":
                    copy = replace(copy, label=_other(file.label, classes, random))
                files.append(copy)
            else:
                files[place] = _spoilt(file, picture, fault, number, classes, foreign, strength, random)
    bombs: list[tuple[str, int]] = [("declared", 65000), ("real", 30000)]
    for kind, side in bombs:
        label = classes[int(random.integers(len(classes)))]
        detail = {"kind": kind, "side": side}
        files.append(File(label=label, true_label="", faults="bomb", data=_bomb(kind, side), detail=detail))
    files.append(File(label="", true_label="", faults="stray_file", data=b"Read me.\n", path="README.txt"))
    files.append(File(label="0", true_label="", faults="stray_file", data=b"\x00\x00\x00\x01Bud1", path="0/.DS_Store"))
    numbers = random.permutation(len(files))
    return [
        file
        if file.path
        else replace(file, path=f"{file.label}/{file.folder}{file.detail.get('name', f'i{number:06d}')}{file.suffix}")
        for file, number in zip(files, numbers, strict=True)
    ]


def write(files: list[File], folder: Path, pictures: Picture) -> Path:
    """Writes the files and, beside the folder, the truth; the truth's path."""
    by_group: dict[int, list[File]] = {}
    for file in files:
        if file.group is not None:
            by_group.setdefault(file.group, []).append(file)
    _, natural, counts = np.unique(pictures.reshape(len(pictures), -1), axis=0, return_inverse=True, return_counts=True)
    truth = folder.with_name(f"{folder.name}.csv")
    with truth.open("w", newline="", encoding="utf-8") as lines:
        table = csv.writer(lines, lineterminator="\n")
        table.writerow(COLUMNS)
        for file in sorted(files, key=lambda each: each.path):
            place = folder / file.path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(file.data)
            partner = [each.path for each in by_group.get(file.group or -1, []) if each.path != file.path]
            same = natural[file.original] if file.original >= 0 else -1
            row = (
                file.path,
                "train",
                file.label,
                file.true_label,
                file.faults,
                EXPECTED.get(file.faults, "keep"),
                file.faults not in UNREADABLE,
                "",
                file.group or "",
                partner[0] if partner and file.faults else "",
                json.dumps(file.detail) if file.detail else "",
                len(file.data),
                hashlib.sha256(file.data).hexdigest(),
                same if same >= 0 and counts[same] > 1 else "",
            )
            table.writerow(row)
    return truth


def _spoilt(
    file: File,
    picture: Picture,
    fault: str,
    number: int,
    classes: list[str],
    foreign: Picture,
    strength: float,
    random: np.random.Generator,
) -> File:
    """The file with one fault, in place of the clean one."""
    side = min(picture.shape)
    file = replace(file, faults=fault)
    light = picture.astype(np.float64)
    match fault:
        case "label_flip":
            return replace(file, label=_other(file.label, classes, random))
        case "blank":
            shade, spread = ((0, 0), (255, 0), (128, 0), (4, 1))[number % 4]
            flat = np.clip(random.normal(shade, spread, picture.shape).round(), 0, 255).astype(np.uint8)
            return replace(file, true_label="", original=-1, data=_encoded(flat), detail={"shade": shade})
        case "dark":
            gain = min(1.0, 0.06 / strength)
            return replace(file, data=_encoded(_bytes(light * gain)), detail={"gain": gain})
        case "light":
            gain = min(1.0, 0.06 / strength)
            return replace(file, data=_encoded(_bytes(255 - (255 - light) * gain)), detail={"gain": gain})
        case "blur":
            sigma = 0.06 * side * strength
            return replace(file, data=_encoded(cv2.GaussianBlur(picture, (0, 0), sigma)), detail={"sigma": sigma})
        case "noise":
            if number % 5 == 4:
                speck = random.random(picture.shape)
                salted = np.where(speck < 0.15 * strength, 0, np.where(speck > 1 - 0.15 * strength, 255, picture))
                return replace(file, data=_encoded(_bytes(salted)), detail={"kind": "salt_pepper"})
            noisy = _bytes(light + random.normal(0, 90 * strength, picture.shape))
            return replace(file, data=_encoded(noisy), detail={"kind": "gauss", "sigma": 90 * strength})
        case "ood":
            other = int(random.integers(len(foreign)))
            resized = cv2.resize(foreign[other], picture.shape[::-1], interpolation=cv2.INTER_AREA)
            return replace(file, true_label="", original=-1, data=_encoded(resized), detail={"foreign": other})
        case "zero_byte":
            return replace(file, true_label="", data=b"")
        case "truncated":
            return replace(file, true_label="", data=file.data[: len(file.data) * int(random.integers(30, 80)) // 100])
        case "corrupt":
            # the compressed pixels lie between the 41 bytes of PNG's header and the 16 of its end
            rubbish = random.integers(0, 256, len(file.data) - 57, dtype=np.uint8).tobytes()
            return replace(file, true_label="", data=file.data[:41] + rubbish + file.data[-16:])
        case "not_an_image":
            return replace(file, true_label="", data=b"<html><body>404 Not Found</body></html>\n", suffix=".jpg")
        case "mode":
            return _as_mode(file, picture, number)
        case "exif":
            turned = Image.Exif()
            turned[0x0112] = 6  # shown after a quarter turn to the right
            return replace(file, data=_encoded(np.rot90(picture).copy(), exif=turned))
        case "upper_ext":
            return replace(file, suffix=".PNG")
        case "ext_mismatch":
            return replace(file, suffix=".jpg")
        case "name":
            stem = ("with space", "ümläut", "名前", "a;b,c'd")[number % 4]
            return replace(file, detail={"name": f"{stem} {number}"})
        case "nested":
            return replace(file, folder="batch 2/deeper/")
    raise AssertionError(fault)


def _as_mode(file: File, picture: Picture, number: int) -> File:
    """The same picture in another valid format, which must be kept."""
    grey = Image.fromarray(picture)
    ways: tuple[tuple[str, str, Image.Image, str], ...] = (
        ("rgb_png", ".png", grey.convert("RGB"), "PNG"),
        ("palette_png", ".png", grey.convert("P"), "PNG"),
        ("grey16_png", ".png", Image.fromarray(picture.astype(np.uint16) * 257), "PNG"),
        ("rgba_png", ".png", grey.convert("RGBA"), "PNG"),
        ("grey_alpha_png", ".png", grey.convert("LA"), "PNG"),
        ("cmyk_jpeg", ".jpg", grey.convert("RGB").convert("CMYK"), "JPEG"),
        ("tif", ".tif", grey, "TIFF"),
        ("bmp", ".bmp", grey, "BMP"),
    )
    kind, suffix, image, form = ways[number % len(ways)]
    return replace(file, suffix=suffix, data=_encoded(image, form), detail={"kind": kind})


def _nearly(copy: File, picture: Picture, number: int, random: np.random.Generator) -> File:
    """A copy of nearly the same pixels: re-encoded, resized, brightened, or cropped at the edges."""
    match number % 4:
        case 0:
            quality = int(random.integers(60, 91))
            detail: dict[str, Any] = {"how": "re-encode", "quality": quality}
            data = _encoded(picture, "JPEG", quality=quality)
            return replace(copy, suffix=".jpg", data=data, detail=detail)
        case 1:
            scale = float(round(random.uniform(0.8, 0.93) if number % 8 < 4 else random.uniform(1.2, 2.0), 3))
            shape = tuple(max(8, round(length * scale)) for length in picture.shape[::-1])
            resized = cv2.resize(
                picture, (shape[0], shape[1]), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
            )
            return replace(copy, data=_encoded(resized), detail={"how": "resize", "scale": scale})
        case 2:
            gain = float(round(random.uniform(1.05, 1.12), 3))
            return replace(
                copy,
                data=_encoded(_bytes(picture.astype(np.float64) * gain)),
                detail={"how": "brighten", "gain": gain},
            )
        case _:
            pixels = max(1, round(0.02 * min(picture.shape)))
            cropped = np.ascontiguousarray(picture[pixels:, pixels:])
            return replace(copy, data=_encoded(cropped), detail={"how": "edge_crop", "pixels": [pixels, pixels]})


def _bomb(kind: str, side: int) -> bytes:
    """A PNG that declares ``side`` squared pixels, with all of them packed (real) or with next to none (declared)."""
    packer = zlib.compressobj(9)
    row = bytes(1 + side)
    packed = [packer.compress(row) for _ in range(side if kind == "real" else 1)]
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", b"".join([*packed, packer.flush()])), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _other(label: str, classes: list[str], random: np.random.Generator) -> str:
    return classes[(classes.index(label) + int(random.integers(1, len(classes)))) % len(classes)]


def _bytes(light: NDArray[Any]) -> Picture:
    return np.asarray(np.clip(np.rint(light), 0, 255), np.uint8)


def _encoded(picture: Picture | Image.Image, form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(file, form, **options)
    return file.getvalue()


def chosen(labels: NDArray[np.uint8], count: int, seed: int) -> Iterator[int]:
    """``count`` places of a set, drawn by the seed."""
    yield from np.sort(np.random.default_rng([seed, 1]).permutation(len(labels))[:count]).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the IDX files of the clean set")
    parser.add_argument("--foreign", type=Path, required=True, help="folder of the IDX files of another set")
    parser.add_argument("--to", type=Path, required=True, help="folder to write, which must not exist")
    parser.add_argument("--count", type=int, default=4000, help="clean images to take")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--strength", type=float, default=1.0)
    options = parser.parse_args()
    if options.to.exists():
        sys.exit(f"{options.to} exists: give a folder that does not")
    pictures, labels = read_idx(options.data)
    foreign, _ = read_idx(options.foreign)
    places = list(chosen(labels, options.count, options.seed))
    pictures, labels = pictures[places], labels[places]
    files = plant(pictures, labels, foreign, seed=options.seed, strength=options.strength)
    print(f"{len(files)} files in {options.to}, the truth in {write(files, options.to, pictures)}")


if __name__ == "__main__":
    main()
