"""Completes DVC's run cache under ``dvc repro``, so that stages with earlier inputs are restored, not rerun.

DVC silently omits every stage with an uncached output that is neither a metric nor a plot. Our reports are such
outputs: Git keeps them, and as metrics they would add hundreds of columns to ``dvc exp show``.
"""

from __future__ import annotations

import os
from pathlib import Path


def complete(root: Path) -> list[str]:
    """Adds the stages in dvc.lock whose reports still match it to the run cache; returns their names.

    ``root`` must be the working directory, where DVC looks. Needs no DVC lock: it changes only the cache, whose entries
    are named by content and appear by rename.
    """
    os.environ.setdefault("DVC_NO_ANALYTICS", "1")
    from dvc.repo import Repo
    from dvc.stage.cache import _get_cache_hash
    from dvc.stage.serialize import to_single_stage_lockfile

    repo = Repo(str(root))
    entered = []
    for stage in repo.index.stages:
        if not stage.cmd or not all(each.hash_info for each in (*stage.deps, *stage.outs)):
            continue
        key = _get_cache_hash(to_single_stage_lockfile(stage), key=True)
        if Path(repo.stage_cache.cache_dir, key[:2], key).exists():
            continue
        if any(not out.exists or out.changed_checksum() for out in stage.outs if not out.use_cache):
            continue
        repo.stage_cache.save(stage)
        entered.append(stage.name)
    return entered
