"""The eleven words are the same everywhere, and each signature is its declaration."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from hallmark.contracts import tables
from hallmark.contracts.seeds import derive
from tasks import SHARED, STAGES

ROOT = Path(__file__).parents[2]
WORDS = ["ingest", "validate", "split", "clean", "balance", "augment", "synthesize", "train", "evaluate"]
WORDS += ["register", "report"]


def test_the_stages_are_the_eleven_words() -> None:
    assert [stage.name for stage in STAGES] == WORDS


def test_files_in_tasks_are_the_stages() -> None:
    files = {path.stem for path in (ROOT / "tasks").glob("*.py")} - {"__init__", "__main__"}
    assert files == set(WORDS)


def test_dvc_stages_are_the_stages_the_code_and_the_demo() -> None:
    dvc = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert list(dvc) == ["code", "demo", *WORDS]


def test_params_sections_are_the_stages_and_the_shared_ones() -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert set(params) == {*WORDS, *SHARED}
    assert {name for stage in STAGES for name in stage.shared} == set(SHARED)


def test_flow_tasks_are_the_stages() -> None:
    from flows.adapters import as_task

    run: Any = SimpleNamespace()
    assert [as_task(stage, run).name for stage in STAGES] == WORDS


@pytest.mark.parametrize("stage", STAGES, ids=WORDS)
def test_each_signature_is_the_declaration(stage: Any) -> None:
    module = importlib.import_module(f"tasks.{stage.name}")
    assert is_dataclass(module.Params)
    assert is_dataclass(module.Report)
    parameters = inspect.signature(module.run).parameters
    assert next(iter(parameters)) == "params"
    keywords = {name for name, p in parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}
    assert keywords == {*stage.inputs, *stage.outputs}
    assert len(parameters) == 1 + len(keywords)
    named = {field.name for field in fields(module.Params)}
    section = set(yaml.safe_load((ROOT / "params.yaml").read_text())[stage.name] or {})
    assert named == section | (set(stage.shared) & named)
    assert set(stage.shared) <= named, "a shared value that the stage does not use would re-run it for nothing"
    public = {name for name in vars(module) if not name.startswith("_")}
    assert {"Params", "Report", "run"} <= public


def test_seeds_of_different_uses_differ() -> None:
    seeds = {derive(0, *names) for names in [("a", "b"), ("ab",), ("a", 1), ("a", "1"), (), ("b", "a")]}
    assert len(seeds) == 6


def test_tables_refuse_a_path_twice() -> None:
    import pandas as pd

    row = {name: [0, 0] if kind != "string" else ["a", "a"] for name, kind in tables.LEDGER.items()}
    with pytest.raises(AssertionError, match="twice"):
        tables.conform(pd.DataFrame(row), tables.LEDGER)
