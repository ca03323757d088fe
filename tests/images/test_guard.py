"""A guarded process ends for a file, and nothing else does."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from hallmark.contracts.errors import MachineError
from hallmark.images import guard
from hallmark.images.guard import Ended, Guarded, Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMITS = Limits(max_pixels=100, seconds=600, memory_mib=1024)


def begin(more: str) -> Callable[[bytes], Any]:
    """Stands for a decoder that some files crash, hang, or fill the memory with."""

    def evil(data: bytes) -> Any:
        match data:
            case b"kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case b"exit":
                os._exit(0)
            case b"hang":
                time.sleep(3600)
            case b"hang in C":
                signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
                time.sleep(3600)
            case b"fill":
                return len(bytearray(2**31))
            case b"raise":
                raise ZeroDivisionError("its own mistake")
            case b"keep":
                globals()["kept"] = b"x" * (guard.SPENT_BYTES + 2**20)
        return os.getpid(), data.decode() + more

    return evil


def broken() -> Callable[[bytes], Any]:
    os._exit(3)


@pytest.fixture
def guarded() -> Iterator[Guarded]:
    made = Guarded(LIMITS, begin, "!")
    yield made
    made.close()


def test_it_answers_and_goes_on_after_any_file(guarded: Guarded) -> None:
    first, answer = guarded.ask(b"a")
    assert (answer, guarded.ask(b"b")[0]) == ("a!", first)
    for data, late in ((b"kill", False), (b"exit", False), (b"hang", True), (b"hang in C", True)):
        with pytest.raises(Ended) as raised:
            guarded.ask(data, seconds=0.2 if late else None)
        assert raised.value.late == late
        again, answer = guarded.ask(b"c")
        assert (answer, again != first) == ("c!", True)


def test_what_the_function_raises_reaches_the_caller(guarded: Guarded) -> None:
    first, _ = guarded.ask(b"a")
    for data, kind in ((b"raise", ZeroDivisionError), (b"fill", MemoryError)):
        with pytest.raises(kind):
            guarded.ask(data)
    assert guarded.ask(b"b")[0] == first, "the same process goes on"


def test_a_process_that_keeps_memory_is_replaced(guarded: Guarded) -> None:
    first, _ = guarded.ask(b"keep")
    assert guarded.ask(b"b")[0] != first


def test_it_is_killed_while_it_answers(guarded: Guarded) -> None:
    guarded.ask(b"a")
    ended: list[bool] = []

    def ask() -> None:
        with pytest.raises(Ended):
            guarded.ask(b"hang")
        ended.append(True)

    asking = threading.Thread(target=ask)
    asking.start()
    guarded.kill()
    asking.join(120)
    assert ended == [True]
    with pytest.raises(Ended):
        guarded.ask(b"a")


def test_a_process_that_cannot_start_is_no_file_s_fault() -> None:
    with pytest.raises(MachineError, match=r"end at their start; raise validate.memory_mib"):
        Guarded(LIMITS, broken).ask(b"a")
