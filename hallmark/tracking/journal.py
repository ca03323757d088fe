"""A run's events for MLflow, kept on disk until they are delivered.

A journal is a folder ``.hallmark/tracking/<name>``: ``header.json`` identifies the run,
``events.jsonl`` has one line per event, ``files/`` holds their files, ``delivered`` the number of
bytes of events.jsonl that MLflow has. Guarantees, each with its test:

- an event is in the file when :meth:`Journal.add` returns: a killed process loses none;
- a line that a kill truncated is dropped, earlier lines are kept;
- a journal has one owner at a time, by a lock that the kernel frees when the owner dies.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import threading
import time
from dataclasses import asdict, dataclass, field
from typing import IO, TYPE_CHECKING, Any

from hallmark.contracts import durable
from hallmark.contracts.runtime import STATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ROOM = STATE / "tracking"
_HEADER, _EVENTS, _DELIVERED, _LOCK, _FILES = "header.json", "events.jsonl", "delivered", "lock", "files"
_PARTIAL = ".partial-"
_CLOSED = -1

Event = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Header:
    """Identifies a journal's run: the store at ``uri``, its experiment, and the work (``stage`` and ``key``).

    ``made`` is a file's name and digest: the journal then belongs to the run that wrote it and creates no run.
    """

    uri: str
    experiment: str
    stage: str
    key: str
    name: str = ""
    started: int = 0
    tags: dict[str, str] = field(default_factory=dict)
    made: tuple[str, str] | None = None


class Journal:
    """One journal, owned by this process until :meth:`release`."""

    def __init__(self, folder: Path, header: Header, lock: IO[str]) -> None:
        self.folder, self.header = folder, header
        self._lock = lock
        self._writing = threading.Lock()
        self._repair()
        self._out = os.open(folder / _EVENTS, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.delivered = self._acknowledged()
        self.run_id: str | None = None
        self.ended: str | None = None
        self.steps: dict[str, int] = {}  # last step per metric
        self.done: dict[str, int] = {}  # last step per metric that MLflow had when this journal attached
        for _, event in self.events():
            self._note(event)

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.folder.name

    @property
    def waits(self) -> bool:
        """Whether events are undelivered."""
        return self.delivered < (self.folder / _EVENTS).stat().st_size

    def add(self, kind: str, **content: Any) -> None:
        """Appends an event; on return it survives a kill of the process."""
        event = {"kind": kind, **content}
        line = json.dumps(event, ensure_ascii=True).encode() + b"\n"
        with self._writing:
            view = memoryview(line)
            while view:  # a full disk or a signal may take a part only
                view = view[os.write(self._out, view) :]
            self._note(event)

    def file(self, name: str) -> Path:
        """A new path with that file name, for a file that an event refers to."""
        folder = self.folder / _FILES / secrets.token_hex(4)
        folder.mkdir(parents=True)
        return folder / name

    def events(self, start: int = 0) -> Iterator[tuple[int, Event]]:
        """The events from byte ``start`` on, each with the offset of its end."""
        with (self.folder / _EVENTS).open("rb") as file:
            file.seek(start)
            at = start
            for line in file:
                if not line.endswith(b"\n"):
                    return
                at += len(line)
                yield at, json.loads(line)

    def check_owned(self) -> None:
        """Raises ValueError after :meth:`release`, for a thread that still uses it."""
        if self._out == _CLOSED:
            raise ValueError(f"{self.folder} has another owner now")

    def acknowledge(self, byte: int) -> None:
        """Records that MLflow has the events before this byte."""
        self.check_owned()
        partial = self.folder / f".partial-{_DELIVERED}"
        partial.write_text(str(byte), encoding="ascii")
        os.replace(partial, self.folder / _DELIVERED)
        self.delivered = byte

    def sync(self) -> None:
        """Syncs the events to disk, against a failure of the machine."""
        os.fsync(self._out)

    def release(self) -> None:
        """Ends the ownership; what was not delivered stays for the next owner."""
        with self._writing:
            os.close(self._out)
            self._out = _CLOSED
        self._lock.close()

    def remove(self) -> None:
        """Removes the journal and ends the ownership."""
        durable.remove(self.folder)
        self.release()

    def _note(self, event: Event) -> None:
        match event["kind"]:
            case "run":
                self.run_id, self.done = event["run_id"], event["done"]
            case "end":
                self.ended = event["status"]
            case "metrics":
                self.ended = None
                for name in event["values"]:
                    self.steps[name] = max(event["step"], self.steps.get(name, event["step"]))

    def _acknowledged(self) -> int:
        try:
            return int((self.folder / _DELIVERED).read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return 0

    def _repair(self) -> None:
        """Truncates an incomplete last line."""
        path = self.folder / _EVENTS
        if not path.exists():
            return
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(path, whole)


def begin(header: Header, root: Path) -> Journal:
    """A new journal, or the unfinished one of an interrupted run of the same work."""
    room = (root / ROOM).resolve()
    room.mkdir(parents=True, exist_ok=True)
    for journal in left(root, lambda other: _work(other) == _work(header)):
        if journal.ended != "FINISHED":
            return journal
        journal.release()
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(header.started / 1000))
    name = f"{stamp}-{header.stage}-{header.key[:8]}-{secrets.token_hex(3)}"
    # renamed into view only with its header and owner
    partial = room / f"{_PARTIAL}{name}"
    partial.mkdir()
    (partial / _LOCK).touch()
    lock = _owned(partial)
    assert lock is not None, "a folder of a random name has no other owner"
    durable.write_text(partial / _HEADER, json.dumps(asdict(header), indent=2) + "\n")
    folder = partial.rename(room / name)
    return Journal(folder, header, lock)


def left(root: Path, wanted: Callable[[Header], bool]) -> Iterator[Journal]:
    """The journals that no running process owns, oldest first; the caller releases or removes each."""
    for folder in _folders(root):
        lock = _owned(folder)
        if lock is None:
            continue
        if folder.name.startswith(_PARTIAL):  # its process was killed before its first event
            durable.remove(folder)
        else:
            header = _header(folder)
            if wanted(header):
                yield Journal(folder, header, lock)
                continue
        lock.close()


def some(root: Path, uri: str) -> bool:
    """Whether there is a journal for the store at ``uri``, owned or not."""
    for folder in _folders(root):
        try:
            if not folder.name.startswith(_PARTIAL) and _header(folder).uri == uri:
                return True
        except FileNotFoundError:  # its owner removed it meanwhile
            continue
    return False


def _folders(root: Path) -> list[Path]:
    room = (root / ROOM).resolve()
    return sorted(path for path in room.iterdir() if path.is_dir()) if room.is_dir() else []


def _work(header: Header) -> tuple[str, ...]:
    return header.uri, header.experiment, header.stage, header.key, *(header.made or ())


def _owned(folder: Path) -> IO[str] | None:
    """The lock of a journal; None where another process has it, or where it was removed meanwhile."""
    try:
        file = (folder / _LOCK).open("r+", encoding="ascii")
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    if not (folder / _LOCK).exists():  # its owner removed it between the two
        file.close()
        return None
    return file


def _header(folder: Path) -> Header:
    content = json.loads((folder / _HEADER).read_text(encoding="utf-8"))
    return Header(**{**content, "made": tuple(content["made"]) if content["made"] else None})
