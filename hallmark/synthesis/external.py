"""External images: a folder of class folders, treated like the output of a built-in generator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hallmark.contracts.errors import InputError
from hallmark.contracts.names import NO_FOLDER
from hallmark.images.decoding import Undecodable, prepare

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hallmark.synthesis.generator import Images, Labels


def read(
    folder: Path, *, names: Sequence[str], wanted: Sequence[str], shape: tuple[int, int, int]
) -> tuple[Images, Labels]:
    """Images uint8 [n, height, width, channels] of the ``wanted`` classes, and their indices into ``names`` int64 [n].

    Raises InputError if the folder is missing, a folder in it is not a class, or a file is not a readable image.
    """
    if not folder.is_dir():
        raise InputError(
            f"no folder '{folder}'", remedy=f"give a folder of class folders, or {NO_FOLDER}", field="external"
        )
    folders = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    unknown = sorted(set(folders) - set(names))
    if unknown or not folders:
        what = f"'{unknown[0]}' is no class" if unknown else "it holds no class folder"
        raise InputError(f"in {folder} {what}", remedy=f"name the folders: {', '.join(names)}", field="external")
    images, labels, faults = [], [], []
    for label in (name for name in folders if name in wanted):
        for path in sorted((folder / label).rglob("*")):
            if path.name.startswith(".") or not path.is_file():
                continue
            try:
                images.append(prepare(path.read_bytes(), *shape))
            except Undecodable as error:
                faults.append(f"{path.relative_to(folder).as_posix()} ({error})")
                continue
            labels.append(names.index(label))
    if faults:
        listed = ", ".join(faults[:5]) + (f" and {len(faults) - 5} more" if len(faults) > 5 else "")
        raise InputError(f"{len(faults)} files cannot be read: {listed}", remedy="remove them", field="external")
    if not images:
        raise InputError(
            f"{folder} holds no image of the classes wanted",
            remedy=f"add images to {', '.join(wanted)}, or set it to {NO_FOLDER}",
            field="external",
        )
    return np.stack(images), np.array(labels, dtype=np.int64)
