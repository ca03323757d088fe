"""dvc.yaml from the list of stages.

It holds two further stages, which ``hallmark run`` updates as DVC does: ``code`` writes one digest file per stage over
the stage's import closure (:mod:`hallmark.pipeline.closure`), and ``demo`` writes the built-in data.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from hallmark.pipeline.closure import PACKAGES, SUFFIX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hallmark.pipeline.stage import Stage

HEADER = "# Rendered from tasks/__init__.py by `python -m tasks dvcfile`: edit that, not this.\n"
CODE = "code"
DEMO = "demo"
DIGESTS = Path("data") / CODE
DEMO_MODULE = "hallmark.images.demo"


def modules(stages: Sequence[Stage]) -> dict[str, str]:
    """The module of each digest file, by the name of the DVC stage that depends on it."""
    return {DEMO: DEMO_MODULE, **{stage.name: f"tasks.{stage.name}" for stage in stages}}


def digest_file(name: str) -> Path:
    """The digest file of a DVC stage, relative to the root."""
    return DIGESTS / f"{name}{SUFFIX}"


def render(stages: Sequence[Stage]) -> str:
    """The text of dvc.yaml."""
    parts: dict[str, Any] = {
        CODE: {
            "desc": "one digest file a stage over the code it runs on, so that an edit re-runs the stages that use it; "
            "the deps are the installed packages if the workspace holds no code",
            "cmd": "python -m tasks code",
            "deps": list(PACKAGES),
            "outs": [DIGESTS.as_posix()],
        },
        DEMO: {
            "desc": "the built-in data: scikit-learn's digits as image files, with planted faults",
            "cmd": f"python -m {DEMO_MODULE} data/demo",
            "deps": [digest_file(DEMO).as_posix()],
            "outs": ["data/demo"],
        },
    }
    for stage in stages:
        parts[stage.name] = _stage(stage, stages)
    plots: list[Any] = [
        {
            "reports/plots/train/history.csv": {
                "x": "epoch",
                "y": ["train_loss", "val_loss"],
                "y_label": "loss",
                "title": "Learning curves",
            }
        },
        {
            "reports/plots/evaluate/confusion.csv": {
                "x": "predicted",
                "y": "actual",
                "template": "confusion",
                "title": "Confusion on the test set",
            }
        },
        {"reports/plots/evaluate/calibration.csv": {"x": "confidence", "y": "accuracy", "title": "Calibration"}},
    ]
    body = yaml.safe_dump({"stages": parts, "plots": plots}, sort_keys=False, width=120, allow_unicode=True)
    return HEADER + str(body)


def is_current(root: Path, stages: Sequence[Stage]) -> bool:
    """Whether the dvc.yaml of a workspace is the one rendered from these stages."""
    path = root / "dvc.yaml"
    return path.is_file() and path.read_text(encoding="utf-8") == render(stages)


def _stage(stage: Stage, stages: Sequence[Stage]) -> dict[str, Any]:
    """A stage's entry. Its report is no DVC metric, since DVC shows each value of a metrics file as a column."""
    deps = [f"${{{source}}}" for source in stage.sources]
    for keyword in stage.inputs:
        if keyword == "reports":
            earlier = [other for other in stages if other.name != stage.name]
            deps.extend(other.report.as_posix() for other in earlier)
            deps.extend(other.path("plots").as_posix() for other in earlier if "plots" in other.outputs)
        else:
            deps.append(stage.path(keyword).as_posix())
    cached = [stage.path(keyword).as_posix() for keyword in stage.outputs if keyword != "metrics"]
    entry = {
        "cmd": f"python -m tasks {stage.name}",
        "deps": [*deps, digest_file(stage.name).as_posix()],
        "params": [stage.name, *stage.shared],
        "outs": [*cached, {stage.report.as_posix(): {"cache": False}}],
    }
    if "metrics" in stage.outputs:
        entry["metrics"] = [{stage.path("metrics").as_posix(): {"cache": False}}]
    return entry
