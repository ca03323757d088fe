"""The built-in data are what docs/demo-data.md says, the same each time; no stage can reach the truth about them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import grimp
import numpy as np
import pytest
from sklearn.datasets import load_digits

from hallmark.contracts.errors import InputError
from hallmark.images import demo, demo_files
from hallmark.images.decoding import Undecodable, decode, prepare
from hallmark.images.sources import open_source

if TYPE_CHECKING:
    import pandas as pd


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "demo"
    demo.write(path)
    return path


@pytest.fixture(scope="module")
def truth() -> pd.DataFrame:
    return demo.truth()


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_truth_names_every_file_and_no_other(folder: Path, truth: pd.DataFrame) -> None:
    assert sorted(contents(folder)) == truth["path"].tolist()
    counts = truth["fault"].value_counts()
    for fault, number in demo_files.PLANTED.items():
        assert counts[fault] == number, fault
    assert counts["stray"] == 3
    assert counts["variant"] == 9
    faultless = truth[truth["fault"].isin(["", "variant", "label_flip"])]
    assert tuple(faultless["true_label"].value_counts().sort_index()) == demo_files.KEPT
    assert set(truth.loc[truth["fault"].str.endswith("duplicate"), "partner"]) <= set(faultless["path"])


def test_written_alike_again_in_full_or_not_at_all(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    assert demo.write(other) == len(contents(folder))
    first = contents(other)
    assert first == contents(folder)
    (other / "0").rename(tmp_path / "away")
    assert demo.write(other) == len(first)  # over a half of itself
    assert contents(other) == first
    files = list(demo_files.all_files())
    monkeypatch.setattr(demo_files, "all_files", lambda: [*files[:5], None])
    with pytest.raises(AttributeError):
        demo.write(tmp_path / "broken")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["away", "other"]


def test_files_of_someone_else_are_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/me.jpg").write_bytes(b"x")
    with pytest.raises(InputError, match=r"holds files that are not the built-in data, such as 'me\.jpg'"):
        demo.write(tmp_path / "photos")
    assert demo.main([str(tmp_path / "photos")]) == 2
    assert "demo: " in capsys.readouterr().err
    assert demo.main([]) == 2
    assert contents(tmp_path / "photos") == {"me.jpg": hashlib.sha256(b"x").hexdigest()}


def test_exactly_the_listed_files_are_broken(folder: Path, truth: pd.DataFrame) -> None:
    expected = {"empty": "empty_file", "corrupt": "corrupt", "truncated": "truncated", "text": "not_an_image"}
    source = open_source(str(folder))
    faults = truth.set_index("path")["fault"]
    for index, content in source.contents(2**20):
        entry = source.entries[index]
        fault = faults[entry.path]
        assert entry.reasons == (("stray_file",) if fault == "stray" else ())
        try:
            decode(content.data or b"")
            reason = ""
        except Undecodable as error:
            reason = error.reason
        if fault != "stray":
            assert reason == expected.get(fault, ""), entry.path
    quarantined = faults.isin([*expected, "stray", "blank"]).mean()
    assert quarantined < 0.05


def test_the_images_are_scikit_learn_s_digits(folder: Path, truth: pd.DataFrame) -> None:
    bunch = load_digits()
    known = {
        np.rint(image * 255 / 16).astype(np.uint8).tobytes(): str(label)
        for image, label in zip(bunch.images, bunch.target, strict=True)
    }
    whole = truth[truth["fault"].isin(["", "variant", "label_flip", "exact_duplicate", "reencoded_duplicate"])]
    for row in whole.itertuples():
        pixels = prepare((folder / str(row.path)).read_bytes(), 8, 8, 1)
        assert known[pixels.tobytes()] == row.true_label, row.path


def test_duplicates_double_what_they_say(folder: Path, truth: pd.DataFrame) -> None:
    digits = truth[truth["fault"].isin(["", "variant", "label_flip"])]["path"].tolist()
    pixels = np.stack([prepare((folder / path).read_bytes(), 8, 8, 1).ravel() for path in digits]).astype(int)
    for row in truth[truth["fault"].str.endswith("duplicate")].itertuples():
        one, other = ((folder / path).read_bytes() for path in (str(row.path), str(row.partner)))
        assert (one == other) == (row.fault in ("exact_duplicate", "conflicting_duplicate")), row.path
        distances = np.square(pixels - prepare(one, 8, 8, 1).ravel()).sum(axis=1)
        assert digits[int(distances.argmin())] == row.partner, row.path
        assert (distances.min() == 0) == (row.fault != "near_duplicate"), row.path
        same_label = str(row.path).split("/")[0] == str(row.partner).split("/")[0]
        assert same_label == (row.fault != "conflicting_duplicate")


def test_flipped_labels_are_wrong(truth: pd.DataFrame) -> None:
    flipped = truth[truth["fault"] == "label_flip"]
    assert (flipped["label"] != flipped["true_label"]).all()
    rest = truth[~truth["fault"].isin(["label_flip", "conflicting_duplicate", "blank", "foreign", "stray"])]
    assert (rest["label"] == rest["true_label"]).all()


def test_no_stage_can_reach_the_truth() -> None:
    graph = grimp.build_graph("tasks", "hallmark", cache_dir=None)
    assert "hallmark.images.demo" in graph.modules
    assert not graph.find_downstream_modules("hallmark.images.demo")
    assert graph.find_downstream_modules("hallmark.images.demo_files") == {"hallmark.images.demo"}


def test_the_page_about_it_tells_the_counts(truth: pd.DataFrame) -> None:
    page = (Path(demo.__file__).parents[2] / "docs/demo-data.md").read_text(encoding="utf-8")
    for fault, number in demo_files.PLANTED.items():
        assert f"| `{fault}` | {number} |" in page
    assert f"{len(truth):,}".replace(",", " ") in page
    assert ", ".join(map(str, demo_files.KEPT)) in page
