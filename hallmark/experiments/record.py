"""data/ablation.json: results of the last ablation, kept in Git and read by the report; ``{}`` before the first.

It holds a digest of train's inputs, so that the report can tell when data or plans have changed since.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hallmark.contracts import digests, durable
from hallmark.contracts.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

INPUTS = (
    "ingest/manifest.parquet",
    "split/split.parquet",
    "clean/decisions.parquet",
    "balance/plan.parquet",
    "balance/plan.json",
    "augment/policy.json",
    "synthesize/manifest.parquet",
)
KEYS = ("objective", "n_judged", "seeds", "inputs", "findings", "refused")


def inputs_digest(folders: Mapping[str, Path]) -> str:
    """16 hexadecimal digits of the tables that train reads; ``folders`` by stage."""
    total = hashlib.sha256()
    for name in INPUTS:
        stage, _, file = name.partition("/")
        total.update(f"{name}={digests.of_file(folders[stage] / file)}\x1f".encode())
    return total.hexdigest()[:16]


def write(
    path: Path,
    *,
    objective: str,
    n_judged: int,
    seeds: Sequence[int],
    findings: Sequence[Any],
    refused: Mapping[str, str],
    folders: Mapping[str, Path],
) -> None:
    """Writes the findings of an ablation whose inputs of train lie in ``folders``."""
    content = {
        "objective": objective,
        "n_judged": n_judged,
        "seeds": list(seeds),
        "inputs": inputs_digest(folders),
        "findings": [asdict(finding) | {"cost": round(finding.cost, 1)} for finding in findings],
        "refused": dict(refused),
    }
    durable.write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read(path: Path) -> dict[str, Any]:
    """The content of the file, empty before the first ablation. Raises InputError."""
    remedy = "restore it from Git, run hallmark ablate again, or write {} into it"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"data/ablation.json is not JSON ({error})", remedy=remedy) from error
    if content != {} and (not isinstance(content, dict) or set(content) != set(KEYS)):
        raise InputError("data/ablation.json was not written by hallmark ablate", remedy=remedy)
    result: dict[str, Any] = content
    return result
