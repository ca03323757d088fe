"""DVC's run cache, from which a stage that ran before on the same inputs is restored, kept whole under ``dvc repro``.

DVC leaves out of it, silently, every stage with an output outside its cache that is no metric and no plot. Our reports
are such outputs: Git keeps them, and as metrics they would be hundreds of columns of ``dvc exp show``.
"""

from __future__ import annotations

import os
from pathlib import Path


def complete(root: Path) -> list[str]:
    """Enters the stages that dvc.lock records, where their reports are still those of the record; the names entered.

    ``root`` has to be the working directory, for DVC looks there.
    DVC's lock is not needed: nothing is changed but the cache, where entries are named by content and appear by rename.
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
