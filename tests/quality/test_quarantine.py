from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pytest

from hallmark.contracts.errors import InputError
from hallmark.contracts.tables import LEDGER, MANIFEST, conform, write_table
from hallmark.images import shards
from hallmark.quality.quarantine import save_quarantined

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"../out/b.png": b"\x89broken", "cat/a.png": b"sound", "cat/c.png": b"cut", "dog/c.png": b""}
FATES = {
    "../out/b.png": ("quarantined", "corrupt"),
    "cat/a.png": ("kept", ""),
    "cat/c.png": ("quarantined", "truncated;blurry"),
    "dog/c.png": ("quarantined", "unreadable_file"),
}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    ingest = root / "data" / "ingest"
    ingest.mkdir(parents=True)
    (root / "reports").mkdir()
    stored = [path for path in sorted(FILES) if path != "dog/c.png"]
    places = dict(zip(stored, shards.write(ingest, [(path, FILES[path]) for path in stored]), strict=True))
    frame = pd.DataFrame({"path": sorted(FILES)}).assign(**{name: "" for name in MANIFEST if name != "path"})
    frame["size"] = 0
    frame["shard"] = [places[path].shard if path in places else -1 for path in frame["path"]]
    frame["row"] = [places[path].row if path in places else -1 for path in frame["path"]]
    write_table(frame, MANIFEST, ingest / "manifest.parquet")
    ledger = pd.DataFrame([{"path": path, "fate": fate, "reasons": why} for path, (fate, why) in FATES.items()])
    ledger = ledger.assign(**{name: "" for name in LEDGER if name not in ledger.columns})
    conform(ledger, LEDGER).to_csv(root / "reports" / "ledger.csv", index=False)
    return root


def test_the_original_bytes_of_what_was_quarantined_can_be_had_back(workspace: Path, tmp_path: Path) -> None:
    out = tmp_path / "back"
    assert save_quarantined(workspace, out) == (2, ["dog/c.png"])
    files = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert files == {"corrupt/__/out/b.png": FILES["../out/b.png"], "truncated/cat/c.png": FILES["cat/c.png"]}
    with pytest.raises(InputError, match="no empty folder"):
        save_quarantined(workspace, out)


def test_without_a_ledger_there_is_nothing_to_give_back(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="hallmark run"):
        save_quarantined(tmp_path, tmp_path / "back")
