from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil

from hallmark.contracts import processes

if TYPE_CHECKING:
    from pathlib import Path


def _begun(value: int) -> None:
    os.environ["BEGUN"] = str(value)


def _asked() -> tuple[str, bool]:
    return os.environ["BEGUN"], signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_workers_run_their_initializer_and_leave_ctrl_c_to_their_parent() -> None:
    with processes.pool(1, _begun, 7) as pool:
        assert pool.submit(_asked).result() == ("7", True)


PARENT = """
import os, signal
from hallmark.contracts import processes
if __name__ == "__main__":
    pool = processes.pool(1)
    print(pool.submit(os.getpid).result(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_no_worker_outlives_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    done = subprocess.run([sys.executable, script], stdout=subprocess.PIPE, text=True, timeout=300, check=False)
    assert done.returncode == -signal.SIGKILL
    worker = int(done.stdout)
    ends = time.monotonic() + 300
    while psutil.pid_exists(worker) and psutil.Process(worker).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < ends, "the worker lives on"
        time.sleep(0.05)


SCRIPT = """
import sys
from hallmark.contracts import processes
print("main", flush=True)
processes.started(exec, "print('child', flush=True)").join()
assert sys.modules["__main__"].processes is processes
"""


def test_a_script_needs_no_guard_to_start_one(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.splitlines() == ["main", "child"], done.stderr
