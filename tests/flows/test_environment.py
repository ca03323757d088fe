"""Ctrl+C and SIGTERM end what runs, even where it would not end by itself; a killed run leaves no server for long."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from flows import environment

if TYPE_CHECKING:
    from pathlib import Path

START = """
import os, signal, subprocess, sys, time
from flows import environment
environment.GRACE = 0.5
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
print(child.pid, flush=True)
"""
HANGS = """
with environment.interruptible("kept"):
    try:
        os.kill(os.getpid(), signal.{name})
        time.sleep(100)
    finally:
        time.sleep(100)
"""
IGNORES = """
child.kill()
signal.signal(signal.SIGINT, signal.SIG_IGN)
with environment.interruptible("kept"):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.1)
"""
ENDS = """
child.kill()
with environment.interruptible("kept"):
    os.kill(os.getpid(), signal.{name})
    time.sleep(100)
"""


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", START + code], capture_output=True, text=True, timeout=60, check=False)


SIGNALS = pytest.mark.parametrize(("name", "words"), [("SIGINT", "hallmark: kept\n"), ("SIGTERM", "")])


@SIGNALS
def test_what_hangs_after_a_signal_is_ended_with_its_children(name: str, words: str) -> None:
    done = run_python(HANGS.format(name=name))  # would wait for its child's end of the pipe, were that left
    assert (done.returncode, done.stderr) == (128 + getattr(signal, name), words)


@SIGNALS
def test_what_ends_by_itself_exits_by_the_signal(name: str, words: str) -> None:
    done = run_python(ENDS.format(name=name))
    assert (done.returncode, done.stderr) == (128 + getattr(signal, name), words)


def test_an_ignored_signal_stays_ignored() -> None:
    done = run_python(IGNORES)
    assert (done.returncode, done.stderr) == (0, "")


ORPHAN = """
import os, subprocess, sys
wait = [sys.executable, "-c", "import time; time.sleep(100)", "uvicorn"]
env = {**os.environ, "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT_HOME": sys.argv[1]}
print(subprocess.Popen(wait, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid)
"""


def orphan(home: Path) -> psutil.Process:
    """A process like Prefect's server for a run that was killed."""
    parent = subprocess.run([sys.executable, "-c", ORPHAN, str(home)], capture_output=True, text=True, check=True)
    return psutil.Process(int(parent.stdout))


def test_the_server_of_a_killed_run_is_ended_and_no_other(tmp_path: Path) -> None:
    ours, others = orphan(tmp_path.resolve() / ".hallmark" / "prefect"), orphan(tmp_path / "elsewhere")
    in_use = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(100)", "uvicorn"],
        env={"PREFECT__SERVER_EPHEMERAL": "1", "PREFECT_HOME": str(tmp_path.resolve() / ".hallmark" / "prefect")},
    )
    try:
        environment.end_abandoned(tmp_path)
        psutil.wait_procs([ours], timeout=10)
        assert not ours.is_running() or ours.status() == psutil.STATUS_ZOMBIE
        assert others.is_running()
        assert in_use.poll() is None  # its parent lives
    finally:
        others.kill()
        in_use.kill()
        in_use.wait()
