"""Gain of tuning, and its cost beside the trainings.

    .venv/bin/python -m benchmarks.tuning --data /path/to/fashion_mnist --folder /new/folder [--images 10000]

On the first images of Fashion-MNIST (its official IDX files), of which the pipeline sets some apart for validation,
with its 10 000 test images as the test set:

1. *Cost*: ``hallmark tune`` against Optuna on a bare loop that calls the same training, with the same sampler and seed,
   hence the same values; the two alternate, with ``--cost-epochs`` epochs a trial. The loop trains one after the other
   on all cores; with ``--jobs 2`` tune trains two at a time, on one core each. Printed are two ratios: of the seconds
   from the end of the first trial to the end of the last (the cost of a trial; with one job only), and of the two whole
   commands, including start, imports, Prefect's server and MLflow's database, which do not grow with the trials.
2. *Gain*: default params against tuned ones (``--trials`` trials of conf/search/default.yaml, median pruning), each
   trained over ``--seeds`` seeds and judged on the test set, which tuning did not see; ``--epochs`` on both sides.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import shutil
import sqlite3
import statistics
import time
from datetime import datetime
from pathlib import Path

from benchmarks.workspaces import BEFORE_TRAIN, call, workspace

BARE = """
import json, sys, tempfile
from functools import partial
from pathlib import Path
import optuna
from hallmark.contracts import runtime
from hallmark.contracts.seeds import derive
from hallmark.experiments import space
from hallmark.experiments.samplers import sampler, suggest
from hallmark.learning import checkpoints, devices, model_setup, training, training_data
from hallmark.learning.recipe import resolve
from hallmark.models import weights
from hallmark.pipeline.configuration import params_with
from hallmark.pipeline.params import read
from hallmark.tracking import backbones
from tasks import STAGES

runtime.prepare()
document = read(Path("params.yaml"))
searched = space.read(space.find("default", Path("conf")), sections=("train", "model"), check=lambda _: None)
data = Path("data")
folders = {name: data / name for name in ("ingest", "split", "clean", "balance", "synthesize")}

class Silent:
    def metrics(self, values, step): pass
    def image(self, name, pixels, step): pass

def objective(trial):
    values = {each.key: suggest(trial, each) for each in searched.dimensions}
    params = params_with(STAGES, document, values, package="tasks")["train"]
    made = training_data.read(**folders, synthetic_weight=params.synthetic_weight)
    policy = json.loads((data / "augment" / "policy.json").read_text())
    cache = runtime.state() / "cache" / "pixels"
    find = partial(backbones.named, scratch=Path("data"), param="model.backbone")
    start = model_setup.prepare(params.model, made, recipe=params, seed=params.seed, cache=cache, find=find)
    resolved = resolve(params, images=made.images_per_epoch, network=start.description["name"], weights=start.weights)
    machine = devices.machine(params.precision, start.network, (resolved.batch_size, *start.shape))
    with tempfile.TemporaryDirectory() as folder:
        plan = training.plan(
            made, start, transforms=policy["transforms"], recipe=params, resolved=resolved, seed=params.seed,
            machine=machine,
        )  # fmt: skip
        validation = training.validation(made, start, params.objective)
        kept = checkpoints.Checkpoints(Path(folder), "k")
        fitted = training.train(start, plan, validation=validation, checkpoints=kept, log=Silent())
        weights.save_model(Path(folder), start.description, fitted.state)
    return fitted.best["objective"]

if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=sampler("random", derive(0, "tune", 0) % 2**32))
    study.optimize(objective, n_trials=int(sys.argv[1]))
    ends = [trial.datetime_complete for trial in study.trials]
    print(json.dumps({"seconds": (ends[-1] - ends[0]).total_seconds(), "values": [t.value for t in study.trials]}))
"""


def cost(folder: Path, trials: int, epochs: str, rounds: int, jobs: int) -> None:
    """Prints the ratio of ``hallmark tune`` to the bare loop, round by round."""
    call(folder, "-m", "flows.cli", "configure", f"train.max_epochs={epochs}")
    # the inputs of train, and the cache of decoded images, for both
    call(folder, "-m", "flows.cli", "tune", "--trials", "1", "--study", "warm", "--sampler", "random", "--no-baseline")
    trials_alone, whole = [], []
    for number in range(rounds):
        shutil.rmtree(folder / ".hallmark" / "experiments")
        (folder / ".hallmark" / "optuna.db").unlink()
        started, spent = time.perf_counter(), [_processor_seconds()]
        bare = json.loads(call(folder, "-c", BARE, str(trials)).splitlines()[-1])
        between = time.perf_counter()
        spent.append(_processor_seconds())
        asked = ["--trials", str(trials), "--jobs", str(jobs), "--sampler", "random", "--no-baseline"]
        said = call(folder, "-m", "flows.cli", "tune", *asked)
        commands = (time.perf_counter() - between, between - started)
        spent.append(_processor_seconds())
        ours, idle = _between_ends(folder)
        trials_alone.append(ours / bare["seconds"])
        whole.append(commands[0] / commands[1])
        print(f"round {number + 1}, {trials} trials: bare values {[round(value, 4) for value in bare['values']]}")
        if jobs == 1:
            print(
                f"  after the first: bare {bare['seconds']:.1f} s, hallmark tune {ours:.1f} s ({idle:.2f} s of it "
                f"between trials), ratio {trials_alone[-1]:.3f}"
            )
        print(
            f"  whole command: bare {commands[1]:.1f} s, hallmark tune {commands[0]:.1f} s, ratio {whole[-1]:.3f}; "
            f"CPU seconds {spent[1] - spent[0]:.1f}, {spent[2] - spent[1]:.1f}"
        )
        print("\n".join(line for line in said.splitlines() if re.match(r"[* ] +\d+/", line)), flush=True)
    alone = f"a trial {statistics.median(trials_alone):.3f}, " if jobs == 1 else ""
    print(
        f"cost over {rounds} rounds of {trials} trials, {jobs} at a time, medians: {alone}"
        f"the whole command {statistics.median(whole):.3f} of the bare loop"
    )


def _processor_seconds() -> float:
    """CPU seconds of all processes that were waited for, and of theirs."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def _between_ends(folder: Path) -> tuple[float, float]:
    """Seconds from the end of a study's first trial to the end of its last, and the part in which none ran."""
    with sqlite3.connect(folder / ".hallmark" / "optuna.db") as connection:
        rows = connection.execute("SELECT datetime_start, datetime_complete FROM trials ORDER BY number").fetchall()
    begins, ends = ([datetime.fromisoformat(each) for each in column] for column in zip(*rows, strict=True))
    idle = sum((begin - end).total_seconds() for begin, end in zip(begins[1:], ends[:-1], strict=True))
    return (ends[-1] - ends[0]).total_seconds(), idle


def gain(folder: Path, trials: int, seeds: int, jobs: int, epochs: str) -> None:
    """Prints test figures with default and with tuned params."""
    from hallmark.judgement import paired

    call(folder, "-m", "flows.cli", "configure", f"train.max_epochs={epochs}")
    if not (folder / "data" / BEFORE_TRAIN[-1]).exists():  # the measurement of the cost has run them
        for stage in BEFORE_TRAIN:
            call(folder, "-m", "tasks", stage)
    kept = (folder / "params.yaml").read_text()

    def tested() -> list[float]:
        values = []
        for seed in range(seeds):
            _trained(folder, seed)
            values.append(json.loads((folder / "reports" / "evaluate.json").read_text())["accuracy"]["value"])
        return values

    before = tested()
    (folder / "params.yaml").write_text(kept)
    print(
        call(
            folder,
            "-m",
            "flows.cli",
            "tune",
            "--trials",
            str(trials),
            "--pruner",
            "median",
            "--jobs",
            str(jobs),
            "--apply",
        )
    )
    after = tested()
    gained = paired.interval(paired.differences(after, before))
    print(f"test accuracy, default: {before}; tuned: {after}; gain {gained['value']}, 95 % interval {gained['ci95']}")


def _trained(folder: Path, seed: int) -> None:
    """Trains and judges with another seed of train alone, on the same split."""
    program = (
        "import dataclasses; from pathlib import Path; import tasks.train, tasks.evaluate\n"
        "from tasks import STAGES; from hallmark.pipeline.configuration import stage_params\n"
        "from hallmark.pipeline.execution import execute\n"
        "if __name__ == '__main__':\n"
        "    params = stage_params(STAGES, Path(), package='tasks'); by = {s.name: s for s in STAGES}\n"
        f"    execute(by['train'], tasks.train, dataclasses.replace(params['train'], seed={seed}), Path.cwd())\n"
        "    execute(by['evaluate'], tasks.evaluate, params['evaluate'], Path.cwd())\n"
    )
    call(folder, "-c", program)


def main() -> None:
    """Runs the chosen measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="a new folder for the workspace")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--cost-trials", type=int, default=4)
    parser.add_argument("--cost-epochs", default="3")
    parser.add_argument("--epochs", default="auto")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", choices=("cost", "gain"))
    options = parser.parse_args()
    if not options.folder.exists():
        workspace(options.folder, options.data, options.images)
    if options.only != "gain":
        cost(options.folder, options.cost_trials, options.cost_epochs, options.rounds, options.jobs)
    if options.only != "cost":
        gain(options.folder, options.trials, options.seeds, options.jobs, options.epochs)


if __name__ == "__main__":
    main()
