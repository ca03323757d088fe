"""A run's data set in MLflow's form: name, digest, source, and a profile with the numbers of images."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from hallmark.contracts import digests

if TYPE_CHECKING:
    from collections.abc import Mapping

TRAINING, EVALUATION = "training", "evaluation"
_DIGEST = 36  # characters of a digest, MLflow's limit
_PROFILE = 16_000  # characters of a profile that every store accepts


def workspace_of(ingest: Path) -> Path:
    """The workspace that holds ``data/ingest``, which a trial's folder links to."""
    return ingest.resolve().parents[1]


def source_of(root: Path) -> str:
    """``ingest.source`` of params.yaml, "" if it has none."""
    path = root / "params.yaml"
    if not path.is_file():
        return ""
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    section = values.get("ingest") if isinstance(values, dict) else None
    return str(section.get("source") or "") if isinstance(section, dict) else ""


def describe(files: list[Path], *, source: str, profile: Mapping[str, object], part: str = "") -> dict[str, str]:
    """The data set for :func:`hallmark.tracking.delivery.log_dataset`. The digest covers the bytes of ``files``.

    The name is the last part of ``source``, followed by ``part`` in parentheses.
    """
    total = hashlib.sha256()
    for file in files:
        total.update(bytes.fromhex(digests.of_file(file)))
    name = Path(source).name or "images"
    text = json.dumps(profile, ensure_ascii=False)
    return {
        "name": f"{name} ({part})" if part else name,
        "digest": total.hexdigest()[:_DIGEST],
        "source_type": "local",
        "source": json.dumps({"uri": source}, ensure_ascii=False),
        "schema": json.dumps({"mlflow_colspec": [_column("image", "binary"), _column("label", "string")]}),
        "profile": text if len(text) <= _PROFILE else json.dumps({"classes": "too many to list"}),
    }


def _column(name: str, kind: str) -> dict[str, object]:
    return {"type": kind, "name": name, "required": True}
