"""Compares a model with the champion of its name, on the predictions stored with the champion."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from hallmark.contracts.tables import CLUSTERS, read_table
from hallmark.judgement import gate
from hallmark.judgement.judged import Judged
from hallmark.tracking import registry, version_files

if TYPE_CHECKING:
    from hallmark.judgement.gate import Comparison
    from hallmark.judgement.objective import Objective
    from hallmark.tracking.lookup import Version


def against(
    champion: Version | None,
    judged: Judged,
    *,
    name: str,
    objective: Objective,
    min_gain: float,
    confidence: float,
    replicates: int,
    seed: int,
) -> tuple[str, str, Comparison | None]:
    """The decision, its reason, and the underlying comparison; ``name`` is the registered model's."""
    if champion is None:
        return gate.PROMOTED, "it passed the gate, and there is no other champion", None
    with tempfile.TemporaryDirectory() as scratch:
        predictions = version_files.file_of(name, champion, registry.PREDICTIONS, Path(scratch))
        description = version_files.file_of(name, champion, f"{registry.PACKAGE}/model.json", Path(scratch))
        if predictions is None or description is None:
            reason = (
                f"champion version {champion.number} has no stored predictions; move the alias by hand to replace it"
            )
            return gate.CHALLENGER, reason, None
        clusters_path = version_files.file_of(name, champion, registry.CLUSTERS, Path(scratch))
        clusters = None if clusters_path is None else read_table(clusters_path, CLUSTERS)
        classes = json.loads(description.read_text(encoding="utf-8"))["classes"]
        rival = Judged.read(pd.read_parquet(predictions), clusters, classes)
    comparison = gate.compare(objective, judged, rival, replicates=replicates, seed=seed)
    if comparison is None:
        reason = f"champion version {champion.number} has other classes; move the alias by hand to replace it"
        return gate.CHALLENGER, reason, None
    decision, reason = gate.decide(comparison, version=champion.number, min_gain=min_gain, confidence=confidence)
    return decision, reason, comparison
