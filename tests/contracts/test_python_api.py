"""``import hallmark``: light, documented, and without an import of the layers above it."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest

import hallmark
from hallmark.contracts.errors import MachineError

PROBE = """
import sys
before = set(sys.modules)
import hallmark
print(sorted({name.partition(".")[0] for name in set(sys.modules) - before} - sys.stdlib_module_names))
print([name for name in sys.modules if name.startswith("hallmark.")])
"""


def test_the_import_imports_nothing_else() -> None:
    answer = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True).stdout
    assert answer.splitlines() == ["['hallmark']", "[]"]


def test_each_name_is_there_and_documented() -> None:
    assert set(hallmark.__all__) == {"Model", "Run", "__version__", "init", "load", "run"}
    for name in ("Model", "Run", "init", "load", "run"):
        assert (getattr(hallmark, name).__doc__ or "").strip()
    assert hallmark.__version__ == importlib.metadata.version("hallmark-ml")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        hallmark.nothing  # noqa: B018


def test_init_and_run_are_entry_points_of_the_layer_above() -> None:
    entries = {entry.name: entry.value for entry in importlib.metadata.entry_points(group="hallmark.api")}
    assert entries == {"init": "flows.api:init", "run": "flows.api:run"}


def test_without_the_entry_point_the_message_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: [])
    with pytest.raises(MachineError, match="lacks its function init; install Hallmark again"):
        hallmark.init("anywhere")
