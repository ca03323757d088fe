"""The stage synthesize: what passes the gates is stored, planted bad generators are refused, and off is off."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from hallmark.contracts.errors import GateRefused, InputError
from hallmark.contracts.tables import DECISIONS, MANIFEST, PLAN, SPLIT, SYNTHETIC, read_table, write_table
from hallmark.images import shards
from hallmark.synthesis import gallery, presets
from hallmark.synthesis.rules import Rules
from tasks import synthesize

if TYPE_CHECKING:
    from pathlib import Path

GATES: dict[str, Any] = {
    "max_near_copies": 0.2, "near_copy_quantile": 0.01, "min_agreement": 0.7, "min_precision": 0.3,
    "min_coverage": 0.3, "max_two_sample_auc": 1.0, "utility_pairs": 2, "utility_steps": 40, "max_loss": 0.1,
    "min_gain": -1.0,
}  # fmt: skip
VALUES: dict[str, Any] = {
    "seed": 0, "target": "median", "classes": "rarest", "rare_below": 0.5, "most_per_real": 4.0, "min_real": 5,
    "generator": "latent_mixup", "preset": "quick", "guidance": 1.0, "surplus": 1.5, "max_side": 64,
    "max_images": 1000, "external": "data/none", "on_refusal": "skip",
}  # fmt: skip
COUNTS = {"0": 60, "1": 60, "2": 60, "3": 20}
VAL = 20


def params(**change: Any) -> synthesize.Params:
    gates = {name: change.pop(name) for name in list(change) if name in GATES}
    return synthesize.Params(**{**VALUES, **change}, gates=Rules(**{**GATES, **gates}))


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outputs of the stages before, on four digits of which '3' is rare; each class has a removed image."""
    root = tmp_path_factory.mktemp("stored")
    bunch = load_digits()
    rows, items = [], []
    for label, count in COUNTS.items():
        for number, at in enumerate(np.flatnonzero(bunch.target == int(label))[: count + VAL + 1]):
            split = "val" if number >= count + 1 else "train"
            path = f"{label}/{number:03d}.png"
            rows.append({"path": path, "label": label, "split": split, "fate": "removed" if number == 0 else "kept"})
            items.append((path, gallery.png((bunch.images[at] * 15.9375).astype(np.uint8)[..., None])))
    folders = {name: root / name for name in ("ingest", "split", "clean", "balance", "augment")}
    for folder in folders.values():
        folder.mkdir()
    places = shards.write(folders["ingest"], items)
    frame = pd.DataFrame(rows).assign(
        label_found=None, group=None, given_split=None, size=1, sha256="", shard=[place.shard for place in places],
        row=[place.row for place in places], reasons="", cluster="", cluster_size=1, representative=True,
        found_label="", stage="", weight=1.0, outlier_score=0.0, label_quality=1.0, suggested_label=None,
    )  # fmt: skip
    write_table(frame[list(MANIFEST)], MANIFEST, folders["ingest"] / "manifest.parquet")
    write_table(frame[list(SPLIT)], SPLIT, folders["split"] / "split.parquet")
    write_table(frame[list(DECISIONS)], DECISIONS, folders["clean"] / "decisions.parquet")
    train = frame[(frame["split"] == "train") & (frame["fate"] == "kept")]
    plan = train.assign(repeats=1, probability=1 / len(train))[list(PLAN)]
    write_table(plan, PLAN, folders["balance"] / "plan.parquet")
    (folders["augment"] / "policy.json").write_text('{"transforms": []}')
    return root


def run(
    stored: Path, root: Path, monkeypatch: pytest.MonkeyPatch, **change: Any
) -> tuple[synthesize.Report, Path, Path]:
    out, plots = root / "synthesize", root / "plots"
    for folder in (out, plots):
        folder.mkdir(parents=True)
    monkeypatch.chdir(root)
    inputs = {name: stored / name for name in ("ingest", "split", "clean", "balance", "augment")}
    report = synthesize.run(params(**change), **inputs, synthesize=out, plots=plots)
    assert json.loads(json.dumps(dataclasses.asdict(report), allow_nan=False)) == dataclasses.asdict(report)
    return report, out, plots


def plant(stored: Path, folder: Path, label: str, paths: list[str]) -> str:
    """A folder of "generated" images of class ``label``: real images by the paths given."""
    manifest = read_table(stored / "ingest" / "manifest.parquet", MANIFEST)
    shard = dict(zip(manifest["path"], manifest["shard"], strict=True))
    row = dict(zip(manifest["path"], manifest["row"], strict=True))
    (folder / label).mkdir(parents=True)
    with shards.Reader(stored / "ingest") as reader:
        for number, path in enumerate(paths):
            data = reader.read(shard[path], row[path])
            (folder / label / f"{number}.png").write_bytes(data)
    return str(folder)


def test_images_that_pass_are_stored_with_their_origin(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, out, plots = run(stored, tmp_path / "one", monkeypatch)
    table = read_table(out / "manifest.parquet", SYNTHETIC)
    assert report.decision == "kept", report.verdict
    assert [gate["name"] for gate in report.gates] == ["memorisation", "faithfulness", "distribution", "utility"]
    assert all(gate["passed"] for gate in report.gates)
    assert set(table["label"]) == {"3"}
    assert set(table["origin"]) == {"latent_mixup"}
    assert 0 < len(table) == report.kept <= report.wanted == 40
    assert report.made == 60
    assert report.share == pytest.approx(report.kept / (report.kept + 200), abs=1e-6)
    row = report.classes[0]
    assert row["kept"] + row["near_copy"] + row["unfaithful"] + row["surplus"] == row["made"] == 60
    with shards.Reader(out) as reader:
        images = [Image.open(io.BytesIO(data)) for data in reader.rows(zip(table["shard"], table["row"], strict=True))]
    assert {(image.size, image.mode) for image in images} == {((8, 8), "L")}
    assert table["path"].tolist() == [f"synthetic/3/{number:05d}.png" for number in range(len(table))]
    assert (table["agreement"] > 0.25).all()
    assert (table["nearest_distance"] > 0).all()

    _, again, plots_again = run(stored, tmp_path / "two", monkeypatch)
    for one, other in ((out, again), (plots, plots_again)):
        files = sorted(path.name for path in one.iterdir())
        assert files == sorted(path.name for path in other.iterdir())
        assert all((one / name).read_bytes() == (other / name).read_bytes() for name in files)


def test_images_that_a_person_removed_do_not_judge(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decisions = read_table(stored / "clean" / "decisions.parquet", DECISIONS)
    decisions.loc[decisions["path"].str.endswith(("070.png", "030.png")), "fate"] = "removed"
    others = tmp_path / "inputs"
    shutil.copytree(stored, others)
    write_table(decisions, DECISIONS, others / "clean" / "decisions.parquet")
    report, _, _ = run(others, tmp_path / "run", monkeypatch)
    assert report.gates[0]["figures"]["held_out"] == 4 * VAL - 4  # one of each class


def test_the_flow_is_trained_taken_up_and_drawn_from(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = dataclasses.replace(presets.PRESETS["quick"], steps=1, batch=8, width=16, sampling_steps=2)
    monkeypatch.setitem(presets.PRESETS, "quick", tiny)
    # a hundred steps teach nothing: whatever it draws, the stage has to say what became of it
    report, out, plots = run(stored, tmp_path / "one", monkeypatch, generator="flow_matching")
    assert report.made == 60
    assert report.decision in ("kept", "refused")
    assert (report.kept == 0) == (report.decision == "refused")
    assert len(read_table(out / "manifest.parquet", SYNTHETIC)) == report.kept
    assert (plots / "samples.png").exists()
    checkpoints = list((tmp_path / "one" / ".hallmark" / "checkpoints").iterdir())
    assert [path.name.startswith("synthesize-") for path in checkpoints] == [True]


def test_a_generator_that_copies_training_images_is_refused(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = plant(stored, tmp_path / "made", "3", [f"3/{number:03d}.png" for number in range(1, 21)])
    report, out, plots = run(stored, tmp_path / "run", monkeypatch, external=copies)
    assert report.decision == "refused"
    assert report.refused_by == "memorisation"
    assert report.gates[0]["figures"]["near_copies"] == 20
    assert "near-copies" in report.verdict
    assert report.kept == 0
    assert len(read_table(out / "manifest.parquet", SYNTHETIC)) == 0
    assert [path.name for path in out.iterdir()] == ["manifest.parquet"]
    assert (plots / "samples.png").exists()

    with pytest.raises(GateRefused, match="the gate memorisation refused") as caught:
        run(stored, tmp_path / "fail", monkeypatch, external=copies, on_refusal="fail")
    assert caught.value.story["gates"][0]["name"] == "memorisation"


def test_a_generator_of_the_wrong_class_is_refused(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # validation images: no copies of training images, but of another class
    wrong = plant(stored, tmp_path / "made", "3", [f"0/{number:03d}.png" for number in range(61, 81)])
    report, _, _ = run(stored, tmp_path / "run", monkeypatch, external=wrong, max_near_copies=1.0)
    assert report.decision == "refused"
    assert report.refused_by == "faithfulness"
    assert report.kept == 0
    assert report.classes[0]["unfaithful"] >= 18


def test_external_images_pass_the_same_gates(stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = plant(stored, tmp_path / "made", "3", [f"3/{number:03d}.png" for number in range(21, 41)])
    report, out, _ = run(stored, tmp_path / "run", monkeypatch, external=good)
    assert report.decision == "kept", report.verdict
    assert set(read_table(out / "manifest.parquet", SYNTHETIC)["origin"]) == {"external"}
    assert len(report.gates) == 4


@pytest.mark.parametrize(
    ("change", "decision", "words"),
    [
        ({"target": "off"}, "off", "asks for no images"),
        ({"target": False}, "off", "asks for no images"),
        ({"rare_below": 0.1}, "not_needed", "no class is as rare"),
        ({"target": {"0": 10}}, "not_needed", "no class is as rare"),
        ({"min_real": 21}, "too_few", "too few real images to learn from (synthesize.min_real)"),
    ],
)
def test_a_report_without_generated_images_gives_the_reason(
    change: dict[str, Any], decision: str, words: str, stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, out, plots = run(stored, tmp_path / "run", monkeypatch, **change)
    assert report.decision == decision
    assert words in report.verdict
    assert report.made == report.kept == 0
    assert len(read_table(out / "manifest.parquet", SYNTHETIC)) == 0
    assert not list(plots.iterdir())


def test_images_too_large_are_skipped_with_a_word(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hallmark.transforms import sample

    monkeypatch.setattr(sample, "common_shape", lambda *_, **__: (224, 300, 3))
    report, out, plots = run(stored, tmp_path / "run", monkeypatch)
    assert report.decision == "skipped"
    assert "300 × 224 pixels" in report.verdict
    assert "synthesize.max_side" in report.verdict
    assert len(read_table(out / "manifest.parquet", SYNTHETIC)) == 0
    assert not list(plots.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": "medain"}, "target is 'medain'; did you mean 'median'"),
        ({"target": True}, "target is true"),
        ({"target": {"a": 0}}, "target.a is 0, below 1"),
        ({"classes": "rare"}, "classes is 'rare'; did you mean 'rarest'"),
        ({"rare_below": 1.5}, "rare_below"),
        ({"most_per_real": 0.0}, "most_per_real"),
        ({"generator": "gan"}, "generator"),
        ({"preset": "quik"}, "preset is 'quik'; did you mean 'quick'"),
        ({"guidance": -1.0}, "guidance"),
        ({"surplus": 0.5}, "surplus"),
        ({"max_side": 4}, "max_side"),
        ({"on_refusal": "stop"}, "on_refusal"),
        ({"max_near_copies": 2.0}, "max_near_copies"),
        ({"max_two_sample_auc": 0.2}, "max_two_sample_auc"),
        ({"utility_pairs": 1}, "utility_pairs"),
    ],
)
def test_params_out_of_range_are_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        params(**change)
