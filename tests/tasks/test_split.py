from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from hallmark.contracts.errors import GateRefused, InputError
from hallmark.contracts.names import SPLITS
from hallmark.contracts.tables import SPLIT, read_table
from hallmark.splitting import stability
from tasks import split
from tests.quality.made_source import encoded, picture, write_source

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


def params(**changed: Any) -> split.Params:
    near = split.NearDuplicates(hash_distance=8, max_residual=0.12, align_from=24)
    values = {"seed": 1, "val": 0.2, "test": 0.1, "stability": "hash", "on_leak": "move", "cover_small_classes": False}
    return split.Params(**{**values, "near_duplicates": near, **changed})


def brighter(number: int) -> bytes:
    return encoded(np.clip(picture(number) * 1.06, 0, 255).astype(np.uint8))


def items(count: int = 60) -> list[dict[str, Any]]:
    plain = [
        {"path": f"{'ab'[n % 2]}/{n:03}.png", "label": "ab"[n % 2], "data": encoded(picture(n))} for n in range(count)
    ]
    return [
        *plain,
        {"path": "a/copy of 000.bmp", "label": "a", "data": encoded(picture(0), "BMP")},
        {"path": "a/bright 002.png", "label": "a", "data": brighter(2)},
        {"path": "a/conflict 001.png", "label": "a", "data": encoded(picture(1))},
        {"path": "a/broken.png", "label": "a", "data": b"no image"},
    ]


def execute(root: Path, rows: list[dict[str, Any]], **changed: Any) -> tuple[pd.DataFrame, split.Report]:
    ingest, validate = write_source(root, rows)
    out = root / "split"
    out.mkdir()
    report = split.run(params(**changed), ingest=ingest, validate=validate, split=out)
    return read_table(out / "split.parquet", SPLIT).set_index("path"), report


def test_copies_stay_together_and_carry_reasons(tmp_path: Path) -> None:
    table, report = execute(tmp_path, items())
    assert "a/broken.png" not in table.index
    for copy, original, reason in (
        ("a/copy of 000.bmp", "a/000.png", "exact_duplicate"),
        ("a/bright 002.png", "a/002.png", "near_duplicate"),
    ):
        pair = table.loc[[original, copy]]
        assert pair["split"].nunique() == pair["cluster"].nunique() == 1
        assert pair["cluster"].iloc[0] == min(copy, original)
        assert pair["representative"].tolist() == [True, False] or pair["representative"].tolist() == [False, True]
        assert sorted(pair["reasons"]) == ["", reason]
    conflict = table.loc[["b/001.png", "a/conflict 001.png"], "reasons"]
    assert conflict.str.contains("conflicting_duplicate").all()
    assert report.clusters["exact_clusters"] == 2
    assert report.clusters["near_clusters"] == 1
    assert report.clusters["conflicting_clusters"] == 1
    assert report.n_images == len(table) == sum(report.counts.values())
    assert table.groupby("cluster")["representative"].sum().eq(1).all()
    assert (table["cluster_size"] == table.groupby("cluster")["split"].transform("size")).all()


def test_groups_stay_whole(tmp_path: Path) -> None:
    rows = [{**row, "group": f"camera {number % 15}"} for number, row in enumerate(items(90))]
    table, report = execute(tmp_path, rows)
    assert table.groupby("group")["split"].nunique().eq(1).all()
    assert report.n_groups == 15
    assert len(set(table["split"])) == 3


def test_adding_images_moves_none_from_test_into_train(tmp_path: Path) -> None:
    before, _ = execute(tmp_path / "before", items(60))
    after, _ = execute(tmp_path / "after", items(90))
    both = before.join(after[["split"]].add_suffix("_after"))
    assert not ((both["split"] == "test") & (both["split_after"] == "train")).any()
    assert (both["split"] == both["split_after"]).mean() > 0.8


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for number, workers in enumerate(("1", "3")):
        monkeypatch.setenv("HALLMARK_WORKERS", workers)
        execute(tmp_path / str(number), items())
        found.append((tmp_path / str(number) / "split" / "split.parquet").read_bytes())
    assert found[0] == found[1]


def leaking() -> list[dict[str, Any]]:
    given = {"a/000.png": "train", "a/copy of 000.bmp": "test"}
    return [
        {**row, "given_split": given.get(row["path"], ("train", "val", "test")[n % 3])} for n, row in enumerate(items())
    ]


def test_a_leak_stops_where_wanted(tmp_path: Path) -> None:
    with pytest.raises(GateRefused, match=r"copies of images in another given split.*split\.on_leak") as refusal:
        execute(tmp_path, leaking(), on_leak="fail")
    assert {"a/000.png", "a/copy of 000.bmp"} <= {row["path"] for row in refusal.value.story["leaking"]}


def test_a_leak_is_moved_to_the_most_held_out_split(tmp_path: Path) -> None:
    table, report = execute(tmp_path, leaking(), on_leak="move")
    assert table.loc[["a/000.png", "a/copy of 000.bmp"], "split"].tolist() == ["test", "test"]
    leak = table["reasons"].str.contains("split_leak")
    assert leak[["a/000.png", "a/copy of 000.bmp"]].tolist() == [True, False]
    assert report.given["moved_images"] == table["reasons"].str.contains("split_leak").sum() > 0


def test_a_leak_is_only_reported_where_wanted(tmp_path: Path) -> None:
    table, report = execute(tmp_path, leaking(), on_leak="report")
    pair = table.loc[["a/000.png", "a/copy of 000.bmp"]]
    assert pair["split"].tolist() == ["train", "test"]
    assert pair["reasons"].str.contains("split_leak").all()
    # the held-out copy stands for the cluster, so that it is the training copy that can be removed
    assert pair["representative"].tolist() == [False, True]
    assert report.given["moved_images"] == 0


def test_no_usable_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GateRefused, match="no usable image"):
        execute(tmp_path, [{"path": "a/1.png", "label": "a", "data": b"x"}])


def test_one_image_is_split(tmp_path: Path) -> None:
    table, _ = execute(tmp_path, [{"path": "a/1.png", "label": "a", "data": encoded(picture(0))}])
    assert len(table) == 1


def test_larger_copies_represent_smaller_ones(tmp_path: Path) -> None:
    small = io.BytesIO()
    Image.fromarray(picture(0)).resize((48, 48)).save(small, "PNG")
    rows = [
        {"path": "a/0 small.png", "label": "a", "data": small.getvalue()},
        {"path": "a/1 large.png", "label": "a", "data": encoded(picture(0))},
    ]
    table, _ = execute(tmp_path, rows)
    assert table["representative"].tolist() == [False, True]


def test_small_sets_are_split_exactly_unless_told_otherwise(tmp_path: Path) -> None:
    # 60 images of two classes and three copies of them: each class is within an image of its shares
    table, report = execute(tmp_path / "auto", items(), stability="auto")
    assert report.stability == "exact"
    for counts in report.per_class.values():
        n = sum(counts.values())
        assert max(abs(counts[name] - share * n) for name, share in zip(SPLITS, (0.7, 0.2, 0.1), strict=True)) < 1
    assert table.groupby("cluster")["split"].nunique().eq(1).all()
    _, stable = execute(tmp_path / "hash", items(), stability="hash")
    assert stable.stability == "hash"
    assert stable.per_class != report.per_class


def test_the_limit_of_auto_counts_usable_images(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # 63 of the 64 files are usable
    monkeypatch.setattr(stability, "SMALL", 63)
    assert execute(tmp_path / "at", items(), stability="auto")[1].stability == "hash"
    monkeypatch.setattr(stability, "SMALL", 64)
    assert execute(tmp_path / "below", items(), stability="auto")[1].stability == "exact"


def test_few_groups_are_refused_or_warned_about_with_the_number_needed(tmp_path: Path) -> None:
    rows = [row for row in items(60) if row["path"][2:5].isdigit()]
    for number, row in enumerate(rows):
        row["group"] = f"patient {number % 2}"
    with pytest.raises(GateRefused, match=r"2 groups.*at least 1 more groups") as refusal:
        execute(tmp_path / "two", rows, stability="exact")
    assert "too few for 3 splits" in str(refusal.value)
    for number, row in enumerate(rows):
        row["group"] = f"patient {number // 2 % 6}"
    table, report = execute(tmp_path / "six", rows, stability="exact")
    assert report.counts == {"train": 40, "val": 10, "test": 10}
    assert table.groupby("group")["split"].nunique().eq(1).all()
    assert len(report.warnings) == 1
    assert "holds 1 of 6 groups (17% of the images)" in report.warnings[0]
    assert "About 50 groups" in report.warnings[0]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"val": 0.6}, r"val is 0\.6"),
        ({"val": 0.5, "test": 0.5}, r"val \+ test is 1"),
        ({"stability": "exactly"}, r"stability is 'exactly'.*did you mean 'exact'"),
        ({"on_leak": "mov"}, r"on_leak is 'mov'.*did you mean 'move'"),
    ],
)
def test_params_are_checked(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        params(**changed)
