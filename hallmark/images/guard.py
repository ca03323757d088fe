"""Processes that decode untrusted files under time and memory limits, so that no file can crash the caller.

A :class:`Guarded` process answers one request at a time. A file that takes too long or crashes the decoder ends only
that process: the caller gets :class:`Ended`, and the next request starts a new process.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import signal
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hallmark.contracts import processes
from hallmark.contracts.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

# a process keeps at most about twice this for the next image; mallopt's names for it are those of <malloc.h>
KEPT_BYTES = 32 * 2**20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
# a process that holds this much more than at its start is replaced: a decoder did not give memory back
SPENT_BYTES = 256 * 2**20
# seconds for a process to start on a busy machine
START_SECONDS = 120.0
# seconds that the process has to end by itself at its limit of time, before it is killed
GRACE = 0.5


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one image may take: declared pixels, seconds, and MiB of a process's memory."""

    max_pixels: int
    seconds: float
    memory_mib: int


class Ended(Exception):
    """The process ended before it answered: the file took too long (``late``), or crashed the decoder."""

    def __init__(self, *, late: bool) -> None:
        super().__init__("took too long" if late else "crashed the decoder")
        self.late = late


class Guarded:
    """A process that answers questions about files by the function that ``begin(*arguments)`` gives it.

    ``begin``, its arguments and all answers travel by pickle. The caller gets the function's exceptions unchanged.
    One thread asks at a time.
    """

    def __init__(self, limits: Limits, begin: Callable[..., Callable[[bytes], Any]], *arguments: Any) -> None:
        self._limits, self._begin, self._arguments = limits, begin, arguments
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._ready = False
        self._killed = False
        self._lock = threading.Lock()

    def start(self) -> None:
        """Starts the process, unless it runs already, without waiting for it."""
        with self._lock:
            if self._killed:
                raise Ended(late=False)
            if self._process is None:
                ours, theirs = multiprocessing.Pipe()
                self._process = processes.started(_serve, theirs, self._limits, self._begin, self._arguments)
                self._pipe = ours
                theirs.close()

    def ask(self, data: bytes, *, seconds: float | None = None) -> Any:
        """The answer about one file within so many seconds (default: those of the limits).

        Raises :class:`Ended`, what the function raises, or MachineError where the process cannot start.
        """
        most = self._limits.seconds if seconds is None else min(seconds, self._limits.seconds)
        self.start()
        pipe = self._pipe
        assert pipe is not None
        if not self._ready:
            self._await_start(pipe)
        try:
            pipe.send((data, most))
            if not pipe.poll(most + GRACE):
                raise Ended(late=True)
            kind, answer, spent = pipe.recv()
        except (EOFError, OSError, Ended) as error:
            late = isinstance(error, Ended) or self._exit_code() == -signal.SIGALRM
            self._stop()
            raise Ended(late=late) from error
        if spent:
            self._stop()
        if kind == "raised":
            raise answer
        return answer

    def kill(self) -> None:
        """Ends the process for good, from any thread: a question under way gets :class:`Ended`."""
        with self._lock:
            self._killed = True
            if self._process is not None:
                self._process.kill()

    def close(self) -> None:
        """Ends the process for good, where no question is under way."""
        self.kill()
        self._stop()

    def _await_start(self, pipe: Connection) -> None:
        try:
            if not pipe.poll(START_SECONDS):
                raise EOFError
            pipe.recv()
            self._ready = True
        except (EOFError, OSError) as error:
            self._stop()
            if self._killed:
                raise Ended(late=False) from error
            raise MachineError(
                "the processes that decode images end at their start",
                remedy=f"raise validate.memory_mib ({self._limits.memory_mib}), or free some memory",
            ) from error

    def _exit_code(self) -> int | None:
        process = self._process
        if process is None:
            return None
        process.join(GRACE)
        return process.exitcode

    def _stop(self) -> None:
        """Kills the process, for the thread that asks; the next question starts another."""
        with self._lock:
            process, pipe = self._process, self._pipe
            self._process, self._pipe, self._ready = None, None, False
        if process is not None:
            process.kill()
            process.join()
            process.close()
        if pipe is not None:
            pipe.close()


def _serve(pipe: Connection, limits: Limits, begin: Callable[..., Callable[[bytes], Any]], arguments: Any) -> None:
    """In the process: answers until the pipe closes."""
    function = begin(*arguments)
    start(limits.memory_mib)
    least = held()
    pipe.send("ready")
    while True:
        try:
            data, seconds = pipe.recv()
        except EOFError:
            return
        # no handler: the default action ends the process even while a decoder's C code runs
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            kind, answer = "answer", function(data)
        except Exception as error:  # raised again in the calling process
            kind, answer = "raised", error.with_traceback(None)
        signal.setitimer(signal.ITIMER_REAL, 0)
        del data
        pipe.send((kind, answer, held() > least + SPENT_BYTES))


def start(memory_mib: int) -> None:
    """In a decoding process: the default end by SIGALRM, and a limit on what it may allocate over what it holds now."""
    keep_freed_memory()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    with contextlib.suppress(ImportError, OSError, ValueError):
        # not to be had everywhere (Windows has no such limits, macOS does not hold them)
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (_pages(0) + memory_mib * 2**20, most))


def held() -> int:
    """Resident bytes of this process; 0 where the system does not say."""
    try:
        return _pages(1)
    except (ImportError, OSError):
        return 0


def _pages(column: int) -> int:
    import resource

    with open("/proc/self/statm") as pages:
        return int(pages.read().split()[column]) * resource.getpagesize()


def keep_freed_memory() -> None:
    """Makes glibc reuse the memory of one image for the next instead of returning it to the system.

    That took a third of the time an image of 224 px needs. Other C libraries have no such setting and need none set.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # TypeError: Windows has no library without a name
        return
    mallopt(_M_MMAP_THRESHOLD, KEPT_BYTES)
    mallopt(_M_TRIM_THRESHOLD, 2 * KEPT_BYTES)
