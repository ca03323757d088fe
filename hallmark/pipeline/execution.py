"""Runs one stage: it writes to empty partial paths, which replace the outputs when it ends.

Outputs are renamed after all of them are written and synced, so a kill leaves the old outputs or the new ones. Timings
and machine facts go to reports/run.json, the only output that may differ between two equal runs.
"""

from __future__ import annotations

import dataclasses
import json
import resource
import sys
import time
from typing import TYPE_CHECKING, Any

from hallmark.contracts import durable
from hallmark.contracts.errors import HallmarkError, InputError
from hallmark.contracts.runtime import state
from hallmark.contracts.telemetry import collect
from hallmark.pipeline import provenance
from hallmark.pipeline.machine import as_machine_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

    from hallmark.pipeline.stage import Stage

NOTHING = "nothing.txt"  # placed in an empty output folder, since DVC warns about those


def execute(stage: Stage, module: ModuleType, params: Any, root: Path) -> dict[str, Any]:
    """Runs the stage, replaces its outputs and returns its Report as plain values.

    Raises InputError, GateRefused, MachineError and any other exception of the stage. The caller writes the page of a
    refusal.
    """
    missing = [str(path) for path in _inputs(stage) if not (root / path).exists()]
    if missing:
        check_git_inputs(stage, root)
        raise InputError(f"{stage.name}: {', '.join(missing)} not there", remedy="run the stages before it first")
    partials = {keyword: _partial(root / stage.path(keyword)) for keyword in stage.outputs}
    started = time.perf_counter()
    with collect() as notes:
        try:
            clear_partials(stage, root)
            for keyword, partial in partials.items():
                partial.parent.mkdir(parents=True, exist_ok=True)
                if stage.makes_folder(keyword):
                    partial.mkdir()
            paths = {keyword: root / stage.path(keyword) for keyword in stage.inputs} | partials
            report = dataclasses.asdict(module.run(params, **paths))
            text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
            for keyword, partial in partials.items():
                assert partial.exists(), f"{stage.name} wrote no {keyword}"
                if partial.is_dir() and not any(partial.iterdir()):
                    (partial / NOTHING).write_text(f"The stage {stage.name} had nothing to put here.\n")
                durable.replace(partial, root / stage.path(keyword))
            durable.write_text(root / stage.report, text)
        except HallmarkError as error:
            error.rename(stage.key)
            raise
        except Exception as error:
            machine_error = as_machine_error(error, stage.name)
            if machine_error is None:
                raise
            raise machine_error from error
        finally:
            clear_partials(stage, root)
    durable.remove(state(root) / "refusals" / stage.name)
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    facts = {
        "seconds": round(time.perf_counter() - started, 3),
        "state": "ran",
        "peak_memory_bytes": max(usage, children),
        **notes,
    }
    record_run(stage.name, facts, root)
    return report


def record_run(stage: str, facts: dict[str, Any], root: Path) -> None:
    """Sets one stage's entry in reports/run.json and updates the page's reports/run.js."""
    path = root / "reports" / "run.json"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        entries = {}  # no run depends on its content, so start over
    entries[stage] = facts
    durable.write_text(path, json.dumps(entries, indent=2) + "\n")
    provenance.note(stage, facts["state"], root)


def clear_partials(stage: Stage, root: Path) -> None:
    """Removes the partial outputs of a killed run of this stage."""
    for keyword in stage.outputs:
        path = root / stage.path(keyword)
        durable.remove(_partial(path))
        durable.remove(path.with_name(f".partial-old-{path.name}"))
    durable.remove(_partial(root / stage.report))


def _partial(path: Path) -> Path:
    return path.with_name(f".partial-{path.name}")


def check_git_inputs(stage: Stage, root: Path) -> None:
    """Raises InputError if an input that comes from Git is missing."""
    missing = [str(path) for path in stage.git_inputs if not (root / path).exists()]
    if missing:
        paths = " ".join(missing)
        raise InputError(
            f"{stage.name}: {', '.join(missing)} not there", remedy=f"`git restore {paths}` brings it back"
        )


def _inputs(stage: Stage) -> Iterator[Path]:
    return (stage.path(keyword) for keyword in stage.inputs)
