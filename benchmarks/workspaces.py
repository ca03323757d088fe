"""Workspaces with the current code, in which benchmarks run commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

from benchmarks import idx
from tasks import STAGES

ROOT = Path(__file__).parents[1]
COPIED = (
    "hallmark",
    "tasks",
    "flows",
    "conf",
    "params.yaml",
    "dvc.yaml",
    "data/review.csv",
    "data/accepted.json",
    "data/ablation.json",
    "data/none",
    ".dvcignore",
    ".gitignore",
)

BEFORE_TRAIN = tuple(stage.name for stage in takewhile(lambda stage: stage.name != "train", STAGES))


def call(folder: Path, *command: str) -> str:
    """The output of a command in the workspace; ends the benchmark if it fails."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} exited {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def source(data: Path, images: int, path: Path) -> None:
    """The first ``images`` training images and all test images as one Parquet table, as Hugging Face writes it."""
    import pandas as pd

    rows = []
    for part, split, count in (("train", "train", images), ("t10k", "test", None)):
        pixels, labels = idx.read(data, part)
        for image, label in zip(pixels[:count], labels[:count], strict=True):
            rows.append({"image": {"bytes": idx.png(image), "path": None}, "label": str(label), "split": split})
    pd.DataFrame(rows).to_parquet(path, index=False)


def prepared(folder: Path) -> None:
    """A workspace with the current code, git and DVC."""
    for name in COPIED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "-f"], cwd=folder, check=True)


def workspace(folder: Path, data: Path, images: int) -> None:
    """Such a workspace for Fashion-MNIST; without synthesis, which tuning does not change and which takes minutes."""
    prepared(folder)
    source(data, images, folder / "fashion.parquet")
    call(folder, "-m", "flows.cli", "configure", "ingest.source=fashion.parquet", "synthesize.target=off")
