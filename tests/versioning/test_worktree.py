"""A light copy of a workspace sees what params.yaml names, wherever in the workspace it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hallmark.versioning import worktree
from tasks import STAGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Clone


@pytest.mark.parametrize(
    "place", ["predictions/out_of_fold.parquet", ".hallmark/experiments/crossval/out_of_fold.parquet"]
)
def test_a_watched_file_is_linked(clone: Callable[..., Clone], place: str) -> None:
    root = clone("whole", f"clean.out_of_fold={place}").root
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).write_text("predictions")
    copy = root / ".hallmark" / "copy"
    worktree.make(root, copy, params=(root / "params.yaml").read_text(), stages=STAGES, links=())
    assert (copy / place).read_text() == "predictions"
    assert (copy / ".hallmark" / "cache").resolve() == root / ".hallmark" / "cache"


def test_the_digests_of_code_are_copied_of_the_stages_that_run(clone: Callable[..., Clone]) -> None:
    root = clone("whole").root
    folder = root / "data" / "code"
    folder.mkdir()
    for stage in STAGES:
        (folder / f"{stage.name}.sha256").write_text(stage.name)
    copy = root / ".hallmark" / "copy"
    worktree.make(root, copy, params=(root / "params.yaml").read_text(), stages=STAGES[:3], links=())
    assert {path.name: path.read_text() for path in (copy / "data" / "code").iterdir()} == {
        f"{stage.name}.sha256": stage.name for stage in STAGES[:3]
    }
