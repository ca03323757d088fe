"""Detection quality, time and memory of Hallmark, CleanVision and cleanlab Datalab on the same faulted files.

    .venv/bin/python -m benchmarks.data_quality --data FOLDER_OR_ZIP --truth CSV

Hallmark runs ingest, validate, split and clean with the params of this workspace. The peers run with default settings
in their own environment (``--peers``, created with uv if missing) on the files that they can read: those that Pillow
reads and, for CleanVision, without grey + alpha. Datalab has no encoder: it gets Hallmark's features and out-of-fold
probabilities of the same images. ``benchmarks/faults.py`` creates such data with its truth.

A file planted with another fault that changes the picture counts neither for nor against (see scoring.py). Seconds and
peak memory (proportional set size of all processes, sampled) are of one run each.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

from benchmarks import ingest, scoring

ROOT = Path(__file__).parents[1]

PEERS = ("cleanvision==0.3.7", "cleanlab[datalab]==2.9.0")
STAGES = ("ingest", "validate", "split", "clean")
#: Row of the table: our reason, CleanVision's issue.
LOOKS = {
    "blank": ("blank", "low_information"),
    "dark": ("too_dark", "dark"),
    "light": ("too_bright", "light"),
    "blur": ("blurry", "blurry"),
    "noise": ("noisy", ""),
}
CANNOT_READ = {"empty_file", "not_an_image", "truncated", "corrupt", "unsupported_format"}


@dataclass(frozen=True)
class Cost:
    seconds: float
    peak_mib: float


def measured(command: list[str], cwd: Path) -> Cost:
    """Runs a command to its end; peak memory includes all its children, sampled 10 times a second."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    started = time.perf_counter()
    with (cwd / "log.txt").open("ab") as log:
        process = subprocess.Popen(command, cwd=cwd, stdout=log, stderr=subprocess.STDOUT, env=environment)
        peak = [0]
        watcher = threading.Thread(target=_watch, args=(process, peak))
        watcher.start()
        code = process.wait()
        watcher.join()
    if code:
        sys.exit(f"{' '.join(command)} exited {code}:\n{(cwd / 'log.txt').read_text()[-4000:]}")
    return Cost(time.perf_counter() - started, peak[0] / 2**20)


def _watch(process: subprocess.Popen[bytes], peak: list[int]) -> None:
    while process.poll() is None:
        total = 0
        try:
            root = psutil.Process(process.pid)
            for each in (root, *root.children(recursive=True)):
                total += each.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            pass  # it ended while it was looked at
        peak[0] = max(peak[0], total)
        time.sleep(0.1)


def run_hallmark(source: Path, workspace: Path) -> Cost:
    """The four stages in a separate workspace, as ``dvc repro`` runs them."""
    ingest.workspace(workspace, source)
    costs = [measured([sys.executable, "-m", "tasks", stage], workspace) for stage in STAGES]
    return Cost(sum(cost.seconds for cost in costs), max(cost.peak_mib for cost in costs))


def hallmark_findings(workspace: Path) -> dict[str, Any]:
    ledger = pd.read_csv(workspace / "reports" / "ledger.csv", keep_default_na=False)
    reasons = [set(text.split(";")) for text in ledger["reasons"]]
    split = pd.read_parquet(workspace / "data" / "split" / "split.parquet")
    pixels = pd.read_parquet(workspace / "data" / "validate" / "measurements.parquet")[["path", "pixel_hash"]]
    split = split.merge(pixels, on="path")
    decisions = pd.read_parquet(workspace / "data" / "clean" / "decisions.parquet")

    def carrying(wanted: set[str]) -> set[str]:
        return {path for path, found in zip(ledger["path"], reasons, strict=True) if found & wanted}

    quarantined = set(ledger.loc[ledger["fate"] == "quarantined", "path"])
    return {
        "unreadable": carrying(CANNOT_READ) & quarantined,
        "bomb": carrying({"decompression_bomb"}) & quarantined,
        "quarantined": quarantined,
        **{row: carrying({reason}) for row, (reason, _) in LOOKS.items()},
        "label flips": carrying({"label_issue"}),
        "exact": [list(rows) for _, rows in split.groupby(["cluster", "pixel_hash"])["path"] if len(rows) > 1],
        "near": [list(rows) for _, rows in split.groupby("cluster")["path"] if len(rows) > 1],
        "outlier": dict(zip(decisions["path"], decisions["outlier_score"].fillna(float("-inf")), strict=True)),
    }


def given_to_datalab(workspace: Path, out: Path) -> list[str]:
    """Features and out-of-fold probabilities of every decodable, labelled image, from our own encoder; their paths."""
    import numpy as np

    from hallmark.pipeline.params import read
    from hallmark.quality import embedding, labels, thumbnails
    from hallmark.splitting.units import positions
    from hallmark.statistics.components import Components

    params = read(workspace / "params.yaml").values
    manifest = pd.read_parquet(workspace / "data" / "ingest" / "manifest.parquet")
    pixels = pd.read_parquet(workspace / "data" / "validate" / "measurements.parquet")[["path", "width", "pixel_hash"]]
    # Datalab cannot use a class that Hallmark leaves out for its size
    classes = set(pd.read_parquet(workspace / "data" / "split" / "split.parquet")["label"])
    images = manifest.merge(pixels, on="path")
    images = images[(images["width"] > 0) & images["label"].isin(classes)]
    names, label = np.unique(images["label"].to_numpy(object), return_inverse=True)
    small = thumbnails.load(
        workspace / "data" / "ingest", images[["shard", "row"]].to_numpy(np.int64), side=embedding.SIDE, workers=2
    )
    colours, gradients = embedding.colours(small), embedding.gradients(small)
    looks = Components.fit(colours).of(colours)
    both = embedding.join(Components.fit(gradients).of(gradients), looks)
    unit, _ = pd.factorize(images["pixel_hash"])
    order = positions(images["pixel_hash"], seed=params["seed"])
    _, probabilities = labels.fit(both, label, labels.folds(unit, label, order, params["clean"]["folds"]), len(names))
    np.savez(out, label=label, probabilities=probabilities, both=both, looks=looks)
    return [str(path) for path in images["path"]]


def readable(folder: Path, files: list[str]) -> list[str]:
    """Files for CleanVision: Pillow reads them, and they are not grey + alpha, on which it crashes."""
    import warnings

    from PIL import Image

    taken = []
    for file in files:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                with Image.open(folder / file) as image:
                    image.load()
                    if image.mode != "LA":
                        taken.append(file)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning):
            continue
    return taken


def environment_of_peers(folder: Path) -> Path:
    """The Python of the peers' environment, created if missing."""
    python = folder / "bin" / "python"
    if not python.exists():
        uv = str(Path(sys.executable).with_name("uv"))
        links = {"UV_FIND_LINKS": os.environ.get("UV_FIND_LINKS", os.environ.get("PIP_FIND_LINKS", ""))}
        environment = {**os.environ, **{name: value for name, value in links.items() if value}}
        subprocess.run([uv, "venv", "--quiet", str(folder)], check=True, env=environment)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), *PEERS], check=True, env=environment)
    return python


def table(truth: pd.DataFrame, ours: dict[str, Any], vision: dict[str, Any], lab: dict[str, Any]) -> list[list[str]]:
    """Rows of the table: fault, number planted, one cell per tool."""

    def cell(score: scoring.Score | None) -> str:
        return "—" if score is None else f"{score.precision:.3f} {score.recall:.3f} {score.f1:.3f}"

    def row(name: str, *scores: scoring.Score | None) -> list[str]:
        known = next(score for score in scores if score)
        return [name, str(known.wanted), *(cell(score) for score in scores)]

    strange = (*scoring.SOUND, *LOOKS, *scoring.BY_LIMITS, "ood")
    rows = [
        row("unreadable", scoring.of_files(truth, ours["unreadable"], scoring.UNREADABLE, strange), None, None),
        row("bomb", scoring.of_files(truth, ours["bomb"], ("bomb",), strange), None, None),
        row(
            "exact duplicates",
            scoring.of_pairs(truth, ours["exact"], exact=True),
            scoring.of_pairs(truth, vision["exact"], exact=True),
            None,
        ),
        row(
            "near duplicates",
            *(scoring.of_pairs(truth, findings["near"], exact=False) for findings in (ours, vision, lab)),
        ),
    ]
    for name, (_, issue) in LOOKS.items():
        if (truth["faults"] == name).any():
            theirs = scoring.of_files(truth, vision[name], (name,)) if issue else None
            rows.append(row(name, scoring.of_files(truth, ours[name], (name,)), theirs, None))
    labelled = tuple(fault for fault in (*scoring.SOUND, "dark", "light", "blur", "noise") if fault != "conflict_dup")
    rows.append(
        row(
            "label flips",
            *(
                None
                if findings is None
                else scoring.of_files(truth, findings["label flips"], ("label_flip",), labelled)
                for findings in (ours, None, lab)
            ),
        )
    )
    other = scoring.of_files(truth, lab["find_label_issues"], ("label_flip",), labelled)
    rows.append(["label flips, cleanlab's find_label_issues", "", "", "", cell(other)])
    precisions = [scoring.average_precision(truth, findings["outlier"], "ood") for findings in (ours, lab)]
    better = max(precisions[1], scoring.average_precision(truth, lab["outlier_of_pixels"], "ood"))
    count = str(int((truth["faults"] == "ood").sum()))
    rows.append(["out of distribution (average precision)", count, f"{precisions[0]:.3f}", "—", f"{better:.3f}"])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--peers", type=Path, default=ROOT / ".hallmark" / "peers", help="the peers' environment")
    parser.add_argument("--keep", type=Path, help="folder for the workspace and findings, kept afterwards")
    options = parser.parse_args()
    truth = pd.read_csv(options.truth, dtype=str, keep_default_na=False)
    python = environment_of_peers(options.peers.absolute())
    with tempfile.TemporaryDirectory() as scratch:
        place = options.keep or Path(scratch)
        workspace, beside = place / "workspace", place / "peers"
        beside.mkdir(parents=True)
        costs = {"Hallmark": run_hallmark(options.data.absolute(), workspace)}
        ours = hallmark_findings(workspace)
        paths = set(pd.read_csv(workspace / "reports" / "ledger.csv", keep_default_na=False)["path"])
        missing = set(truth.loc[truth["faults"] != "empty_class", "file"]) - paths
        print(f"{len(truth)} rows of truth, {len(paths)} rows of the ledger, {len(missing)} in the truth alone")

        folder = options.data
        if options.data.suffix == ".zip":
            folder = Path(scratch) / "files"
            with zipfile.ZipFile(options.data) as archive:
                archive.extractall(folder)
        files = readable(folder, sorted(set(truth.loc[truth["faults"] != "stray_file", "file"]) & paths))
        (beside / "files.json").write_text(json.dumps([str((folder / file).absolute()) for file in files]))
        script = str(Path(__file__).with_name("peers.py"))
        costs["CleanVision"] = measured(
            [str(python), script, "cleanvision", str(beside / "files.json"), str(beside / "vision.json")], beside
        )
        started = time.perf_counter()
        rows = given_to_datalab(workspace, beside / "given.npz")
        encoding = time.perf_counter() - started
        costs["Datalab"] = measured(
            [str(python), script, "datalab", str(beside / "given.npz"), str(beside / "lab.json")], beside
        )
        seen = json.loads((beside / "vision.json").read_text())
        judged = json.loads((beside / "lab.json").read_text())
    exact, near = (
        [[files[n] for n in group] for group in seen["sets"][f"{kind}_duplicates"]] for kind in ("exact", "near")
    )
    vision: dict[str, Any] = {
        name: {files[n] for n in seen["issues"].get(issue, [])} for name, (_, issue) in LOOKS.items()
    }
    vision |= {"exact": exact, "near": exact + near}
    lab = {
        "label flips": {rows[n] for n in judged["label"]},
        "find_label_issues": {rows[n] for n in judged["find_label_issues"]},
        "near": [[rows[a], rows[b]] for a, b in judged["near"]],
        "outlier": dict(zip(rows, judged["outlier_score"], strict=True)),
        "outlier_of_pixels": dict(zip(rows, judged["outlier_score_of_pixels"], strict=True)),
    }
    print(f"\n{'precision recall F1':<42} {'planted':>7}   {'Hallmark':<18} {'CleanVision':<18} {'Datalab':<18}")
    for name, count, *cells in table(truth, ours, vision, lab):
        print(f"{name:<42} {count:>7}   {cells[0]:<18} {cells[1]:<18} {cells[2]:<18}")
    valid = truth[~truth["faults"].isin(scoring.BY_LIMITS) & (truth["expected"] != "drop")]["file"]
    lost = sorted(set(valid) & ours["quarantined"])
    print(f"\nvalid files that Hallmark quarantined: {len(lost)} of {len(valid)} {lost[:10] or ''}")
    for name, cost in costs.items():
        extra = f" and {encoding:.1f} s for features and probabilities, which are ours" if name == "Datalab" else ""
        print(f"{name:<12} {cost.seconds:6.1f} s{extra}, peak {cost.peak_mib:6.0f} MiB")


if __name__ == "__main__":
    main()
