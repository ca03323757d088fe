"""What reaches the top: one message, an exit code, and a log with the traceback."""

from __future__ import annotations

import errno
import sqlite3
import subprocess
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallmark.contracts.errors import GateRefused, HallmarkError, InputError, MachineError
from hallmark.pipeline import failures
from hallmark.pipeline.machine import MACHINE, as_machine_error, require_space

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class MlflowException(Exception):
    """As MLflow's: its module is of no builtin, and it is raised in the handling of another."""


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    """The error with a traceback."""
    try:
        if cause is not None:
            raise error from cause
        raise error
    except BaseException as caught:
        return caught


def while_handling(first: BaseException, second: BaseException) -> BaseException:
    try:
        try:
            raise first
        except BaseException:
            raise second  # noqa: B904  the implicit context is what is tested
    except BaseException as caught:
        return caught


@pytest.mark.parametrize("number", MACHINE)
def test_every_error_number_of_the_machine(number: int) -> None:
    found = failures.as_hallmark_error(OSError(number, "words", "/a/file"), "train")
    assert isinstance(found, MachineError)
    assert str(found).startswith(f"train: {MACHINE[number]} (/a/file); ")


@pytest.mark.parametrize(
    "error",
    [
        sqlite3.OperationalError("database or disk is full"),
        OSError("[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device"),
        OSError("800000 requested and 23520 written"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"),
        raised(MlflowException("(sqlite3.OperationalError) database or disk is full")),
        raised(MlflowException("it broke"), OSError(errno.ENOSPC, "x")),
        while_handling(OSError(errno.EDQUOT, "x"), MlflowException("it broke")),
        raised(
            RuntimeError("outer"),
            raised(MlflowException("inner"), OSError(errno.EDQUOT, "x")),
        ),
        ExceptionGroup("several", [ValueError("x"), OSError(errno.ENOSPC, "x")]),
    ],
)
def test_a_full_disk_in_the_clothes_of_libraries(error: BaseException) -> None:
    found = failures.as_hallmark_error(error)
    assert isinstance(found, MachineError), found
    assert found.remedies[0].startswith("free some space and run again")


def test_an_error_of_ours_that_hides_a_full_disk_is_the_disks() -> None:
    hiding = raised(InputError("DVC: it cannot write", remedy="mend that"), OSError(errno.ENOSPC, "x"))
    assert isinstance(failures.as_hallmark_error(hiding), MachineError)
    denied = raised(InputError("a.csv cannot be read", remedy="mend that"), OSError(errno.EACCES, "x"))
    assert failures.as_hallmark_error(denied) is denied


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        BrokenProcessPool("a process was terminated abruptly"),
        ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
        sqlite3.OperationalError("unable to open database file"),
        sqlite3.OperationalError("attempt to write a readonly database"),
    ],
)
def test_other_ways_in_which_the_machine_is_in_the_way(error: BaseException) -> None:
    assert isinstance(failures.as_hallmark_error(error), MachineError)


def test_clients_whose_server_went_away() -> None:
    import httpx
    import requests

    request = httpx.Request("GET", "http://me:secret@127.0.0.1:9/api/flows")
    gone = httpx.ConnectError("Connection refused", request=request)
    assert "http://127.0.0.1:9 does not answer" in str(
        failures.as_hallmark_error(raised(RuntimeError("Failed to reach API"), gone))
    )
    unwell = httpx.HTTPStatusError("x", request=request, response=httpx.Response(503, request=request))
    assert "answers with status 503" in str(failures.as_hallmark_error(unwell))
    wrong = httpx.HTTPStatusError("x", request=request, response=httpx.Response(422, request=request))
    assert failures.as_hallmark_error(wrong).exit_code == 1
    lost = requests.exceptions.ConnectionError("refused", request=requests.Request("GET", "http://h:1/x").prepare())
    assert "http://h:1 does not answer" in str(failures.as_hallmark_error(lost))


def test_what_was_only_being_handled_does_not_excuse_a_mistake() -> None:
    for handled in (PermissionError(errno.EACCES, "x"), InputError("x")):
        assert failures.as_hallmark_error(while_handling(handled, TypeError("ours"))).exit_code == 1


def test_an_error_of_ours_within_a_librarys_is_reported() -> None:
    inner = InputError("a is 2", remedy="give 1")
    assert failures.as_hallmark_error(raised(RuntimeError("in a worker"), inner)) is inner


def test_wrong_input_and_refusals_need_no_log(tmp_path: Path) -> None:
    for error in (InputError("a is 2", remedy="give 1"), GateRefused("refused", remedy="mend")):
        assert failures.log_and_describe(error, command="run", root=tmp_path) == (str(error), error.exit_code)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("module", "logged"), [("mlflow.exceptions", True), ("prefect", True), ("pandas.errors", False)]
)
def test_wrong_input_that_a_library_noticed_has_a_log(tmp_path: Path, module: str, logged: bool) -> None:
    cause: Exception = type("LibraryError", (Exception,), {"__module__": module})("no such table")
    failures.log_and_describe(raised(InputError("a is 2"), cause), command="run", root=tmp_path)
    assert any(tmp_path.iterdir()) == logged


def test_a_mistake_of_ours_names_the_log_that_holds_the_traceback(tmp_path: Path) -> None:
    message, code = failures.log_and_describe(raised(TypeError("first\nsecond")), command="run", root=tmp_path)
    [log] = (tmp_path / ".hallmark" / "logs").iterdir()
    assert code == 1
    assert message == (
        f"unexpected TypeError: first; this is a fault of Hallmark, not yours: please report it, with the file {log}"
    )
    assert "Traceback (most recent call last)" in log.read_text()
    assert "TypeError: first\nsecond" in log.read_text()


def test_an_error_of_the_machine_names_its_log_below_the_workspace(tmp_path: Path) -> None:
    error = raised(MachineError("no", remedy="do"), OSError("why"))
    message, code = failures.log_and_describe(error, command="run", root=tmp_path)
    [log] = (tmp_path / ".hallmark" / "logs").iterdir()
    assert (message, code) == (f"no; do; .hallmark/logs/{log.name} has the traceback", 4)
    assert "OSError: why" in log.read_text()


def test_a_log_shows_no_password(tmp_path: Path) -> None:
    log = failures.write_log(raised(TypeError("at postgresql://me:sec/ret@db/x")), command="run", root=tmp_path)
    assert "ret" not in log.read_text().split("TypeError")[1].split("@")[0]
    assert "://…@db/x" in log.read_text()


def test_the_newest_logs_are_kept(tmp_path: Path) -> None:
    logs = [failures.write_log(TypeError("x"), command="run", root=tmp_path) for _ in range(failures.KEEP + 3)]
    assert sorted((tmp_path / ".hallmark" / "logs").iterdir()) == logs[3:]


def test_a_log_without_space_is_reported_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, *_: object, **__: object) -> int:
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    message, code = failures.log_and_describe(raised(OSError(errno.ENOSPC, "x")), command="run", root=tmp_path)
    assert code == 4
    assert "the disk is full" in message
    assert "no log of it could be written (No space left on device)" in message
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@given(st.text(), st.text())
def test_whatever_the_text_there_is_a_message_without_a_traceback(text: str, name: str) -> None:
    kind = type("E" + "".join(sign for sign in name if sign.isalnum()), (Exception,), {})
    found = failures.as_hallmark_error(kind(text))
    assert isinstance(found, HallmarkError)
    assert "Traceback" not in str(found) or "Traceback" in text


def test_room_on_the_disk(tmp_path: Path) -> None:
    require_space(tmp_path / "not" / "there", need=0)
    with pytest.raises(MachineError, match=r"MiB are free on the disk of .*free some space"):
        require_space(tmp_path, need=1 << 60)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tmp_path)], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("may not mount a small file system here")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def writers() -> dict[str, Callable[[Path], object]]:
    """How the stages write, each more than fits."""
    import numpy as np
    import pandas as pd
    import torch
    from PIL import Image
    from safetensors.torch import save_file

    from hallmark.contracts.durable import write_text
    from hallmark.learning.checkpoints import Checkpoints

    noise = np.random.default_rng(0).normal(size=(400, 400))

    def sqlite(folder: Path) -> None:
        connection = sqlite3.connect(folder / "x.db")
        try:
            connection.execute("CREATE TABLE t (b BLOB)")
            connection.execute("INSERT INTO t VALUES (?)", (noise.tobytes(),))
            connection.commit()
        finally:
            connection.close()

    return {
        "text": lambda folder: write_text(folder / "x", "x" * 10**6),
        "parquet": lambda folder: pd.DataFrame(noise).rename(columns=str).to_parquet(folder / "x.parquet"),
        "csv": lambda folder: pd.DataFrame(noise).to_csv(folder / "x.csv"),
        "numpy": lambda folder: np.save(folder / "x.npy", noise),
        "safetensors": lambda folder: save_file({"w": torch.from_numpy(noise)}, str(folder / "x.safetensors")),
        "torch": lambda folder: torch.save({"w": torch.from_numpy(noise)}, folder / "x.pt"),
        "checkpoint": lambda folder: Checkpoints(folder, "k").save({"w": torch.from_numpy(noise)}),
        "png": lambda folder: Image.fromarray(noise.view("uint8")).save(folder / "x.png"),
        "sqlite": sqlite,
    }


@pytest.mark.parametrize("kind", sorted(writers()))
def test_a_full_disk_is_reported_as_one_by_every_writer(small: Path, kind: str) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011  each library raises its own
        writers()[kind](small)
    found = as_machine_error(caught.value, kind)
    assert found is not None, repr(caught.value)
    assert str(found).startswith(f"{kind}: the disk is full")
    if kind in ("text", "checkpoint"):
        assert [path for path in small.rglob("*") if path.is_file()] == [], "what did not fit is left"
