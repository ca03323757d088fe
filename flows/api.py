"""``hallmark.init`` and ``hallmark.run`` of the Python API: entry points of the group ``hallmark.api``.

A run is a process of its own, which streams its output: neither a notebook's event loop and signal handlers nor an
earlier run's settings reach it, and its memory is freed when it ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.new_workspace import create, source_for
from hallmark.contracts.errors import GateRefused, HallmarkError, InputError, MachineError
from hallmark.pipeline.overrides import as_overrides
from hallmark.reporting import run_results

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO

PREFIX = "hallmark: "
CLOCK = 1.0  # seconds by which a file system's clock may be behind


def init(folder: str | os.PathLike[str], source: str | os.PathLike[str] | None) -> Path:
    """See :func:`hallmark.init`."""
    return create(Path(folder), None if source is None else Path(source))


def run(
    source: str | os.PathLike[str] | None,
    overrides: Mapping[str, Any] | Sequence[str],
    workspace: str | os.PathLike[str],
) -> run_results.Run:
    """See :func:`hallmark.run`."""
    root = Path(os.path.abspath(Path(workspace).expanduser()))
    if not root.is_dir():
        raise InputError(f"there is no folder '{root}'", remedy="create a workspace with hallmark.init()")
    if isinstance(overrides, str):
        raise InputError(f"overrides is the text '{overrides}'", remedy="give a list of texts, or a dict of values")
    changes = as_overrides(overrides) if isinstance(overrides, Mapping) else list(overrides)
    if source is not None:
        changes = [*as_overrides({"ingest.source": source_for(Path(source), root)}), *changes]
    started = time.time()
    code, message = _call(["run", *changes], root)
    if code and not (code == GateRefused.exit_code and not _data_refused(root, started)):
        for kind in (InputError, GateRefused, MachineError):
            if code == kind.exit_code:
                raise kind(message)
        raise HallmarkError(message or f"the run ended with exit code {code}")
    return run_results.read(root)


def _data_refused(root: Path, since: float) -> bool:
    """Whether a gate of a stage, not the promotion gate, has refused: it writes a page."""
    pages = (root / ".hallmark" / "refusals").glob("*/index.html")
    return any(page.stat().st_mtime > since - CLOCK for page in pages)


def _call(arguments: Sequence[str], root: Path) -> tuple[int, str]:
    """Runs ``hallmark ARGUMENTS`` in a workspace and prints its output; its exit code and its error message."""
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *arguments],
        cwd=root,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="backslashreplace",
        start_new_session=True,  # it is interrupted once, by this process
    )
    assert process.stdout is not None
    assert process.stderr is not None
    messages: list[str] = []
    errors = threading.Thread(target=_collect, args=(process.stderr, messages))
    errors.start()
    try:
        with process.stdout as lines:
            for line in lines:
                sys.stdout.write(line)
        code = process.wait()
    except BaseException:
        process.send_signal(signal.SIGINT)
        process.wait()
        errors.join()
        sys.stderr.writelines(f"{message}\n" for message in messages)
        raise
    finally:
        errors.join()
    return code, "\n".join(messages)


def _collect(lines: IO[str], messages: list[str]) -> None:
    """Keeps the error messages and passes on other lines, such as a library's warnings."""
    with lines:
        for line in lines:
            if line.startswith(PREFIX):
                messages.append(line.removeprefix(PREFIX).strip())
            else:
                sys.stderr.write(line)
