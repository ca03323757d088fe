"""Ctrl+C and SIGTERM end what runs, even where it would not end by itself."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

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
        os.kill(os.getpid(), signal.SIGINT)
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


def said(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", START + code], capture_output=True, text=True, timeout=60, check=False)


def test_what_hangs_after_ctrl_c_is_ended_with_its_children() -> None:
    done = said(HANGS)  # would wait for its child's end of the pipe, were that left
    assert (done.returncode, done.stderr) == (128 + signal.SIGINT, "hallmark: kept\n")


@pytest.mark.parametrize(("name", "words"), [("SIGINT", "hallmark: kept\n"), ("SIGTERM", "")])
def test_what_ends_by_itself_exits_by_the_signal(name: str, words: str) -> None:
    done = said(ENDS.format(name=name))
    assert (done.returncode, done.stderr) == (128 + getattr(signal, name), words)


def test_an_ignored_signal_stays_ignored() -> None:
    done = said(IGNORES)
    assert (done.returncode, done.stderr) == (0, "")
