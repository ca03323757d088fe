from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hallmark.contracts.errors import GateRefused, InputError
from hallmark.contracts.reasons import REASONS
from hallmark.contracts.tables import LEDGER, MANIFEST, MEASUREMENTS, read_table, write_table
from hallmark.images import shards
from hallmark.quality import isolation
from hallmark.quality.thresholds import Thresholds
from tasks.validate import Params, Report, run
from tests.quality.test_measurement import encoded, photo

SUITES = Path(__file__).parents[2] / "conf" / "expectations"
HEADER = "path,content_hash,decision,label,note,when\n"
PARAMS = Params(
    suites=str(SUITES),
    classes=None,
    missing="keep",
    max_pixels=10**6,
    seconds_per_image=20.0,
    memory_mib=1024,
    min_side=4,
    max_side=2000,
    max_aspect=10.0,
    thresholds=Thresholds(
        blank_contrast=0.004,
        low_contrast=0.04,
        dark_highlight=0.15,
        bright_shadow=0.85,
        blurry_sharpness=0.03,
        blurry_share=0.08,
        noisy_noise=0.06,
        spread=4.0,
    ),
    quarantine=["too_small", "too_large", "blank"],
    max_quarantine_share=0.5,
    min_images_per_class=10,
    on_small_class="quarantine",
)


@dataclass
class Found:
    """What ingest found, as its tables have it."""

    files: dict[str, bytes] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    columns: dict[str, list[Any]] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        folder.mkdir()
        paths = sorted(self.files)
        stored = [path for path in paths if self.reasons.get(path) != "unreadable_file"]
        places = dict(zip(stored, shards.write(folder, [(path, self.files[path]) for path in stored]), strict=True))
        rows = [
            {
                "path": path,
                "label": path.split("/")[0] if "/" in path else None,
                "label_found": path.split("/")[0] if "/" in path else None,
                "group": None,
                "given_split": None,
                "size": len(self.files[path]),
                "sha256": hashlib.sha256(self.files[path]).hexdigest() if path in places else "",
                "shard": places[path].shard if path in places else -1,
                "row": places[path].row if path in places else -1,
                "reasons": self.reasons.get(path, ""),
            }
            for path in paths
        ]
        frame = pd.DataFrame(rows).assign(**self.columns)
        write_table(frame, MANIFEST, folder / "manifest.parquet")


def sound(*classes: str, each: int = 12) -> Found:
    files = {
        f"{name}/{n:02d}.png": encoded(photo(number * 100 + n, 48))
        for number, name in enumerate(classes)
        for n in range(each)
    }
    return Found(files)


class Workspace:
    def __init__(self, root: Path) -> None:
        self.root, self.runs = root, 0
        self.review = root / "review.csv"
        self.review.write_text(HEADER)
        self.accepted = root / "accepted.json"
        self.accepted.write_text("{}")

    def validate(self, found: Found, **changes: Any) -> tuple[Report, pd.DataFrame]:
        self.runs += 1
        ingest, out = self.root / f"ingest{self.runs}", self.root / f"validate{self.runs}"
        found.write(ingest)
        out.mkdir()
        report = run(
            replace(PARAMS, **changes), ingest=ingest, review=self.review, accepted=self.accepted, validate=out
        )
        return report, read_table(out / "measurements.parquet", MEASUREMENTS).set_index("path")

    def written(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted((self.root / f"validate{self.runs}").iterdir())}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.chdir(tmp_path)
    return Workspace(tmp_path)


def faulty() -> Found:
    found = sound("cat", "dog")
    animated = [photo(n, 40) for n in (901, 902)]
    grain = np.random.default_rng(0).normal(0, 70, (48, 48, 3))
    found.files |= {
        "cat/empty.png": b"",
        "cat/words.png": b"words",
        "cat/cut.jpg": encoded(photo(1), "JPEG")[:700],
        "cat/torn.png": encoded(photo(1))[:60] + b"\0" * 400 + encoded(photo(1))[460:],
        "cat/bomb.png": encoded(Image.new("1", (2000, 2000))),
        "cat/page.pdf": b"%PDF-1.7",
        "cat/notes.txt": b"buy milk",
        "cat/locked.png": b"",
        "dog/tiny.png": encoded(photo(1, 3)),
        "dog/huge.png": encoded(photo(1).resize((2001, 300))),
        "dog/strip.png": encoded(photo(1).resize((300, 8))),
        "dog/blank.png": encoded(Image.new("L", (40, 40), 200)),
        "dog/dark.png": encoded(photo(950, 48).point(lambda value: value // 20)),
        "dog/bright.png": encoded(photo(951, 48).point(lambda value: 255 - value // 20)),
        "dog/blurred.png": encoded(photo(952, 160).resize((4, 4)).resize((160, 160), Image.Resampling.BICUBIC)),
        "dog/noisy.png": encoded(Image.fromarray(np.clip(np.asarray(photo(953, 48)) + grain, 0, 255).astype("u1"))),
        "dog/moving.gif": encoded(animated[0], "GIF", save_all=True, append_images=animated[1:]),
        "rare/1.png": encoded(photo(990, 48)),
        "loose.png": encoded(photo(991, 48)),
    }
    found.reasons = {"cat/notes.txt": "stray_file", "cat/locked.png": "unreadable_file", "loose.png": "unlabelled"}
    return found


QUARANTINED = {
    "cat/empty.png": "empty_file",
    "cat/words.png": "not_an_image",
    "cat/cut.jpg": "truncated",
    "cat/torn.png": "corrupt",
    "cat/bomb.png": "decompression_bomb",
    "cat/page.pdf": "unsupported_format",
    "cat/notes.txt": "stray_file",
    "cat/locked.png": "unreadable_file",
    "dog/tiny.png": "too_small",
    "dog/huge.png": "too_large",
    "dog/blank.png": "blank",
    "rare/1.png": "class_too_small",
    "loose.png": "unlabelled",
}
FLAGGED = {
    "dog/strip.png": "extreme_aspect",
    "dog/dark.png": "too_dark",
    "dog/bright.png": "too_bright",
    "dog/blurred.png": "blurry",
    "dog/noisy.png": "noisy",
    "dog/moving.gif": "multi_frame",
}


def test_every_fault_gets_its_reason_and_every_file_one_fate(workspace: Workspace) -> None:
    found = faulty()
    report, table = workspace.validate(found)
    assert sorted(table.index) == sorted(found.files)
    for path, reason in (QUARANTINED | FLAGGED).items():
        assert reason in str(table.loc[path, "reasons"]).split(";"), path
        assert table.loc[path, "quarantined"] == (path in QUARANTINED), path
    others = table.drop(list(QUARANTINED | FLAGGED))
    assert others["reasons"].tolist() == [""] * 24
    assert not others["quarantined"].any()
    assert "low_contrast" in str(table.loc["dog/dark.png", "reasons"])

    assert report.found == len(found.files) == report.kept + report.flagged + report.quarantined
    assert report.quarantined == len(QUARANTINED)
    assert report.small_classes == {"rare": 1}
    assert sum(one["found"] for one in report.classes.values()) == report.found
    assert report.classes["dog"]["usable"] == 12 + len(FLAGGED)
    assert set(report.reasons) <= set(REASONS)
    assert report.formats["GIF"] == 1
    assert [one["topic"] for one in report.capture] == ["lighting", "framing", "resolution", "focus", "camera"]
    json.dumps(asdict(report), allow_nan=False)
    assert (workspace.root / ".hallmark" / "data_docs" / "index.html").exists()


def test_the_same_bytes_for_any_number_of_workers_and_without_the_cache(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = workspace.validate(faulty())
    bytes_first = workspace.written()
    assert sorted(bytes_first) == ["expectations.json", "measurements.parquet"]
    assert (workspace.validate(faulty())[0], workspace.written()) == (first, bytes_first), "with the cache"
    monkeypatch.setattr(isolation, "FEW_IMAGES", 0)
    monkeypatch.setattr(isolation, "CHUNK_IMAGES", 10)
    for workers in ("1", "2"):
        monkeypatch.setenv("HALLMARK_WORKERS", workers)
        (workspace.root / ".hallmark" / "cache" / "measurements.parquet").unlink()
        assert (workspace.validate(faulty())[0], workspace.written()) == (first, bytes_first), workers


def test_a_person_says_keep(workspace: Workspace) -> None:
    found = faulty()
    rows = ["dog/blank.png", "cat/words.png", "loose.png", "rare/1.png"]
    lines = [f"{path},{hashlib.sha256(found.files[path]).hexdigest()},keep,,,\n" for path in rows]
    lines.append(f"dog/huge.png,{'0' * 64},keep,,,\n")
    workspace.review.write_text(HEADER + "".join(lines))
    report, table = workspace.validate(found)
    assert not table.loc["dog/blank.png", "quarantined"]
    assert table.loc["dog/blank.png", "reasons"] == "blank"
    assert table.loc[["cat/words.png", "loose.png", "rare/1.png", "dog/huge.png"], "quarantined"].all()
    assert report.review == {"decisions": 5, "kept": 1, "stale": 1}


def test_whoever_owns_the_data_chooses_what_quarantines(workspace: Workspace) -> None:
    _, table = workspace.validate(faulty(), quarantine=["too_dark", "multi_frame"])
    assert table.loc[["dog/dark.png", "dog/moving.gif"], "quarantined"].all()
    assert not table.loc[["dog/blank.png", "dog/huge.png", "dog/tiny.png"], "quarantined"].any()


@pytest.mark.parametrize(
    ("policy", "camera", "quarantined", "reasons"),
    [
        ("keep", "unknown", False, ""),
        ("impute", "a", False, "missing_value"),
        ("quarantine", "unknown", True, "missing_value"),
    ],
)
def test_missing_values_follow_the_policy(
    workspace: Workspace, policy: str, camera: str, quarantined: bool, reasons: str
) -> None:
    found = sound("cat", "dog")
    found.columns = {
        "meta_camera": ["b", None, *["a"] * 22],
        "meta_lux": [1.0, 2.0, *[3.0] * 22],
        "meta_void": [None] * 24,
    }
    _, table = workspace.validate(found, missing=policy)
    assert table["meta_camera"].tolist() == ["b", camera, *["a"] * 22]
    row = table.loc["cat/01.png"]
    assert (bool(row["quarantined"]), row["reasons"]) == (quarantined, reasons)
    assert (table.drop("cat/01.png")["reasons"] == "").all()


def test_only_allowed_classes_are_taken(workspace: Workspace) -> None:
    _, table = workspace.validate(sound("cat", "cow", "dog"), classes=["cat", "dog"])
    assert table["quarantined"].tolist() == [False] * 12 + [True] * 12 + [False] * 12
    assert set(table["reasons"][12:24]) == {"unlabelled"}


def test_a_suite_of_the_users_own_quarantines(workspace: Workspace) -> None:
    suites = workspace.root / "suites"
    suites.mkdir()
    (suites / "camera.yaml").write_text(
        "expectations: [{type: expect_column_values_to_not_be_in_set, severity: critical, meta: {reason: noisy},"
        " kwargs: {column: meta_camera, value_set: [broken]}}]"
    )
    found = sound("cat", "dog")
    found.columns = {"meta_camera": ["broken", *["good"] * 23]}
    report, table = workspace.validate(found, suites=str(suites))
    row = table.loc["cat/00.png"]
    assert (bool(row["quarantined"]), row["reasons"]) == (True, "noisy")
    assert report.expectations["failed"][0]["suite"] == "camera"


def refused(workspace: Workspace, found: Found, **changes: Any) -> GateRefused:
    with pytest.raises(GateRefused) as refusal:
        workspace.validate(found, **changes)
    ledger = refusal.value.ledger
    assert ledger is not None
    assert list(ledger.columns) == list(LEDGER)
    assert ledger["path"].tolist() == sorted(found.files)
    assert set(ledger["fate"]) <= {"kept", "flagged", "quarantined"}
    json.dumps(refusal.value.story, allow_nan=False)
    return refusal.value


def test_a_set_without_a_readable_image_is_refused(workspace: Workspace) -> None:
    error = refused(workspace, Found({f"{name}/{n}.png": b"words" for name in "ab" for n in range(12)}))
    assert "none of 24 files is a usable image" in str(error)
    assert "ingest.source" in str(error)
    assert error.ledger is not None
    assert set(error.ledger["reasons"]) == {"not_an_image"}


def test_too_many_bad_files_refuse_the_set_and_strays_do_not(workspace: Workspace) -> None:
    found = sound("cat", "dog")
    found.files |= {f"cat/stray{n}.txt": b"words" for n in range(40)}
    found.reasons = {path: "stray_file" for path in found.files if path.endswith(".txt")}
    assert workspace.validate(found, max_quarantine_share=0.0)[0].share_quarantined == 0
    found.files |= {f"cat/bad{n}.png": b"words" for n in range(6)}
    error = refused(workspace, found, max_quarantine_share=0.19)
    assert "6 of 30 files (20.0%) are quarantined, more than validate.max_quarantine_share" in str(error)
    assert workspace.validate(found, max_quarantine_share=0.2)[0].share_quarantined == 0.2


def test_a_split_folder_without_labels_does_not_count(workspace: Workspace) -> None:
    found = sound("cat", "dog")
    found.files |= {f"test/{n:02d}.png": encoded(photo(900 + n, 48)) for n in range(40)}
    paths = sorted(found.files)
    found.columns = {
        "label": [None if path.startswith("test/") else path.split("/")[0] for path in paths],
        "given_split": ["test" if path.startswith("test/") else "train" for path in paths],
    }
    report, measured = workspace.validate(found, max_quarantine_share=0.0)
    assert (report.share_quarantined, report.quarantined) == (0, 40)
    assert set(measured.loc[measured.index.str.startswith("test/"), "reasons"]) == {"unlabelled"}
    # one label there, and the folder is one whose labels are missing
    found.columns["label"][paths.index("test/00.png")] = "cat"
    error = refused(workspace, found, max_quarantine_share=0.5)
    assert "39 of 64 files" in str(error)
    found.columns["label"] = [None if path.startswith("test/") else path.split("/")[0] for path in paths]
    del found.columns["given_split"]
    assert "40 of 64 files" in str(refused(workspace, found, max_quarantine_share=0.5))


def test_spellings_are_reported(workspace: Workspace, caplog: pytest.LogCaptureFixture) -> None:
    found = sound("cat", "Cat", "dog")
    found.columns["label_found"] = [path.split("/")[0] + " " * (path == "dog/00.png") for path in sorted(found.files)]
    report, _ = workspace.validate(found)
    assert report.labels == {
        "merged": {"dog": {"'dog'": 11, "'dog '": 1}},
        "similar": [{"Cat": 12, "cat": 12}],
    }
    assert "The classes 'Cat' (12), 'cat' (12) differ in case, spacing or punctuation alone" in caplog.text


def test_one_class_is_refused(workspace: Workspace) -> None:
    error = refused(workspace, sound("cat"))
    assert "1 of 1 classes have 10 usable images or more" in str(error)
    assert "two" in str(error)


def test_a_small_class_can_fail_the_run(workspace: Workspace) -> None:
    found = sound("cat", "dog")
    found.files["rare/1.png"] = encoded(photo(990, 48))
    error = refused(workspace, found, on_small_class="fail")
    assert "'rare' 1" in str(error)
    assert error.story["report"]["small_classes"] == {"rare": 1}


def test_a_critical_expectation_of_the_set_refuses_it(workspace: Workspace) -> None:
    suites = workspace.root / "suites"
    suites.mkdir()
    text = "{type: expect_table_row_count_to_be_between, severity: critical, kwargs: {min_value: 1000}}"
    (suites / "many.yaml").write_text(f"expectations: [{text}]")
    assert "expect_table_row_count_to_be_between" in str(refused(workspace, sound("cat", "dog"), suites=str(suites)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"missing": "drop"}, r"missing is 'drop'"),
        ({"quarantine": ["blurrry"]}, r"did you mean 'blurry'"),
        ({"max_quarantine_share": 1.5}, r"max_quarantine_share is 1\.5"),
        ({"min_side": 0}, r"min_side is 0"),
        ({"max_side": 2}, r"max_side is 2, below min_side"),
        ({"classes": ["cat"]}, r"classes"),
        ({"seconds_per_image": 0.0}, r"seconds_per_image"),
        ({"on_small_class": "ignore"}, r"on_small_class"),
    ],
)
def test_wrong_params_are_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        replace(PARAMS, **changes)
    with pytest.raises(InputError, match=r"^blank_contrast is 0\.9"):
        replace(PARAMS.thresholds, blank_contrast=0.9)


def test_drift_from_the_accepted_set_is_reported(workspace: Workspace) -> None:
    from hallmark.quality.drift import profile

    first, measured = workspace.validate(sound("cat", "dog"))
    assert first.drift == {}
    usable = measured.reset_index().assign(label=lambda table: table["path"].str.split("/").str[0])
    workspace.accepted.write_text(json.dumps(profile(usable)))
    same, _ = workspace.validate(sound("cat", "dog"))
    assert same.drift["classes"]["psi"] == 0.0
    other, _ = workspace.validate(sound("cat", "dog", "fox"))
    assert other.drift["classes"]["new"] == ["fox"]
