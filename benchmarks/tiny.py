"""Time of a run on tiny data, against eleven empty stages with the same imports.

    .venv/bin/python -m benchmarks.tiny

Sixty images of 8 px in three classes and the preset ``quick`` go through ``hallmark run`` and ``dvc repro``, each in a
fresh clone. They alternate with a Prefect flow and a DVC pipeline of eleven chained stages that import the modules that
the real stages had imported at their end, and write one word. Printed are the seconds and their ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from tasks import STAGES

ROOT = Path(__file__).parents[1]

NAMES = [stage.name for stage in STAGES]

# the modules that a stage has imported when it is done, except ours and the interpreter's
RECORD = """
import atexit, json, runpy, sys
stage, target = sys.argv[1:3]
before = set(sys.modules)

def write():
    ours = {"hallmark", "tasks", "flows", "__main__", "__mp_main__"}
    found = [n for n, m in list(sys.modules.items()) if n not in before and getattr(m, "__spec__", None) is not None]
    found = [n for n in found if n.split(".")[0] not in ours | set(sys.stdlib_module_names)]
    json.dump(found, open(target, "w"))

atexit.register(write)
sys.argv = ["tasks", stage]
runpy.run_module("tasks", run_name="__main__")
"""

EMPTY = """
import importlib, json, sys
for name in json.load(open(sys.argv[1])):
    try:
        importlib.import_module(name)
    except ImportError:
        pass
open(sys.argv[2], "w").write("done")
"""

FLOW = """
import importlib, json, sys
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

def body(name):
    for module in json.load(open(f"{name}.json")):
        try:
            importlib.import_module(module)
        except ImportError:
            pass

@flow(name="empty", persist_result=False)
def empty():
    for name in sys.argv[1:]:
        task(name=name, cache_policy=NO_CACHE, persist_result=False)(body)(name)

empty()
"""


def images(folder: Path) -> None:
    """Three classes of twenty noisy patterns."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(("bars", "checks", "rings")):
        (folder / name).mkdir(parents=True)
        rows, columns = np.mgrid[:8, :8]
        pattern = (columns % 2, (rows + columns) % 2, (np.hypot(rows - 3.5, columns - 3.5) % 2) > 1)[number]
        for index in range(20):
            pixels = np.clip(pattern * 150 + 50 + rng.normal(0, 20, (8, 8)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")


def timed(command: list[str], cwd: Path, environment: dict[str, str]) -> float:
    started = time.perf_counter()
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):
        sys.exit(f"{' '.join(command)} exited {done.returncode}:\n{done.stdout}{done.stderr}")
    return time.perf_counter() - started


def clone(folder: Path, source: Path, environment: dict[str, str]) -> Path:
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
    configure = [sys.executable, "-m", "flows.cli", "configure", f"ingest.source={source}", "preset=quick"]
    subprocess.run(configure, cwd=folder, env=environment, check=True, capture_output=True)
    return folder


def empty_pipeline(folder: Path, modules: Path, environment: dict[str, str]) -> Path:
    folder.mkdir()
    (folder / "empty.py").write_text(EMPTY)
    lines = ["stages:"]
    for before, name in zip([None, *NAMES], NAMES, strict=False):
        dependency = f"    deps: [{before}]\n" if before else ""
        run = f"python empty.py {modules / f'{name}.json'} {name}"
        lines.append(f"  {name}:\n    cmd: {run}\n{dependency}    outs: [{name}]")
    (folder / "dvc.yaml").write_text("\n".join(lines) + "\n")
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=folder, env=environment, check=True)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    quiet = {"DO_NOT_TRACK": "1", "DVC_NO_ANALYTICS": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    quiet |= {"NO_ALBUMENTATIONS_UPDATE": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "OMP_WAIT_POLICY": "PASSIVE"}
    quiet |= {"PREFECT_SERVER_EPHEMERAL_ENABLED": "true", "PREFECT_LOGGING_LEVEL": "ERROR"}
    quiet |= {"PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120"}
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | quiet
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    seconds: dict[str, list[float]] = {name: [] for name in ("run", "flow", "repro", "pipeline")}
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch)
        environment["PREFECT_HOME"] = str(base / "prefect")
        images(base / "images")
        modules = clone(base / "modules", base / "images", environment)
        for name in NAMES:
            subprocess.run(
                [sys.executable, "-c", RECORD, name, str(modules / f"{name}.json")],
                cwd=modules,
                env=environment,
                check=name != "register",  # which may refuse so poor a model: that is a result
                capture_output=True,
            )
        (modules / "flow.py").write_text(FLOW)
        timed([sys.executable, "flow.py", *NAMES], modules, environment)  # makes Prefect's database
        for number in range(options.runs):
            made = clone(base / f"run{number}", base / "images", environment)
            seconds["run"].append(timed([sys.executable, "-m", "flows.cli", "run"], made, environment))
            seconds["flow"].append(timed([sys.executable, "flow.py", *NAMES], modules, environment))
            made = clone(base / f"repro{number}", base / "images", environment)
            repro = [sys.executable, "-m", "dvc", "repro", "report"]
            seconds["repro"].append(timed(repro, made, environment))
            made = empty_pipeline(base / f"empty{number}", modules, environment)
            seconds["pipeline"].append(timed([sys.executable, "-m", "dvc", "repro"], made, environment))
    median = {name: statistics.median(values) for name, values in seconds.items()}
    print(json.dumps({name: [round(value, 2) for value in values] for name, values in seconds.items()}))
    for ours, empty, words in (("run", "flow", "Prefect flow"), ("repro", "pipeline", "DVC pipeline")):
        ratio = median[ours] / median[empty]
        print(f"tiny data {median[ours]:.1f} s, {words} of empty stages {median[empty]:.1f} s, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
