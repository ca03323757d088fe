"""dvc.yaml from the list of stages; the code each stage depends on comes from the import graph."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hallmark.pipeline.stage import Stage

HEADER = "# Rendered from tasks/__init__.py and the import graph by `python -m tasks dvcfile`: edit those, not this.\n"
DEMO = "hallmark.images.demo"


def code_of(graph: Any, module: str, root: Path) -> list[str]:
    """The files, relative to the root, of a module and all it imports, directly or not, that are not mere packages."""
    modules = {module, *graph.find_upstream_modules(module)}
    files = []
    for name in sorted(modules):
        path = Path(*name.split(".")).with_suffix(".py")
        if (root / path).exists():
            files.append(path.as_posix())
            files.extend(_templates(root, path))
    return sorted(set(files))


def _templates(root: Path, module: Path) -> list[str]:
    """Templates a module renders from lie beside it, in a folder named templates."""
    folder = module.parent / "templates"
    return sorted(path.relative_to(root).as_posix() for path in (root / folder).glob("*") if path.is_file())


def render(stages: Sequence[Stage], root: Path) -> str:
    """The text of dvc.yaml."""
    import grimp

    graph = grimp.build_graph("tasks", "hallmark", cache_dir=None, exclude_type_checking_imports=True)
    parts: dict[str, Any] = {
        "demo": {
            "desc": "the built-in data: scikit-learn's digits as image files, with planted faults",
            "cmd": f"python -m {DEMO} data/demo",
            "deps": code_of(graph, DEMO, root),
            "outs": ["data/demo"],
        }
    }
    for stage in stages:
        parts[stage.name] = _stage(stage, stages, code_of(graph, f"tasks.{stage.name}", root))
    plots: list[Any] = [
        {
            "reports/plots/train/history.csv": {
                "x": "epoch",
                "y": ["train_loss", "val_loss"],
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


def _stage(stage: Stage, stages: Sequence[Stage], code: list[str]) -> dict[str, Any]:
    data = [f"${{{source}}}" for source in stage.sources]
    for keyword in stage.inputs:
        if keyword == "reports":
            earlier = [other for other in stages if other.name != stage.name]
            data.extend(other.report.as_posix() for other in earlier)
            data.extend(other.place("plots").as_posix() for other in earlier if "plots" in other.outputs)
        else:
            data.append(stage.place(keyword).as_posix())
    return {
        "cmd": f"python -m tasks {stage.name}",
        "deps": [*data, *code],
        "params": [stage.name, *stage.shared],
        "outs": [stage.place(keyword).as_posix() for keyword in stage.outputs],
        "metrics": [{stage.report.as_posix(): {"cache": False}}],
    }
