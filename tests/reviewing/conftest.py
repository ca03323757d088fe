"""A small workspace after the stages up to clean, with one suspect of each kind."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hallmark.contracts.tables import DECISIONS, SPLIT, read_table, write_table
from tasks import clean, split
from tests.quality.made_source import encoded, picture, write_source
from tests.tasks.test_clean import HEADER
from tests.tasks.test_clean import params as clean_params
from tests.tasks.test_split import params as split_params

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def workspace(cleaned: Path, tmp_path: Path) -> Path:
    """A copy of ``cleaned`` that a test may change."""
    return shutil.copytree(cleaned, tmp_path / "workspace")


@pytest.fixture(scope="session")
def cleaned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 images of each of two classes, ``cat`` and ``dog & co``, and among them:

    ``a/conflict`` and ``b/conflict`` (one picture), ``a/copy`` (of ``a/00``), ``a/strange`` (an outlier), ``a/wrong``
    and ``a/doubtful`` (labels), ``a/dark`` (flagged), ``a/blank`` (quarantined), ``a/broken`` and ``notes`` (none).
    """
    rows: list[dict[str, Any]] = [
        {"path": f"{folder}/{n:02d}.png", "label": label, "data": encoded(picture(n + 100 * start))}
        for start, (folder, label) in enumerate((("a", "cat"), ("b", "dog & co")))
        for n in range(12)
    ]
    rows += [{"path": "a/conflict.png", "label": "cat", "data": encoded(picture(500))}]
    rows += [{"path": "b/conflict.png", "label": "dog & co", "data": encoded(picture(500))}]
    rows += [{"path": "a/copy.png", "label": "cat", "data": encoded(picture(0))}]
    rows += [
        {"path": f"a/{name}.png", "label": "cat", "data": encoded(picture(600 + number))}
        for number, name in enumerate(("strange", "wrong", "doubtful"))
    ]
    rows += [{"path": "a/dark.png", "label": "cat", "data": encoded(picture(700) // 8), "reasons": "too_dark"}]
    blank = {"reasons": "blank", "quarantined": True}
    rows += [{"path": "a/blank.png", "label": "cat", "data": encoded(np.zeros((9, 9, 3), np.uint8)), **blank}]
    rows += [{"path": "a/broken.png", "label": "cat", "data": encoded(picture(3))[:200]}]
    stray = {"reasons": "stray_file", "ingest_reasons": "stray_file", "quarantined": True}
    rows += [{"path": "notes.png", "label": None, "data": encoded(picture(800)), **stray}]

    root = tmp_path_factory.mktemp("review")
    data = root / "data"
    ingest, validate = write_source(data, rows)
    for name in ("split", "clean"):
        (data / name).mkdir()
    (root / "reports").mkdir()
    (data / "review.csv").write_text(HEADER + "\n")
    split.run(split_params(), ingest=ingest, validate=validate, split=data / "split")
    table = read_table(data / "split" / "split.parquet", SPLIT)
    table["split"] = "train"
    write_table(table, SPLIT, data / "split" / "split.parquet")
    clean.run(
        clean_params(),
        ingest=ingest,
        validate=validate,
        split=data / "split",
        review=data / "review.csv",
        clean=data / "clean",
        ledger=root / "reports" / "ledger.csv",
    )
    _detect(data / "clean" / "decisions.parquet")
    return root


def _detect(path: Path) -> None:
    """Adds findings, because the detectors stay off on so few images."""
    table = read_table(path, DECISIONS)
    for name, reason in (("strange", "outlier"), ("wrong", "label_issue"), ("doubtful", "label_issue")):
        row = table["path"] == f"a/{name}.png"
        for column, value in {"fate": "removed", "stage": "clean", "reasons": reason}.items():
            table.loc[row, column] = value
        if reason == "outlier":
            table.loc[row, "outlier_score"] = 2.0
        else:
            table.loc[row, "label_quality"] = 0.02 if name == "wrong" else 0.3
        table.loc[row, "suggested_label"] = "dog & co"
    write_table(table, DECISIONS, path)
