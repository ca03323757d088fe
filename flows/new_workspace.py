"""``hallmark init``: creates a workspace for the user's images, without a copy of the code.

Its settings and stages are those of Hallmark's repository, which is a workspace itself: an installed wheel holds copies
of them (build-backend packs them), an editable installation reads the repository's.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tomllib
from contextlib import suppress
from pathlib import Path

from hallmark.contracts.errors import InputError, MachineError
from hallmark.contracts.names import DEMO

_HERE = Path(__file__).parent
PACKED = _HERE / "workspace"
README = _HERE / "workspace_readme.md"
# names that Python and DVC would take for Hallmark's code, in a folder that they are started in
_CODE = ("hallmark", "tasks", "flows")
_PLOTS_PAGE = "../hallmark/versioning/templates/plots.html"


def create(folder: Path, source: Path | None = None) -> Path:
    """Creates a workspace in a folder, new or existing, that reads its images from ``source``; returns its path.

    ``source`` is relative to the current folder; None means the built-in data, which the first run creates. A folder
    inside a Git repository becomes a part of it.

    Raises InputError if the folder holds one of the files to be written, if its name or its parent is a file's, or if
    the source is unusable; MachineError if git is missing or the folder cannot be written. Nothing is left behind.
    """
    from hallmark.pipeline.configuration import configure
    from hallmark.pipeline.overrides import as_overrides
    from hallmark.versioning.workspace import inside_git
    from tasks import STAGES

    root = Path(os.path.abspath(folder.expanduser()))
    value = DEMO if source is None else source_for(source, root)
    files = _files(root.name)
    _check(root, files)
    made: list[Path] = []
    try:
        for name, content in files.items():
            made += _write(root / name, content)
        configure(STAGES, root, as_overrides({"ingest.source": value}), package="tasks", all_sources=True)
        if not inside_git(root):
            _git_init(root)
    except BaseException:
        for path in reversed(made):
            with suppress(OSError):  # the first error is the one to report
                path.rmdir() if path.is_dir() else path.unlink()
        raise
    return root


def next_steps(root: Path, here: Path) -> str:
    """What the user can do in a new workspace, for the terminal."""
    way = os.path.relpath(root, here)
    enter = [] if way == "." else [f"  cd {shlex.quote(way)}"]
    return "\n".join(
        [
            f"Workspace  {root}",
            "Next",
            *enter,
            '  git add --all && git commit --message "New workspace"',
            "  hallmark run    # or: hallmark run /path/to/images",
        ]
    )


def source_for(source: Path, root: Path) -> str:
    """The value of ingest.source in a workspace for a path relative to the current folder.

    It is relative to the workspace if the source is inside, else absolute.
    """
    source = Path(os.path.abspath(source.expanduser()))
    return str(source.relative_to(root) if source.is_relative_to(root) and source != root else source)


def _files(name: str) -> dict[str, bytes]:
    """The files of a workspace: path relative to its root, and content."""
    from hallmark.quality.review import COLUMNS
    from hallmark.versioning import dependencies

    page = Path(dependencies.__file__).parent / "templates" / "plots.html"
    files = {path.relative_to(base).as_posix(): path.read_bytes() for base, path in _shared()}
    config = files[".dvc/config"].decode()
    assert _PLOTS_PAGE in config, "the DVC configuration names no page for plots"
    return {
        **files,
        ".dvc/config": config.replace(_PLOTS_PAGE, page.name).encode(),
        f".dvc/{page.name}": page.read_bytes(),
        "README.md": README.read_text(encoding="utf-8").replace("{name}", name).encode(),
        "data/review.csv": f"{','.join(COLUMNS)}\n".encode(),
        "data/accepted.json": b"{}\n",
        "data/ablation.json": b"{}\n",
    }


def default_params() -> str:
    """The text of params.yaml in a new workspace."""
    return next(path for _, path in _shared() if path.name == "params.yaml").read_text(encoding="utf-8")


def _shared() -> list[tuple[Path, Path]]:
    """The files that a new workspace shares with Hallmark's repository, each as (base folder, path)."""
    if PACKED.is_dir():
        return [(PACKED, path) for path in sorted(PACKED.rglob("*")) if path.is_file()]
    base = _HERE.parent
    settings = tomllib.loads((base / "pyproject.toml").read_text(encoding="utf-8"))
    tops = [base / name for name in settings["tool"]["hallmark"]["workspace"]]
    paths = [path for top in tops for path in (sorted(top.rglob("*")) if top.is_dir() else [top])]
    return [(base, path) for path in paths if path.is_file()]


def _check(root: Path, files: dict[str, bytes]) -> None:
    """Raises InputError or MachineError if the workspace cannot be created in the folder."""
    if shutil.which("git") is None:
        raise MachineError("git is not installed, and versions are kept in Git", remedy="install git and run again")
    blocked = next((path for path in (root, *root.parents) if path.exists() and not path.is_dir()), None)
    if blocked is not None:
        raise InputError(f"'{blocked}' is no folder", remedy="give the path of a new or an existing folder")
    there = [name for name in (*files, "dvc.lock") if os.path.lexists(root / name)]
    if there:
        more = f" and {len(there) - 5} more" if len(there) > 5 else ""
        is_one = {"params.yaml", "dvc.yaml"} <= set(there)
        raise InputError(
            f"{root} holds {', '.join(there[:5])}{more}, which would be overwritten",
            remedy="it is a workspace already: `hallmark run` runs it" if is_one else "give another folder",
        )
    modules = [file for name in _CODE for file in (f"{name}.py", f"{name}/__init__.py") if (root / file).exists()]
    if modules:
        raise InputError(
            f"{root} holds {', '.join(modules)}, which Python would import instead of Hallmark's code",
            remedy="give another folder, such as a new one inside it",
        )


def _write(path: Path, content: bytes) -> list[Path]:
    """Writes a file and creates its folders; returns the paths that are new, outermost first."""
    folders = [folder for folder in reversed(path.parents) if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return [*folders, path]


def _git_init(root: Path) -> None:
    done = subprocess.run(["git", "init", "--quiet"], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise MachineError(f"`git init` failed: {done.stderr.strip()}", remedy="correct that and run again")
