"""The build backend: setuptools', whose wheels also get hallmark_dvc.py and the line that imports it at start-up.

setuptools has no place for a ``.pth`` file in a wheel, and an editable installation needs it as much as any other.
"""

import base64
import hashlib
import zipfile
from pathlib import Path

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403

_HERE = Path(__file__).parent


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    return _completed(wheel_directory, build_meta.build_wheel(wheel_directory, config_settings, metadata_directory))


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    return _completed(wheel_directory, build_meta.build_editable(wheel_directory, config_settings, metadata_directory))


def _completed(folder, name):
    """The wheel with both files in it and in its RECORD."""
    files = {
        "hallmark_dvc.py": (_HERE / "hallmark_dvc.py").read_bytes(),
        "hallmark_dvc.pth": b"import hallmark_dvc\n",
    }
    path = Path(folder, name)
    partial = path.with_suffix(".partial")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            data = old.read(member)
            if member.filename.endswith(".dist-info/RECORD"):
                data += "".join(_record(file, content) for file, content in files.items()).encode()
            new.writestr(member, data)
        for file, content in files.items():
            new.writestr(file, content)
    partial.replace(path)
    return name


def _record(file, content):
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{file},sha256={digest},{len(content)}\n"
