"""What a person sees of a run in Prefect's page: tables, the report, a gate's refusal, a picture."""

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
    """Creates the artifacts of a finished run; the reason why the model was refused, empty if it was taken."""
    result = summary.read(run.root, run.outcomes)
    create_markdown_artifact(
        key="report", markdown=markdown.report(run.root, result), description="What came out of this run."
    )
    create_table_artifact(
        key="stages",
        table=[
            {"stage": name, "state": outcome, "seconds": round(seconds, 1)} for name, outcome, seconds in result.stages
        ],
        description="What each stage did in this run.",
    )
    create_table_artifact(
        key="metrics",
        table=[
            {"metric": name, "value": round(value, 4), "95 % from": round(low, 4), "95 % to": round(high, 4)}
            for name, value, low, high in result.metrics
        ],
        description=f"On the test set of {result.n_test} images.",
    )
    create_markdown_artifact(
        key="model", markdown=markdown.model(result), description="What the registry's gate decided."
    )
    preview = run.root / "reports" / "plots" / "augment" / "preview.png"
    if preview.exists():
        picture = base64.b64encode(preview.read_bytes()).decode()
        create_image_artifact(
            key="augmentation", image_url=f"data:image/png;base64,{picture}", description="The augmentation policy."
        )
    return result.refused


def publish_refusals(root: Path) -> None:
    """Creates an artifact of each gate's refusal that stands in the workspace."""
    for path in sorted((state(root) / "refusals").glob("*/story.json")):
        story = json.loads(path.read_text(encoding="utf-8"))
        create_markdown_artifact(
            key="refusal",
            markdown=markdown.refusal(story, path.parent),
            description=f"Why the stage {story['stage']} refused, and what to do.",
        )
