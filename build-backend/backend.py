"""Build backend: setuptools, with two additions to the wheel that setuptools cannot make.

- hallmark_dvc.py and a ``.pth`` file that imports it when Python starts; editable installations need it too.
- flows/workspace/: the files that ``hallmark init`` copies to a new workspace, which ``[tool.hallmark]`` of
  pyproject.toml lists. They are the repository's own, which is a workspace too; an editable installation reads them
  there.
"""

import base64
import hashlib
import tomllib
import zipfile
from pathlib import Path

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403

_HERE = Path(__file__).parent
_WORKSPACE = "flows/workspace/"


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    name = build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)
    return _completed(wheel_directory, name, _start_up() | _workspace(_HERE.parent))


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    name = build_meta.build_editable(wheel_directory, config_settings, metadata_directory)
    return _completed(wheel_directory, name, _start_up())


def _start_up():
    return {
        "hallmark_dvc.py": (_HERE / "hallmark_dvc.py").read_bytes(),
        "hallmark_dvc.pth": b"import hallmark_dvc\n",
    }


def _workspace(root):
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    files = {}
    for name in settings["tool"]["hallmark"]["workspace"]:
        top = root / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file():
                files[_WORKSPACE + path.relative_to(root).as_posix()] = path.read_bytes()
    return files


def _completed(folder, name, files):
    """Adds files to the wheel and to its RECORD; returns the wheel's name."""
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
