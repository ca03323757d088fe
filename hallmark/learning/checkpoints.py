"""Checkpoints, from which a killed training resumes: one file per training, in .hallmark/checkpoints/<key>/.

The key is a digest of everything that determines the weights: params, inputs, code, device. A file is synced, then
renamed to its path, and is read without unpickling objects. The file of a finished training stays until another
training starts, so a kill between the last step and the end of the stage loses no work.
"""

from __future__ import annotations

import hashlib
import json
import logging
import pickle
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from hallmark.contracts import digests, durable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

FILE = "training.pt"
FINISHED = "finished"
KEEP = 8  # unfinished trainings to keep
SECONDS = 15.0  # between checkpoints within an epoch
SPARE = 1.0  # seconds after a checkpoint in which the end of an epoch writes none

_log = logging.getLogger(__name__)


def key_of(values: Mapping[str, object], files: Iterable[Path], *, code: str) -> str:
    """A digest (32 hexadecimal digits) of ``values``, of the names and bytes of ``files``, and of ``code``.

    ``code`` is the digest of the training code, see :func:`hallmark.pipeline.closure.digest_of`.
    """
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps([values, code], sort_keys=True, default=str).encode())
    for path in files:
        digest.update(f"\x1f{path.parent.name}/{path.name}={digests.of_file(path)}".encode())
    return digest.hexdigest()


class Checkpoints:
    """The checkpoint file of the training with the digest ``key``.

    ``every``: seconds between checkpoints within an epoch; ``steps``, if given, counts steps instead.
    """

    def __init__(
        self, folder: Path, key: str, *, every: float = SECONDS, steps: int | None = None, spare: float = SPARE
    ) -> None:
        self.key = key
        self._all = folder
        self._folder = folder / key
        self._every, self._steps, self._spare = every, steps, spare
        self._last = time.monotonic()
        self._tidy()

    def _tidy(self) -> None:
        """Removes finished trainings of other keys and the oldest unfinished ones."""
        self._all.mkdir(parents=True, exist_ok=True)
        others = [path for path in self._all.iterdir() if path.is_dir() and path != self._folder]
        unfinished = []
        for path in others:
            if (path / FINISHED).exists():
                durable.remove(path)
            else:
                unfinished.append(path)
        unfinished.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for path in unfinished[KEEP:]:
            durable.remove(path)

    def load(self) -> dict[str, Any] | None:
        """The last saved state; None if there is none or it cannot be read."""
        path = self._folder / FILE
        if not path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, pickle.UnpicklingError, OSError) as error:
            _log.warning("the checkpoint %s cannot be read (%s): training restarts from the beginning", path, error)
            return None
        return state

    def save(self, state: Mapping[str, Any], *, finished: bool = False) -> None:
        """Writes the state so that a kill leaves the old file or the new one."""
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = self._folder / f".partial-{FILE}"
        try:
            with partial.open("wb") as file:  # given a path, torch hides the system's error, such as of a full disk
                torch.save(dict(state), file)
            durable.replace(partial, self._folder / FILE)
        finally:
            partial.unlink(missing_ok=True)  # a full disk leaves a part of it
        if finished:
            (self._folder / FINISHED).touch()
        self._last = time.monotonic()

    def once(self, name: str, find: Callable[[], Any]) -> Any:
        """The result of ``find``, a JSON value, computed once per training: a resumed training reads it back."""
        path = self._folder / f"{name}.json"
        if path.exists():
            return json.loads(path.read_text(encoding="utf-8"))
        value = find()
        self._folder.mkdir(parents=True, exist_ok=True)
        durable.write_text(path, json.dumps(value))
        return value

    def due(self, step: int) -> bool:
        """Whether a checkpoint within the epoch is due after ``step`` steps."""
        if self._steps is not None:
            return step % self._steps == 0
        return time.monotonic() - self._last >= self._every

    def due_after_epoch(self) -> bool:
        """Whether a checkpoint at the end of an epoch is due."""
        return time.monotonic() - self._last >= self._spare


class Stop:
    """Whether the process received SIGTERM."""

    def __init__(self) -> None:
        self.asked = False

    def ask(self, *_: object) -> None:
        """The signal handler: sets ``asked``."""
        self.asked = True


@contextmanager
def on_termination() -> Iterator[Stop]:
    """Within the block SIGTERM only sets ``asked``, so that the current step ends and is saved.

    Threads other than the main one cannot handle signals: there only the regular checkpoints apply.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGTERM, stop.ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)
