"""A light copy of a workspace links to every path that params.yaml names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hallmark.versioning import worktree
from tasks import STAGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Clone


@pytest.mark.parametrize(
    "path", ["predictions/out_of_fold.parquet", ".hallmark/experiments/crossval/out_of_fold.parquet"]
)
def test_a_watched_file_is_linked(clone: Callable[..., Clone], path: str) -> None:
    root = clone("whole", f"clean.out_of_fold={path}").root
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text("predictions")
    copy = root / ".hallmark" / "copy"
    worktree.make(root, copy, params=(root / "params.yaml").read_text(), stages=STAGES, links=())
    assert (copy / path).read_text() == "predictions"
    assert (copy / ".hallmark" / "cache").resolve() == root / ".hallmark" / "cache"


def test_code_digests_are_copied_for_the_stages_that_run(clone: Callable[..., Clone]) -> None:
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
