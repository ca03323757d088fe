"""Small images and sources made of them."""

from __future__ import annotations

import io
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


def png(shade: int) -> bytes:
    """A 2 × 2 grey PNG."""
    file = io.BytesIO()
    Image.new("L", (2, 2), shade).save(file, "PNG")
    return file.getvalue()


def lay(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Writes files below a folder."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def pack(path: Path, files: Mapping[str, bytes]) -> Path:
    """Writes files into an archive of the kind its name says."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    else:
        mode = {".gz": "w:gz", ".tgz": "w:gz", ".xz": "w:xz", ".bz2": "w:bz2"}.get(path.suffix, "w")
        with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
            for name, data in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return path


@pytest.fixture(params=["folder", ".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Mapping[str, bytes]], str]:
    """Puts files into a folder or an archive; the source."""

    def make(files: Mapping[str, bytes]) -> str:
        if request.param == "folder":
            return str(lay(tmp_path / "source", files))
        return str(pack(tmp_path / f"source{request.param}", files))

    return make
