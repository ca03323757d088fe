from __future__ import annotations

import subprocess
import sys

ENTRY = """
import atexit, gc
atexit.register(lambda: print(gc.get_freeze_count() > 0))  # runs after what is registered later
from hallmark.contracts.runtime import spare_collector
spare_collector()
print(gc.isenabled(), gc.get_threshold()[0] > 10_000)
"""


def test_the_collector_looks_less_often_and_not_at_all_at_the_end() -> None:
    done = subprocess.run([sys.executable, "-c", ENTRY], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "True"]
