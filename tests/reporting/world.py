"""A small workspace: real images, network and evaluation, and reports as the other stages write them."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from PIL import Image

from hallmark.contracts import tables
from tests.tasks.test_evaluate import run as evaluate
from tests.tasks.test_evaluate import world

if TYPE_CHECKING:
    from pathlib import Path

STAGES = "ingest validate split clean balance augment synthesize train evaluate register".split()
HOSTILE = "<script>alert(1)</script> & 'co'"


def build(root: Path, *, hostile: str = HOSTILE, synthetic: bool = False, privacy: bool = False) -> dict[str, Path]:
    """The keyword arguments of the report stage; the second class carries the name ``hostile``."""
    classes = ["dark", hostile]
    folders = world(root, classes, wrong=4)
    for name in STAGES:
        (root / name).mkdir(exist_ok=True)
    reports = root / "reports"
    for name in ("augment", "synthesize", "evaluate"):
        (reports / "plots" / name).mkdir(parents=True)
    evaluation = asdict(evaluate(folders))
    ledger = _ledger(root, classes)
    _plans(root, classes, synthetic=synthetic)
    Image.fromarray(np.arange(4800, dtype=np.uint32).astype(np.uint8).reshape(40, 120)).save(
        reports / "plots" / "augment" / "preview.png"
    )
    if synthetic:
        Image.new("L", (60, 30), 90).save(reports / "plots" / "synthesize" / "samples.png")
    for name, report in _reports(classes, ledger, synthetic=synthetic, privacy=privacy).items():
        (reports / f"{name}.json").write_text(json.dumps(report), encoding="utf-8")
    (reports / "evaluate.json").write_text(json.dumps(evaluation), encoding="utf-8")
    ledger.to_csv(reports / "ledger.csv", index=False)
    places = {name: root / name for name in STAGES}
    (root / "ablation.json").write_text("{}")
    return {
        **places,
        "ablation": root / "ablation.json",
        "ledger": reports / "ledger.csv",
        "reports": reports,
        "page": reports / "index.html",
    }


def _ledger(root: Path, classes: list[str]) -> pd.DataFrame:
    """Adds an empty and a stray file to the manifest, a duplicate to the split; every fate occurs."""
    manifest = pd.read_parquet(root / "ingest" / "manifest.parquet")
    lost = manifest.head(2).assign(
        path=["zz_empty.png", "zz_notes.txt"],
        label=[classes[0], ""],
        label_found=[classes[0], ""],
        shard=-1,
        row=-1,
        reasons=["empty_file", "stray_file"],
    )
    tables.write_table(pd.concat([manifest, lost]), tables.MANIFEST, root / "ingest" / "manifest.parquet")
    split = pd.read_parquet(root / "split" / "split.parquet")
    split.loc[71, "cluster"] = str(split["path"].iloc[70])
    split.loc[71, "representative"] = False
    split.loc[70:71, "cluster_size"] = 2
    tables.write_table(split, tables.SPLIT, root / "split" / "split.parquet")
    decisions = pd.read_parquet(root / "clean" / "decisions.parquet")
    decisions.loc[71, ["fate", "stage", "reasons"]] = ["removed", "clean", "exact_duplicate"]
    decisions.loc[72, ["fate", "stage", "reasons", "label"]] = ["relabelled", "clean", "label_issue", classes[1]]
    decisions.loc[decisions["fate"] == "flagged", ["stage", "reasons"]] = ["clean", "label_issue"]
    decisions.loc[39, ["stage", "reasons"]] = ["clean", "excluded_by_review"]
    decisions.loc[2:5, "label_quality"] = 0.1
    decisions.loc[2:5, "suggested_label"] = classes[0]
    tables.write_table(decisions, tables.DECISIONS, root / "clean" / "decisions.parquet")
    rows = decisions.assign(label=decisions["found_label"], group="")
    gone = lost.assign(split="", fate="quarantined", stage=["validate", "ingest"])
    return pd.concat([rows[[*tables.LEDGER]], gone[[*tables.LEDGER]]]).sort_values("path", ignore_index=True)


def _plans(root: Path, classes: list[str], *, synthetic: bool) -> None:
    synthetic_table = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in tables.SYNTHETIC.items()})
    if synthetic:
        row = {"path": "synthetic/dark/0.png", "label": "dark", "shard": 0, "row": 0, "origin": "flow"}
        synthetic_table = pd.DataFrame([{**row, "nearest_distance": 0.2, "agreement": 0.9}])
    tables.write_table(synthetic_table, tables.SYNTHETIC, root / "synthesize" / "manifest.parquet")
    (root / "balance" / "plan.json").write_text(json.dumps({"strategy": "none"}))
    (root / "validate" / "expectations.json").write_text(
        json.dumps(
            [
                _outcome("expect_column_to_exist", success=True),
                _outcome("expect_column_values_to_be_between", success=False),
            ]
        )
    )
    history = {
        "epoch": [1, 2, 3],
        "train_loss": [1.0, 0.5, 0.2],
        "val_loss": [1.1, np.nan, 0.4],
        "train_accuracy": [0.5, 0.7, 0.9],
        "val_accuracy": [0.5, 0.6, 0.8],
        "objective": [0.4, 0.6, 0.8],
        "lr": [1e-3] * 3,
    }
    pd.DataFrame(history).to_parquet(root / "train" / "history.parquet")
    pd.DataFrame({"transform": ["HorizontalFlip"]}).to_parquet(root / "augment" / "audit.parquet")


def _outcome(name: str, *, success: bool) -> dict[str, Any]:
    return {
        "suite": "files",
        "name": name,
        "columns": ["size"],
        "severity": "critical",
        "success": success,
        "left_out": False,
        "reason": "" if success else "empty_file",
        "unexpected": 0 if success else 1,
        "observed": None,
    }


def _reports(classes: list[str], ledger: pd.DataFrame, *, synthetic: bool, privacy: bool) -> dict[str, dict[str, Any]]:
    fates = {str(fate): int(n) for fate, n in ledger["fate"].value_counts().items()}
    flip = {"name": "HorizontalFlip", "p": 0.5, "arguments": {"limit": [-1, 1]}, "outcome": "warned", "retained": 0.4}
    return {
        "ingest": {
            "kind": "class_folders",
            "packed": "zip",
            "n_files": len(ledger),
            "digest": "ab" * 32,
            "reasons": {"outside_source": 2},
            "depth": {"bits": 12, "files": 3, "by_bits": {"12": 3}},
        },
        "validate": {
            "quarantined": 2,
            "images": len(ledger) - 2,
            "small_classes": {},
            "labels": {
                "merged": {"caf\u00e9": {"'caf\u00e9'": 5, "'cafe\\u0301'": 2}},
                "similar": [{"Dog": 1, "dog": 7}],
            },
            "reasons": {
                "empty_file": {"images": 1, "quarantined": 1, "flagged": 0},
                "stray_file": {"images": 1, "quarantined": 1, "flagged": 0},
            },
            "formats": {"PNG": 80},
            "sizes": {"width": {"median": 8.0}, "height": {"median": 8.0}},
            "review": {"decisions": 3, "kept": 1, "stale": 1},
            "drift": {"words": ["Brightness differs (stability index 0.40, strong)."]},
            "capture": [{"topic": "lighting", "even": False, "words": "Fix the light.", "measures": {}}],
        },
        "split": {
            "counts": {"train": 20, "val": 20, "test": 40},
            "shares": {"train": 0.25, "val": 0.25, "test": 0.5},
            "classes_without": {"train": [], "val": [], "test": []},
            "given": {"leaking_images": 3, "moved_images": 1},
            "stability": "exact",
            "warnings": ["The test set holds 2 of 9 groups."],
        },
        "clean": {
            "fates": fates,
            "removed_from_train": {"review": 0, "duplicates": 1},
            "reasons": {
                "exact_duplicate": {"kept": 0, "flagged": 0, "relabelled": 0, "removed": 1, "quarantined": 0},
                "label_issue": {"kept": 0, "flagged": 4, "relabelled": 1, "removed": 0, "quarantined": 0},
            },
            "spared": 2,
            "review": {
                "decisions": 3,
                "applied": {"keep": 1, "drop": 1, "relabel": 0},
                "of_quarantined": 0,
                "stale": [{"path": "gone & lost.png", "decision": "drop", "why": "path_gone"}],
            },
        },
        "balance": {
            "strategy": "class_weights",
            "reason": "asked for",
            "imbalance_before": 2.0,
            "imbalance_after": 2.0,
            "n_shown": 19,
            "classes": [
                {"label": name, "before": 9, "after": 9, "left_out": 0, "weight": 1.0, "share": 0.5} for name in classes
            ],
        },
        "augment": {
            "policy": "standard",
            "outcomes": {"warned": 1},
            "judge": {"train_images": 10, "val_images": 20, "accuracy": 0.9},
            "whole": {"value": 0.98, "interval": [0.9, 1.0]},
            "transforms": [
                {**flip, "reason": "it changes labels", "strength": 1.0, "interval": [0.3, 0.5], "classes": []}
            ],
        },
        "synthesize": {
            "decision": "kept" if synthetic else "off",
            "verdict": "Kept 1 of 2 images made." if synthetic else "Off: synthesize.target asks for no images.",
            "kept": int(synthetic),
            "share": 0.05 if synthetic else 0.0,
            "classes": [{"label": classes[0], "real": 9, "wanted": 1, "note": "", "made": 2, "kept": 1}]
            if synthetic
            else [],
            "gates": [{"name": "memorisation", "passed": True, "reason": "far", "figures": {"d": {"q": 0.5}}}]
            if synthetic
            else [],
        },
        "train": {
            "epochs": 3,
            "best_epoch": 3,
            "model": "perceptron",
            "n_parameters": 130,
            "privacy": {"epsilon": 3.0, "delta": 1e-5, "unit": "image"} if privacy else None,
            "why": "few images",
            "transfer": None,
            "refit": None,
            "lr_search": [{"lr": 10.0**-exponent, "loss": abs(exponent - 3.0)} for exponent in range(1, 6)],
            "n_train": 19,
            "channels": 1,
            "n_synthetic": 0,
            "batch_size": 8,
            "optimizer": "adamw",
            "lr": 0.001,
            "schedule": "cosine",
            "plain_epochs": 1 if privacy else 2,
            "loss": "cross_entropy",
            "scaling": "unit",
            "warnings": ["The loss swings."],
        },
        "register": {
            "decision": "promoted",
            "model_name": "hallmark",
            "model_uri": "models:/hallmark/1",
            "version": 1,
            "reasons": ["no champion yet"],
            "lineage": {"train": "cd" * 32},
        },
    }
