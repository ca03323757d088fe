"""Patches DVC to hash any data source as ingest reads it, odd files included.

DVC opens every file below a dependency to hash it: it hangs on a named pipe or a link to a device, and fails on a
broken link or a name that is not UTF-8. :func:`teach` replaces three functions of DVC in this process, for the
dependencies of Hallmark's stages only. A path that is not a regular file, is unreadable or leads outside the source is
then hashed by name and not opened. A folder without such files keeps DVC's own hash.

The stage ``code`` depends on the folders ``hallmark`` and ``tasks``. A workspace that holds no code has none; there the
two names mean the installed packages, so that DVC notices an upgrade as it notices an edit in a clone.

``hallmark run`` calls it. In every other process that imports DVC, ``hallmark_dvc.pth`` (installed with Hallmark) does,
so plain ``dvc`` commands work too. Decision 0007 explains why patching is necessary.
"""

from __future__ import annotations

import importlib.util
import io
import os
import re
import stat
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hallmark.images.boundary import Boundary
from hallmark.images.folders import FILE_ERRORS, OUTSIDE, UNREADABLE, open_regular, walk
from hallmark.pipeline.closure import PACKAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

# digests of the files that are not read
_DIGESTS = {UNREADABLE: "756e7265616461626c655f66696c6530", OUTSIDE: "6f7574736964655f736f757263650000"}
_OURS = re.compile(r"python -m (?:hallmark\.)?\w+(?:\.\w+)* ")
# of the stage that depends on the code
_CODE_COMMAND = "python -m tasks code"
_BYTECODE = "__pycache__"
# our keys in DVC's info of a file, which DVC ignores
_UNREAD, _PATH = "hallmark_unread", "hallmark_path"


@dataclass(frozen=True)
class _Source:
    """A dependency being hashed. ``bytecode``: whether to hash its bytecode; .dvcignore decides in a workspace."""

    folder: str
    boundary: Boundary
    bytecode: bool = True


_hashing: ContextVar[_Source | None] = ContextVar("hashing", default=None)


def teach() -> None:
    """Patches how DVC hashes the dependencies of Hallmark's stages in this process; idempotent."""
    from dvc.dependency.base import Dependency
    from dvc.exceptions import DvcException
    from dvc_data.hashfile import build as build_module
    from dvc_data.hashfile.hash import fobj_md5
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.meta import Meta

    module: Any = build_module
    if hasattr(Dependency._build, "by_hallmark"):
        return
    build, walk_files, hash_file = Dependency._build, module._walk_files, module.hash_file
    parse_path = Dependency._parse_path

    def _parse_path(self: Any, fs: Any, fs_path: str) -> str:
        path: str = parse_path(self, fs, fs_path)
        return _installed(self) or path

    def _build(self: Any, odb: Any, path: str, fs: Any, *args: Any, **kwargs: Any) -> Any:
        if fs.protocol != "local" or not _OURS.match(f"{self.stage.cmd} "):
            return build(self, odb, path, fs, *args, **kwargs)
        if not os.path.lexists(path):  # DVC reports missing paths itself
            return build(self, odb, path, fs, *args, **kwargs)
        mode = os.stat(path).st_mode if os.path.exists(path) else 0
        if stat.S_ISDIR(mode):
            token = _hashing.set(_Source(path, _boundary(self), bytecode=_installed(self) is None))
            try:
                return build(self, odb, path, fs, *args, **kwargs)
            finally:
                _hashing.reset(token)
        if not stat.S_ISREG(mode) or not os.access(path, os.R_OK):
            raise DvcException(
                f"'{self}' is neither a folder nor a readable regular file; if params.yaml names it, set another path"
            )
        return build(self, odb, path, fs, *args, **kwargs)

    def _walk_files(fs: Any, path: str, ignore: Any = None) -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
        source = _hashing.get()
        if source is None:
            yield from walk_files(fs, path, ignore=ignore)
            return
        for root, folders, files in ignore.walk(fs, path) if ignore else fs.walk(path):
            if not source.bytecode:
                folders[:] = [name for name in folders if name != _BYTECODE]
            infos = {_hashable(name): _info(source.boundary, f"{root}/{name}") for name in files}
            for name in folders:
                if os.path.islink(f"{root}/{name}"):
                    infos.update(_linked(source, root, name))
            yield _hashable(root), infos

    def _hash_file(path: str, fs: Any, name: str, **kwargs: Any) -> Any:
        info = kwargs.get("info") or {}
        if name != "md5" or _PATH not in info:
            return hash_file(path, fs, name, **kwargs)
        digest = _DIGESTS.get(info.get(_UNREAD, 0))
        if digest is None:
            try:
                with io.BufferedReader(open_regular(info[_PATH])) as file:
                    digest = fobj_md5(file)
            except OSError as error:
                if error.errno not in FILE_ERRORS:
                    raise
                digest = _DIGESTS[UNREADABLE]
                # DVC caches digests by these, and a change of permissions leaves them unchanged
                info.update(ino=0, mtime=0.0)
        return Meta.from_info(info, fs.protocol), HashInfo(name, digest)

    _build.by_hallmark = True  # type: ignore[attr-defined]
    Dependency._build, Dependency._parse_path = _build, _parse_path
    module._walk_files, module.hash_file = _walk_files, _hash_file


def _installed(dependency: Any) -> str | None:
    """The folder of the installed package that a dependency of the stage ``code`` means; None for any other dependency.

    Also None where the workspace holds the package itself.
    """
    name = dependency.def_path
    if (
        name not in PACKAGES
        or dependency.fs.protocol != "local"
        or getattr(dependency.stage, "cmd", "") != _CODE_COMMAND
    ):
        return None
    if os.path.exists(os.path.join(dependency.stage.wdir, name, "__init__.py")):
        return None
    spec = importlib.util.find_spec(name)
    return os.path.dirname(os.path.realpath(spec.origin)) if spec is not None and spec.origin else None


def _boundary(dependency: Any) -> Boundary:
    """The boundary of ingest.source for a dependency of ingest; other stages follow every link."""
    from hallmark.pipeline.params import read

    if dependency.stage.name != "ingest":
        return Boundary()
    root = Path(dependency.repo.root_dir)
    settings = read(root / "params.yaml").values["ingest"]
    if settings["follow_outside"]:
        return Boundary()
    source = root / settings["source"]
    return Boundary.of(source if source.is_dir() else source.parent, images=settings["images"], workspace=root)


def _info(boundary: Boundary, path: str) -> dict[str, Any]:
    """DVC's info of a file, with the path to open or a mark that it is not read."""
    try:
        facts = os.lstat(path)
        target: str | None = path
        if stat.S_ISLNK(facts.st_mode):
            facts, target = os.stat(path), boundary.target(path)
        if target is None:
            return _unread(path, OUTSIDE)
        if not stat.S_ISREG(facts.st_mode):
            return _unread(path, UNREADABLE)
    except OSError as error:
        if error.errno not in FILE_ERRORS:
            raise
        return _unread(path, UNREADABLE)
    return {
        "name": path,
        "size": facts.st_size,
        "type": "file",
        "mode": facts.st_mode,
        "mtime": facts.st_mtime,
        "ino": facts.st_ino,
        "nlink": facts.st_nlink,
        _PATH: target,
    }


def _unread(path: str, why: int) -> dict[str, Any]:
    return {"name": path, "size": 0, "type": "file", "mode": 0, "mtime": 0.0, "ino": 0, _PATH: path, _UNREAD: why}


def _linked(source: _Source, root: str, name: str) -> dict[str, dict[str, Any]]:
    """The files behind a link to a folder, which ingest follows and DVC does not."""
    path = f"{root}/{name}"
    target = source.boundary.target(path)
    if target is None:
        return {_hashable(name): _unread(path, OUTSIDE)}
    if os.path.join(os.path.realpath(root), "").startswith(os.path.join(target, "")):  # a loop
        return {_hashable(name): _unread(path, UNREADABLE)}
    below = walk(Path(path), source.boundary)
    return {_hashable(f"{name}/{file}"): _info(source.boundary, f"{path}/{file}") for file in below}


def _hashable(name: str) -> str:
    """A name that DVC can store: valid text, and not ``.dvcignore``, which DVC refuses in a folder."""
    if name == ".dvcignore":
        return ".dvcignore~"
    try:
        name.encode()
    except UnicodeEncodeError:
        data = os.fsencode(name)
        return f"{data.decode('utf-8', 'backslashreplace')}~{data.hex()}"
    return name
