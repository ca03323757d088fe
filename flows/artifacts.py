"""A run's artifacts in Prefect's UI: the report, tables, a gate's refusal, the augmentation preview."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from prefect.artifacts import create_image_artifact, create_markdown_artifact, create_table_artifact

from flows import markdown, summary
from hallmark.contracts.runtime import state

if TYPE_CHECKING:
    from pathlib import Path

    from flows.adapters import Run


def publish(run: Run) -> str:
    """Creates a finished run's artifacts. Returns why the model was refused, empty if it was registered."""
    result = summary.read(run.root, run.outcomes)
    create_markdown_artifact(
        key="report", markdown=markdown.report(run.root, result), description="The results of this run."
    )
    create_table_artifact(
        key="stages",
        table=[
            {"stage": name, "state": outcome, "seconds": round(seconds, 1)} for name, outcome, seconds in result.stages
        ],
        description="State and duration of each stage in this run.",
    )
    create_table_artifact(
        key="metrics",
        table=[
            {"metric": name, "value": round(value, 4), "95 % from": round(low, 4), "95 % to": round(high, 4)}
            for name, value, low, high in result.metrics
        ],
        description=f"On the test set of {result.n_test} images.",
    )
    create_markdown_artifact(key="model", markdown=markdown.model(result), description="The promotion gate's decision.")
    preview = run.root / "reports" / "plots" / "augment" / "preview.png"
    if preview.exists():
        picture = base64.b64encode(preview.read_bytes()).decode()
        create_image_artifact(
            key="augmentation", image_url=f"data:image/png;base64,{picture}", description="The augmentation policy."
        )
    return result.refused


def publish_refusals(root: Path) -> None:
    """Creates an artifact for each gate's refusal in the workspace."""
    for path in sorted((state(root) / "refusals").glob("*/story.json")):
        story = json.loads(path.read_text(encoding="utf-8"))
        create_markdown_artifact(
            key="refusal",
            markdown=markdown.refusal(story, path.parent),
            description=f"Why stage {story['stage']} refused, and what to do.",
        )
