"""What a person sees of a run in Prefect's UI: tables, a picture, links."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from flows import summary

if TYPE_CHECKING:
    from flows.adapters import Run


def publish(run: Run) -> str:
    """Creates the run's artifacts; the reason why the model was refused, empty if it was taken."""
    result = summary.read(run.root, run.outcomes)
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
    words = f"Refused: {result.refused}" if result.refused else f"`{result.model_uri}` (version {result.version})"
    create_markdown_artifact(
        key="model",
        markdown=f"# {result.decision}\n\n{words}\n\nLook at it in MLflow: `{summary.tracking_command()}`\n",
    )
    create_link_artifact(
        key="report", link=(run.root / "reports" / "index.html").resolve().as_uri(), link_text="reports/index.html"
    )
    preview = run.root / "reports" / "plots" / "augment" / "preview.png"
    if preview.exists():
        picture = base64.b64encode(preview.read_bytes()).decode()
        create_image_artifact(
            key="augmentation", image_url=f"data:image/png;base64,{picture}", description="The augmentation policy."
        )
    return result.refused
