"""Gain of each pipeline step on long-tailed data, measured through the pipeline's own stages.

    .venv/bin/python -m benchmarks.interventions --data /path/to/data [--sets fashion_mnist sign_digits] [--seeds 5]

``--data`` holds ``fashion_mnist/`` (its IDX files) and ``sign_digits.zip``. Per data set and seed a long-tailed set is
drawn (:mod:`benchmarks.long_tailed`), on which each arm runs every stage from clean to train, in a separate folder:

``bare``        nothing but a network and an optimiser: no clean, balance, augment, synthesize; Adam at 0.001, constant
``recipe``      bare, with the section train of params.yaml
``clean`` …     bare, with that one step as in params.yaml
``default``     params.yaml unchanged
``no_clean`` …  params.yaml without that one step; only if ``--arms`` names it

All arms of a seed share the draw, the split, the seed, the network and the number of epochs; the weights of the best
epoch by the objective on validation images are judged on test images, equally many per class. Seeds differ in the draw
too, so that the paired intervals (Student's t) cover other draws of these sets. ``tail`` is the mean recall of the
three rarest classes. Finished results are kept in ``--folder`` and not repeated.

``--peer fastai=PEER/bin/python`` (or autogluon, ludwig) adds a peer with its own environment (set up as
benchmarks/training_peers.py says). It gets the same training, validation and test images as files, and for its training
alone, without imports, as many seconds as all of ``default``'s stages took, but at least ``LEAST``.

The default sizes take about a quarter of an hour on two busy cores; for larger ones use ``--head 1000 --epochs auto``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[1]

STEPS: dict[str, dict[str, Any]] = {  # the values that leave each out
    "clean": {"clean.duplicates": "flag", "clean.outliers": "off", "clean.label_issues": "off"},
    "balance": {"balance.strategy": "none"},
    "augment": {"augment.policy": "none"},
    "synthesize": {"synthesize.target": "off"},
    "recipe": {
        "train.optimizer": "adam",
        "train.lr": 0.001,
        "train.schedule": "constant",
        "train.warmup": 0.0,
        "train.weight_decay": 0.0,
        "train.label_smoothing": 0.0,
        "train.ema": 0.0,
        "train.clip_norm": 0.0,
    },
}
BARE, DEFAULT = "bare", "default"


def without(*kept: str) -> dict[str, Any]:
    """Params that switch off every step except those."""
    return {key: value for name, values in STEPS.items() if name not in kept for key, value in values.items()}


ARMS: dict[str, dict[str, Any]] = {
    BARE: without(),
    "recipe": without("recipe"),
    "clean": without("clean"),
    "balance": without("balance"),
    "augment": without("augment"),
    "synthesize": without("synthesize"),
    DEFAULT: {},
    **{f"no_{name}": values for name, values in STEPS.items()},
}
MEASURED = (BARE, "recipe", "clean", "balance", "augment", "synthesize", DEFAULT)
LEAST = 60.0  # seconds of a peer's training, below which a peer may reach only a few epochs
MADE = ("stages", "trained", "cache", "source", "peers")
FIRST = ("ingest", "validate", "split")
THEN = ("clean", "balance", "augment", "synthesize")


@dataclass(frozen=True, kw_only=True)
class Task:
    """One draw of one data set; ``values`` are changes to params.yaml that all arms share."""

    name: str
    seed: int
    data: Path
    place: Path
    ratio: float
    head: int
    tested: int
    epochs: int | str
    arms: tuple[str, ...]
    values: Mapping[str, Any]
    peers: Mapping[str, str]


def measured(task: Task) -> dict[str, Any]:
    """Balanced accuracy, tail recall and what the stages decided, by arm."""
    from benchmarks import long_tailed
    from hallmark.contracts import durable, runtime
    from hallmark.experiments import trial
    from hallmark.pipeline.params import read

    runtime.prepare()
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{task.place.parent / f'mlflow-{task.name}-{task.seed}.db'}"
    result = task.place / "result.json"
    found: dict[str, Any] = json.loads(result.read_text()) if result.exists() else {"arms": {}}
    if {*task.arms, *task.peers} <= set(found["arms"]):
        return found
    source = task.place / "source"
    for name in MADE:
        durable.remove(task.place / name)  # what a run that was stopped left
    task.place.mkdir(parents=True, exist_ok=True)
    drawn = long_tailed.draw(
        task.name, task.data, source, seed=task.seed, ratio=task.ratio, head=task.head, tested=task.tested
    )
    found |= {"counts": drawn.counts, "tail": drawn.tail}
    document = read(ROOT / "params.yaml")
    shared = {"seed": task.seed, "ingest.source": str(source), "train.max_epochs": task.epochs, **task.values}
    done: dict[str, Path] = {}
    for arm in task.arms:
        if arm in found["arms"]:
            continue
        params = _params(document, {**shared, **ARMS[arm]})
        place, facts = _staged(task.place, params, done)
        train = _stage("train")
        job = trial.Job(
            stage=train,
            package="tasks",
            params=params["train"],
            data=place,
            folder=task.place / "trained" / arm,
            cache=task.place / "cache",
            judged=_tested(place),
        )
        outcome = trial.run(job)
        tail = [outcome.recall[label] for label in drawn.tail]
        found["arms"][arm] = {
            "balanced_accuracy": outcome.metrics["balanced_accuracy"],
            "tail": statistics.fmean(value for value in tail if value is not None),
            "recall": outcome.recall,
            "n_judged": outcome.n_judged,
            "epochs": outcome.epochs,
            "train_seconds": outcome.seconds,
            "stage_seconds": sum(each["seconds"] for each in facts.values()),
            "stages": facts,
        }
        durable.write_text(result, json.dumps(found, indent=2) + "\n")
    place = _staged(task.place, _params(document, shared), done)[0] if task.peers else source
    for name, python in task.peers.items():
        if name not in found["arms"]:
            found["arms"][name] = _peer(task, name, python, place, source, found)
            durable.write_text(result, json.dumps(found, indent=2) + "\n")
    for name in MADE:
        durable.remove(task.place / name)
    return found


def _peer(task: Task, name: str, python: str, place: Path, source: Path, found: Mapping[str, Any]) -> dict[str, Any]:
    """A peer's balanced accuracy and tail recall on the test images of the stages' folder ``place``."""
    from sklearn.metrics import recall_score

    from hallmark.contracts.tables import SPLIT, read_table

    table = read_table(place / "data" / "split" / "split.parquet", SPLIT)
    parts = {
        wanted: [
            (str(source / path), str(label))
            for path, label, split in zip(table["path"], table["label"], table["split"], strict=True)
            if split == part
        ]
        for wanted, part in (("train", "train"), ("valid", "val"), ("test", "test"))
    }
    ours = found["arms"][DEFAULT]
    with Image.open(parts["train"][0][0]) as image:
        side = image.width
    work = task.place / "peers" / name
    work.mkdir(parents=True)
    seconds = max(LEAST, ours["train_seconds"] + ours["stage_seconds"])
    given = {**parts, "side": side, "seconds": seconds, "whole": False, "out": str(work / "out.json")}
    (work / "given.json").write_text(json.dumps(given))
    script = str(ROOT / "benchmarks" / "training_peers.py")
    done = subprocess.run(
        [python, script, name, str(work / "given.json")], cwd=work, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{name}, {task.name}, seed {task.seed}: {done.stderr[-2000:]}")
    out = json.loads((work / "out.json").read_text())
    answers = [label for _, label in parts["test"]]
    classes = sorted(set(answers))
    recalls = recall_score(answers, out["predicted"], labels=classes, average=None)
    recall = dict(zip(classes, map(float, recalls), strict=True))
    return {
        "balanced_accuracy": statistics.fmean(recall.values()),
        "tail": statistics.fmean(recall[label] for label in found["tail"]),
        "recall": recall,
        "train_seconds": out["seconds"],
        "stage_seconds": 0.0,
    }


def _params(document: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    from hallmark.pipeline.configuration import params_with
    from tasks import STAGES

    return params_with(STAGES, document, values, package="tasks")


def _stage(name: str) -> Any:
    from tasks import STAGES

    return next(stage for stage in STAGES if stage.name == name)


def _staged(root: Path, params: Mapping[str, Any], done: dict[str, Path]) -> tuple[Path, dict[str, Any]]:
    """A folder with the outputs of all stages before train under these params, and a summary of each step.

    A stage with the same params and predecessors as in another arm runs once; ``done`` has its folder.
    """
    from hallmark.experiments.trial import working_in
    from hallmark.pipeline.execution import execute

    outputs: dict[str, Path] = {}
    facts: dict[str, Any] = {}
    key, place = "", root
    for name in (*FIRST, *THEN):
        stage = _stage(name)
        key += f"{params[name]!r}\n"
        if key not in done:
            place = root / "stages" / f"{len(done):02d}-{name}"
            (place / "data").mkdir(parents=True)
            (place / ".hallmark").mkdir()
            (root / "cache").mkdir(exist_ok=True)
            (place / ".hallmark" / "cache").symlink_to(root / "cache")
            for file in ("conf", "data/review.csv", "data/accepted.json"):
                (place / file).symlink_to(ROOT / file)
            for before, folder in outputs.items():
                (place / "data" / before).symlink_to(folder)
            with working_in(place):
                execute(stage, importlib.import_module(f"tasks.{name}"), params[name], place)
            done[key] = place
        place = done[key]
        outputs[name] = place / "data" / name
        if name in THEN:
            report = json.loads((place / "reports" / f"{name}.json").read_text())
            seconds = json.loads((place / "reports" / "run.json").read_text())[name]["seconds"]
            facts[name] = {"seconds": seconds, **_told(name, report)}
    return place, facts


def _told(name: str, report: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a stage's report that the tables and result.json need."""
    kept = {
        "clean": ("removed_from_train", "train_images"),
        "balance": ("strategy", "imbalance_before"),
        "augment": ("outcomes",),
        "synthesize": ("decision", "verdict", "refused_by", "wanted", "made", "kept"),
    }
    return {each: report[each] for each in kept[name]}


def _tested(place: Path) -> tuple[str, ...]:
    from hallmark.contracts.tables import SPLIT, read_table

    table = read_table(place / "data" / "split" / "split.parquet", SPLIT)
    return tuple(table.loc[table["split"] == "test", "path"].astype(str))


def table(found: Sequence[Mapping[str, Any]], arms: Sequence[str]) -> str:
    """A Markdown table: each arm's mean, and its paired difference from ``bare``, in points with 95 % intervals."""
    from hallmark.judgement import paired

    lines = [
        "| arm | balanced accuracy | against bare | tail recall | against bare | s |",
        "|---|---|---|---|---|---|",
    ]
    for arm in arms:
        cells = [arm]
        for figure in ("balanced_accuracy", "tail"):
            values = [each["arms"][arm][figure] for each in found]
            base = [each["arms"][BARE][figure] for each in found]
            cells.append(f"{100 * statistics.fmean(values):.1f} %")
            cells.append("" if arm == BARE else _points(paired.interval(paired.differences(values, base))))
        seconds = [each["arms"][arm]["train_seconds"] + each["arms"][arm]["stage_seconds"] for each in found]
        cells.append(f"{statistics.median(seconds):.0f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _points(estimate: Mapping[str, Any]) -> str:
    low, high = estimate["ci95"]
    if low is None:
        return f"{100 * estimate['value']:+.1f}" if estimate["value"] is not None else "one seed gives no interval"
    return f"{100 * estimate['value']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def said(found: Sequence[Mapping[str, Any]], arm: str) -> str:
    """The stages' decisions in an arm, by seed."""
    lines = []
    for number, each in enumerate(found):
        stages = each["arms"][arm]["stages"]
        made = stages["synthesize"]
        what = made["decision"] + (f" by {made['refused_by']}" if made["refused_by"] else "")
        removed = ", ".join(f"{name} {count}" for name, count in stages["clean"]["removed_from_train"].items() if count)
        lines.append(
            f"  {arm}, draw {number}: clean removed {removed or 'nothing'}; balance {stages['balance']['strategy']}; "
            f"augment {stages['augment']['outcomes']}; synthesize {what}, {made['kept']} of {made['wanted']} wanted"
        )
    return "\n".join(lines)


def main() -> None:
    """Measures, and prints the tables."""
    from benchmarks import long_tailed
    from hallmark.judgement import paired

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folder", type=Path, help="folder for the results; a new temporary folder by default")
    parser.add_argument("--sets", nargs="+", choices=long_tailed.SETS, default=list(long_tailed.SETS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--ratio", type=float, default=50.0)
    parser.add_argument("--head", type=int, help="images of the commonest class, those for validation among them")
    parser.add_argument("--tested", type=int, help="test images of each class")
    parser.add_argument(
        "--epochs",
        default=15,
        help="epochs of all arms, or auto",
        type=lambda text: text if text == "auto" else int(text),
    )
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=MEASURED)
    parser.add_argument("--jobs", type=int, default=2, help="draws at a time, each on its share of the cores")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="changes params.yaml for all arms"
    )
    parser.add_argument(
        "--peer", action="append", default=[], metavar="NAME=PYTHON", help="adds a peer, and the arm default"
    )
    options = parser.parse_args()
    peers = dict(each.split("=", 1) for each in options.peer)
    arms = tuple(dict.fromkeys((BARE, *options.arms, *((DEFAULT,) if peers else ()))))
    values = {key: json.loads(value) for key, _, value in (each.partition("=") for each in options.set)}
    folder = (options.folder or Path(tempfile.mkdtemp(prefix="interventions-"))).resolve()
    started = time.perf_counter()
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; results in {folder}")
    tasks = [
        Task(
            name=name,
            seed=seed,
            data=options.data.resolve(),
            place=folder / f"{name}-{seed}",
            ratio=options.ratio,
            head=options.head or long_tailed.HEADS[name],
            tested=options.tested or long_tailed.TESTED[name],
            epochs=options.epochs,
            arms=arms,
            values=values,
            peers=peers,
        )
        for name in options.sets
        for seed in range(options.first_seed, options.first_seed + options.seeds)
    ]
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // options.jobs)))
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in options.sets}
    with ProcessPoolExecutor(options.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        for task, result in zip(tasks, pool.map(measured, tasks), strict=True):
            found[task.name].append(result)
            print(
                f"  {task.name} seed {task.seed}: "
                + ", ".join(f"{arm} {result['arms'][arm]['balanced_accuracy']:.3f}" for arm in (*arms, *peers)),
                flush=True,
            )
    for name, results in found.items():
        counts = " ".join(str(count) for count in results[0]["counts"].values())
        print(f"\n{name}, {len(results)} seeds, training and validation images by class: {counts}\n")
        print(table(results, (*arms, *peers)))
        for peer in peers:
            for figure in ("balanced_accuracy", "tail"):
                ours, theirs = ([each["arms"][arm][figure] for each in results] for arm in (DEFAULT, peer))
                gain = _points(paired.interval(paired.differences(ours, theirs)))
                print(f"  {DEFAULT} against {peer}, {figure}: {gain}")
        print(said(results, DEFAULT if DEFAULT in arms else arms[-1]))
    print(f"\n{time.perf_counter() - started:.0f} s, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
