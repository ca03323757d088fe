"""The stage augment on real digits: what it writes, reports and refuses."""

from __future__ import annotations

import dataclasses
import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from hallmark.contracts import runtime
from hallmark.contracts.errors import GateRefused, InputError
from hallmark.contracts.tables import DECISIONS, MANIFEST, PLAN, SPLIT, read_table, write_table
from hallmark.images import shards
from hallmark.transforms.policy import build
from tasks import augment

if TYPE_CHECKING:
    from pathlib import Path

VALUES: dict[str, Any] = {
    "seed": 0,
    "policy": "light",
    "audit": "drop",
    "audit_tolerance": 0.8,
    "audit_confidence": 0.95,
    "audit_min_images": 20,
    "audit_weaker": (0.5, 0.25),
    "audit_train_images": 500,
    "audit_images": 300,
    "audit_size": 64,
    "preview_images": 3,
}
FLIPS = [{"name": name, "p": 0.5} for name in ("VerticalFlip", "HorizontalFlip", "NoOp")]
INPUTS = ("ingest", "split", "clean", "balance")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("inputs")
    folders = {name: root / name for name in INPUTS}
    for folder in folders.values():
        folder.mkdir()
    bunch = load_digits()
    items, rows = [], []
    for index in range(1000):
        file = io.BytesIO()
        Image.fromarray(np.round(bunch.images[index] * (255 / 16)).astype(np.uint8)).save(file, "PNG")
        label = str(bunch.target[index])
        items.append((f"{label}/{index:04d}.png", file.getvalue()))
        rows.append((items[-1][0], label, "train" if index < 650 else "val"))
    places = shards.write(folders["ingest"], items)
    frame = pd.DataFrame(rows, columns=["path", "label", "split"])
    manifest = frame.drop(columns="split").assign(
        label_found=frame["label"], group=None, given_split=None, size=1, sha256="", reasons=""
    )
    manifest["shard"], manifest["row"] = [place.shard for place in places], [place.row for place in places]
    write_table(manifest, MANIFEST, folders["ingest"] / "manifest.parquet")
    split = frame.assign(group=None, cluster=frame["path"], cluster_size=1, representative=True, reasons="")
    write_table(split, SPLIT, folders["split"] / "split.parquet")
    decisions = frame.assign(
        found_label=frame["label"],
        fate="kept",
        stage="",
        reasons="",
        weight=1.0,
        outlier_score=0.0,
        label_quality=1.0,
        suggested_label=None,
    )
    write_table(decisions, DECISIONS, folders["clean"] / "decisions.parquet")
    train = frame[frame["split"] == "train"][["path", "label"]]
    plan = train.assign(repeats=1, weight=1.0, probability=1 / len(train))
    write_table(plan, PLAN, folders["balance"] / "plan.parquet")
    return folders


def run(inputs: dict[str, Path], root: Path, **changes: Any) -> augment.Report:
    outputs = {name: root / name for name in ("augment", "plots")}
    for folder in outputs.values():
        folder.mkdir(parents=True)
    return augment.run(augment.Params(**{**VALUES, **changes}), **inputs, **outputs)


def transforms_of(root: Path) -> list[dict[str, Any]]:
    policy = json.loads((root / "augment" / "policy.json").read_text())
    assert set(policy) == {"transforms"}
    transforms: list[dict[str, Any]] = policy["transforms"]
    return transforms


def test_flips_of_digits_are_dropped_and_the_rest_builds(inputs: dict[str, Path], tmp_path: Path) -> None:
    report = run(inputs, tmp_path, policy=[*FLIPS, {"name": "Rotate", "p": 0.5, "arguments": {"limit": [-10, 10]}}])
    assert report.policy == "custom"
    assert report.outcomes == {"dropped": 2, "kept": 2}
    left = transforms_of(tmp_path)
    assert [transform["name"] for transform in left] == ["NoOp", "Rotate"]
    image = np.zeros((8, 8, 1), dtype=np.uint8)
    assert build(left, height=8, width=8, channels=1)(image, 0).shape == (8, 8, 1)
    assert report.image == {"height": 8, "width": 8, "channels": 1}
    assert report.judge is not None
    assert report.judge["train_images"] == 500
    assert report.judge["val_images"] == 300
    assert report.judge["accuracy"] > 0.9
    assert report.whole is not None
    assert report.whole["value"] > 0.9
    vertical = report.transforms[0]
    assert vertical["name"] == "VerticalFlip"
    assert vertical["retained"] < 0.7
    assert vertical["classes"][0]["retained"] < 0.1
    values = dataclasses.asdict(report)
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    table = pd.read_parquet(tmp_path / "augment" / "audit.parquet")
    assert len(table) == 4 * (1 + 10)  # all images and each class, for each transform at its own strength
    assert set(table.loc[table["transform"] == "NoOp", "retained"]) == {1.0}


def test_images_that_a_person_removed_are_not_judged(inputs: dict[str, Path], tmp_path: Path) -> None:
    decisions = read_table(inputs["clean"] / "decisions.parquet", DECISIONS)
    validation = decisions["split"] == "val"
    dropped = decisions.loc[validation, "path"].iloc[:100]
    removed = decisions["path"].isin(dropped)
    decisions.loc[removed, ["fate", "stage", "reasons"]] = ["removed", "clean", "excluded_by_review"]
    clean = tmp_path / "clean"
    clean.mkdir()
    write_table(decisions, DECISIONS, clean / "decisions.parquet")
    report = run({**inputs, "clean": clean}, tmp_path / "run", policy=[FLIPS[0]])
    assert report.judge is not None
    assert report.judge["val_images"] == validation.sum() - 100


def test_equal_input_gives_equal_bytes_for_any_worker_count(
    inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = []
    for workers in ("1", "4"):
        monkeypatch.setenv(runtime.WORKERS, workers)
        report = run(inputs, tmp_path / workers)
        files = sorted(path for path in (tmp_path / workers).rglob("*") if path.is_file())
        assert [path.name for path in files] == ["audit.parquet", "policy.json", "preview.png"]
        outputs.append((report, [path.read_bytes() for path in files]))
    assert outputs[0] == outputs[1]


def test_warn_and_off_change_nothing(inputs: dict[str, Path], tmp_path: Path) -> None:
    report = run(inputs, tmp_path / "warn", policy=FLIPS, audit="warn")
    assert report.outcomes == {"kept": 1, "warned": 2}
    assert len(transforms_of(tmp_path / "warn")) == 3
    report = run(inputs, tmp_path / "off", policy=FLIPS, audit=False)
    assert (report.audit, report.outcomes, report.judge) == ("off", {"not_audited": 3}, None)
    assert len(transforms_of(tmp_path / "off")) == 3
    assert len(pd.read_parquet(tmp_path / "off" / "augment" / "audit.parquet")) == 0


def test_no_policy_is_a_policy(inputs: dict[str, Path], tmp_path: Path) -> None:
    report = run(inputs, tmp_path, policy="none")
    assert (report.asked, report.transforms) == (0, [])
    assert transforms_of(tmp_path) == []
    with Image.open(tmp_path / "plots" / "preview.png") as preview:
        assert preview.width > 500


def test_without_training_images_it_is_refused(inputs: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "balance").mkdir()
    plan = pd.DataFrame({"path": ["0/0000.png"], "label": ["0"], "repeats": [0], "weight": [1.0], "probability": [0.0]})
    write_table(plan, PLAN, tmp_path / "balance" / "plan.parquet")
    with pytest.raises(GateRefused, match="no training image is left"):
        run({**inputs, "balance": tmp_path / "balance"}, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"policy": "standrd"}, "policy is 'standrd'; give a preset"),
        ({"policy": [{"name": "Rotat", "p": 0.5}]}, r"policy\[0\].name is 'Rotat'; did you mean 'Rotate'"),
        ({"audit": "dorp"}, "audit is 'dorp'; did you mean 'drop'"),
        ({"audit": True}, "audit is 'True'; choose one of: drop, warn, off"),
        ({"audit_tolerance": 1.2}, "audit_tolerance is 1.2, outside"),
        ({"audit_confidence": 0.2}, "audit_confidence"),
        ({"audit_weaker": (0.25, 0.5)}, "audit_weaker is .* from high to low"),
        ({"audit_weaker": (1.5,)}, r"audit_weaker\[0\] is 1.5"),
        ({"audit_size": 4}, "audit_size"),
        ({"audit_images": 0}, "audit_images"),
        ({"preview_images": 0}, "preview_images"),
    ],
)
def test_params_out_of_range_are_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        augment.Params(**{**VALUES, **change})
