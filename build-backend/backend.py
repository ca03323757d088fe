"""Build backend: setuptools, with hallmark_dvc.py and a ``.pth`` file that imports it at start-up added to each wheel.

setuptools cannot put a ``.pth`` file into a wheel; both regular and editable installations need it.
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
    """Adds both files to the wheel and to its RECORD; returns the wheel's name."""
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
