"""The built-in data: scikit-learn's handwritten digits as image files, with planted faults.

``python -m hallmark.images.demo data/demo`` writes class folders 0 to 9 of real 8×8-pixel grey digits, unevenly many
per class, including broken, duplicated, mislabelled, blank and foreign files (docs/demo-data.md). It writes the same
bytes each time. No file records the planted faults; :func:`truth` recomputes them for tests.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hallmark.contracts import durable
from hallmark.contracts.errors import HallmarkError, InputError, MachineError
from hallmark.images import demo_files

if TYPE_CHECKING:
    import pandas as pd


def write(folder: Path) -> int:
    """Writes the data set to ``folder`` atomically and returns the number of files.

    Raises InputError if the folder holds other files.
    """
    files = demo_files.all_files()
    folder = Path(folder)
    own = {file.path for file in files}
    if folder.exists():
        others = [path for path in _below(folder) if path not in own] if folder.is_dir() else [folder.name]
        if others:
            raise InputError(
                f"{folder} holds files that are not the built-in data, such as '{min(others)}'",
                remedy="give a folder that does not exist yet",
            )
    partial = folder.with_name(f".partial-{folder.name}")
    old = folder.with_name(f".partial-old-{folder.name}")
    for left in (partial, old):
        durable.remove(left)
    try:
        for file in files:
            path = partial / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.data)
        os.sync()  # once: syncing each of these small files takes seconds
        if folder.exists():
            folder.rename(old)
        partial.rename(folder)
    except OSError as error:
        raise MachineError(f"cannot write {folder}: {error.strerror}", remedy="correct that and run again") from error
    finally:
        for left in (partial, old):
            durable.remove(left)
    return len(files)


def truth() -> pd.DataFrame:
    """The truth of each file: ``path, label, true_label, fault, how, partner``, sorted by path. For tests only.

    ``fault`` is empty or one of :data:`demo_files.PLANTED`, ``stray`` or ``variant`` (unusual but valid); ``partner``
    is the path of the file that a duplicate copies.
    """
    import pandas as pd

    files = demo_files.all_files()
    rows = [
        {
            "path": file.path,
            "label": file.label,
            "true_label": file.true_label,
            "fault": file.fault,
            "how": file.how,
            "partner": "" if file.partner is None else files[file.partner].path,
        }
        for file in files
    ]
    return pd.DataFrame(rows).sort_values("path", ignore_index=True)


def _below(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()]


def main(arguments: list[str] | None = None) -> int:
    """The command line: one argument, the folder to write."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) != 1:
        print("usage: python -m hallmark.images.demo FOLDER", file=sys.stderr)  # noqa: T201  the message is the interface
        return 2
    try:
        write(Path(arguments[0]))
    except HallmarkError as error:
        print(f"demo: {error}", file=sys.stderr)  # noqa: T201  the message is the interface
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
