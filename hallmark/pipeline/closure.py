"""The code of each stage: one digest file per stage, over its module and everything the module imports.

A digest file lists an import closure, one ``<SHA-256>  <path>`` a line, sorted by path, in the format of ``sha256sum``.
A DVC stage depends on its digest file only, so an edit re-runs exactly the stages that use the edited file.

Guarantees, each with its test:
- the digest depends on paths and bytes only, not on line endings, file modes, times or the location of the code;
- a module is in the closure if the stage imports it, directly or not, from anywhere in the code. Imports for type
  checkers do not count, and a package counts only if something is imported from its ``__init__.py``;
- a non-Python file, such as a template, belongs to the modules of its package that name it or its folder, and to a
  module with the same stem.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hallmark.contracts import durable
from hallmark.contracts.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PACKAGES = ("hallmark", "tasks")
SUFFIX = ".sha256"
BYTECODE = (".pyc", ".pyo", ".so")


@dataclass(frozen=True, kw_only=True)
class Closure:
    """The files that ``module`` runs on.

    ``why`` maps each file, relative to the folder of the packages (POSIX), to the chain of imports that leads from the
    module to it, or for a non-Python file to the module that reads it.
    """

    module: str
    why: dict[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Changes:
    """The differences between two digest files, each a sorted list of paths."""

    edited: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.edited or self.added or self.removed)


class Code:
    """The import graph of ``packages``, all in the folder ``base``.

    Raises InputError if a file does not parse.
    """

    def __init__(self, packages: tuple[str, ...] = PACKAGES) -> None:
        import grimp
        from grimp.exceptions import SourceSyntaxError

        self.base = _folder_of(packages)
        try:
            self._graph: Any = grimp.build_graph(*packages, cache_dir=None, exclude_type_checking_imports=True)
        except SourceSyntaxError as error:
            raise InputError(
                f"{error.filename}, line {error.lineno or '?'} is not valid Python: {(error.text or '').strip()}",
                remedy="correct that line and run again",
            ) from error
        self._data = [
            path
            for package in packages
            for path in sorted((self.base / package).rglob("*"))
            if path.is_file() and _is_data(path.relative_to(self.base))
        ]
        self._digests: dict[str, str] = {}

    def closure(self, module: str) -> Closure:
        """The files of a module and of everything it imports, directly or not."""
        why: dict[str, tuple[str, ...]] = {}
        for name in sorted({module, *self._graph.find_upstream_modules(module)}):
            chain = (module,) if name == module else tuple(self._graph.find_shortest_chain(module, name))
            source = self._source(name)
            why[source.relative_to(self.base).as_posix()] = chain
            for path in self._data_of(source):
                why.setdefault(path.relative_to(self.base).as_posix(), chain)
        return Closure(module=module, why=dict(sorted(why.items())))

    def digest(self, closure: Closure) -> str:
        r"""The text of a closure's digest file. ``\r\n`` counts as ``\n``."""
        return "".join(f"{self._sha256(path)}  {path}\n" for path in sorted(closure.why))

    def unused(self) -> list[str]:
        """Non-Python files in the packages that no module reads."""
        modules = [self._source(name) for name in self._graph.modules]
        used = {path for source in modules for path in self._data_of(source)}
        return [path.relative_to(self.base).as_posix() for path in self._data if path not in used]

    def _sha256(self, path: str) -> str:
        if path not in self._digests:
            content = (self.base / path).read_bytes().replace(b"\r\n", b"\n")
            self._digests[path] = hashlib.sha256(content).hexdigest()
        return self._digests[path]

    def _source(self, module: str) -> Path:
        path = self.base.joinpath(*module.split("."))
        return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")

    def _data_of(self, source: Path) -> list[Path]:
        near = [path for path in self._data if path.is_relative_to(source.parent)]
        text = source.read_text(encoding="utf-8") if near else ""
        return [path for path in near if path.stem == source.stem or _names(text, path, source.parent)]


def digest_of(modules: Iterable[str]) -> str:
    """The text of one digest file for several modules of hallmark: each file of their closures once."""
    code = Code(("hallmark",))
    lines = {line for module in modules for line in code.digest(code.closure(module)).splitlines()}
    return "\n".join(sorted(lines))


def entries(text: str) -> dict[str, str]:
    """The digest of each path in the text of a digest file."""
    return {path: value for value, _, path in (line.partition("  ") for line in text.splitlines())}


def changes(before: str, after: str) -> Changes:
    """The differences between the texts of two digest files."""
    old, new = entries(before), entries(after)
    return Changes(
        edited=[path for path in sorted(old.keys() & new.keys()) if old[path] != new[path]],
        added=sorted(new.keys() - old.keys()),
        removed=sorted(old.keys() - new.keys()),
    )


def texts(modules: Mapping[str, str]) -> dict[str, str]:
    """The text of the digest file of each module, by the names in ``modules``."""
    code = Code()
    return {name: code.digest(code.closure(module)) for name, module in modules.items()}


def write(digests: Mapping[str, str], folder: Path) -> None:
    """Replaces ``folder`` by one with the digest file ``<name>.sha256`` of each text in ``digests``."""
    partial = folder.with_name(f".partial-{folder.name}")
    durable.remove(partial)
    partial.mkdir(parents=True)
    for name, text in digests.items():
        (partial / f"{name}{SUFFIX}").write_bytes(text.encode())
    durable.replace(partial, folder)


def _folder_of(packages: tuple[str, ...]) -> Path:
    folders = set()
    for package in packages:
        spec = importlib.util.find_spec(package)
        assert spec is not None, package
        assert spec.origin is not None, package
        folders.add(Path(spec.origin).resolve().parents[1])
    assert len(folders) == 1, f"{packages} lie in {sorted(folders)}"
    return folders.pop()


def _is_data(path: Path) -> bool:
    hidden = any(part.startswith(".") or part == "__pycache__" for part in path.parts)
    return not hidden and path.suffix != ".py" and path.suffix not in BYTECODE


def _names(text: str, path: Path, folder: Path) -> bool:
    """Whether the text of a module in ``folder`` names a file or one of the folders between."""
    parts = path.relative_to(folder).parts
    return any(re.search(rf"(?<![\w.-]){re.escape(part)}(?![\w-])", text) for part in parts)
