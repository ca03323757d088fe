"""Overhead of the pipeline, as ratios against trivial pipelines measured in the same run.

    .venv/bin/python -m benchmarks.overhead

Prints four comparisons: a no-op ``dvc repro`` against one of eleven trivial stages; a no-op ``hallmark run`` against a
Prefect flow of eleven trivial tasks; with ``--full``, the whole flow minus its stages' times against that trivial flow;
``--help`` and a params error against the start of the interpreter. Run ``hallmark run`` first: the workspace must be up
to date.
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

ROOT = Path(__file__).parents[1]
STAGES = 11

TRIVIAL_FLOW = """
import time
start = time.perf_counter()
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

def body():
    return None

@flow(name="trivial", persist_result=False)
def trivial():
    for number in range(11):
        task(name=f"t{number}", cache_policy=NO_CACHE, persist_result=False)(body)()

trivial()
"""


def timed(
    command: list[str], cwd: Path, environment: dict[str, str], runs: int, codes: tuple[int, ...] = (0,)
) -> float:
    """Median wall seconds of a command."""
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
        seconds.append(time.perf_counter() - started)
        if done.returncode not in codes:
            sys.exit(f"{' '.join(command)} exited {done.returncode}:\n{done.stdout}{done.stderr}")
    return statistics.median(seconds)


def trivial_dvc(folder: Path, environment: dict[str, str]) -> None:
    """A repository of eleven chained stages that each copy a word."""
    lines = ["stages:"]
    for number in range(STAGES):
        dependency = f"    deps: [o{number - 1}]\n" if number else ""
        lines.append(f"  s{number}:\n    cmd: echo {number} > o{number}\n{dependency}    outs: [o{number}]")
    (folder / "dvc.yaml").write_text("\n".join(lines) + "\n")
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=folder, env=environment, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], cwd=folder, env=environment, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--full", action="store_true", help="also run the whole pipeline in a copy of this workspace")
    options = parser.parse_args()
    python = sys.executable
    quiet = {**os.environ, "DO_NOT_TRACK": "1", "DVC_NO_ANALYTICS": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    quiet["PATH"] = f"{Path(python).parent}{os.pathsep}{quiet['PATH']}"
    local = {**quiet, "PREFECT_HOME": str(ROOT / ".hallmark" / "prefect"), "PREFECT_SERVER_EPHEMERAL_ENABLED": "true"}
    local |= {"PREFECT_LOGGING_LEVEL": "ERROR", "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120"}
    rows: list[tuple[str, float, str, float]] = []
    with tempfile.TemporaryDirectory() as scratch:
        trivial_dvc(Path(scratch), quiet)
        bare = timed([python, "-m", "dvc", "repro"], Path(scratch), quiet, options.runs)
    rows.append(
        (
            "no-op dvc repro",
            timed([python, "-m", "dvc", "repro"], ROOT, quiet, options.runs),
            "eleven trivial stages",
            bare,
        )
    )
    flow = timed([python, "-c", TRIVIAL_FLOW], ROOT, local, options.runs)
    run = timed([python, "-m", "flows.cli", "run"], ROOT, quiet, options.runs, codes=(0, 3))
    rows.append(("no-op hallmark run", run, "Prefect flow of eleven trivial tasks, ephemeral server", flow))
    start = timed([python, "-c", "pass"], ROOT, quiet, options.runs)
    help_time = timed([python, "-m", "flows.cli", "--help"], ROOT, quiet, options.runs)
    rows.append(("hallmark --help", help_time, "python -c pass", start))
    wrong = timed([python, "-m", "flows.cli", "run", "train.no_such_key=1"], ROOT, quiet, options.runs, codes=(2,))
    rows.append(("params error", wrong, "python -c pass", start))
    print(f"{'measured':<20} {'s':>7}   {'against':<55} {'s':>7}   {'ratio':>6}")
    for name, seconds, against, base in rows:
        print(f"{name:<20} {seconds:7.2f}   {against:<55} {base:7.2f}   {seconds / base:6.2f}")
    if options.full:
        print(full_flow(quiet, local))


def full_flow(environment: dict[str, str], local: dict[str, str]) -> str:
    """The whole flow in a fresh clone: wall time minus stage times, against the trivial flow on a fresh home too."""
    with tempfile.TemporaryDirectory() as scratch:
        fresh = {**local, "PREFECT_HOME": str(Path(scratch) / "prefect")}
        trivial = timed([sys.executable, "-c", TRIVIAL_FLOW], ROOT, fresh, 1)
        copy = Path(scratch) / "clone"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(copy)], check=True)
        # a DVC stage writes the built-in data: not an overhead of the flow
        subprocess.run([sys.executable, "-m", "dvc", "repro", "-q", "demo"], cwd=copy, env=environment, check=True)
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "flows.cli", "run"], cwd=copy, env=environment, check=True)
        wall = time.perf_counter() - started
        clock = json.loads((copy / "reports" / "run.json").read_text())
    stages = sum(entry["seconds"] for entry in clock.values())
    beside = f"beside them {wall - stages:.1f} s; trivial flow on a fresh home {trivial:.1f} s"
    return f"full flow {wall:.1f} s, stages {stages:.1f} s, {beside}"


if __name__ == "__main__":
    main()
