"""The model card of a version, as Markdown: training data, metrics, usage and limits.

>>> estimate = {"value": 0.975, "ci95": [0.949, 0.994]}
>>> values({"n_test": 159, "accuracy": estimate, "per_class": {"cat": {"recall": estimate}}})["test_accuracy_ci_low"]
0.949
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FIGURES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "log_loss": "log loss",
    "ece": "expected calibration error",
}
_LONGEST = 4_900  # characters: MLflow's column has 5 000
_CLASSES = 30  # listed by name


@dataclass(frozen=True, kw_only=True)
class Card:
    """The content of a version's description. ``figures`` is evaluate's figures.json, ``model`` train's model.json.

    ``data`` are lines that describe the data; ``decision`` and ``reasons`` come from register.
    """

    name: str
    figures: Mapping[str, Any]
    model: Mapping[str, Any]
    data: Sequence[str]
    decision: str
    reasons: Sequence[str]

    def version(self, number: int) -> str:
        """The description of version ``number``."""
        shape, classes = self.model["input"], self.model["classes"]
        lines = [
            f"**{self.decision}** at registration: {'; '.join(self.reasons)}.",
            "",
            f"Classifies an image as one of {len(classes)} classes: {_listed(classes)}. Network: {self.model['name']}; "
            f"input {shape['height']} × {shape['width']} pixels, {'colour' if shape['channels'] == 3 else 'grey'}.",
            "",
            "### Data",
            *(f"- {line}" for line in self.data),
            "",
            f"### Figures on {self.figures.get('n_test', 0)} test images (95 % interval)",
            "| figure | value | interval |",
            "|---|---|---|",
            *(_row(words, self.figures[name]) for name, words in FIGURES.items() if name in self.figures),
            *_worst(self.figures),
            "",
            *_calls(self.name, f"/{number}"),
            "",
            "### Limits",
            f"- It knows only these {len(classes)} classes and assigns one of them to any image.",
            "- The figures hold for images like those of the data set; with other cameras or subjects it may do worse.",
            *(f"- {warning}" for warning in self.figures.get("warnings", ())),
        ]
        return _cut("\n".join(lines))

    def registered(self) -> str:
        """The description of the registered model, shared by all versions."""
        classes = self.model["classes"]
        lines = [
            f"Classifies images as one of {len(classes)} classes: {_listed(classes)}.",
            "",
            "The alias `champion` is the version that won its comparisons, `challenger` the newest that did not. Each "
            "version's page lists its data, figures and limits.",
            "",
            *_calls(self.name, "@champion"),
        ]
        return _cut("\n".join(lines))


def values(figures: Mapping[str, Any]) -> dict[str, float]:
    """The figures as metrics: ``test_accuracy``, ``test_accuracy_ci_low``, ``test_accuracy_ci_high`` and so on."""
    metrics: dict[str, float] = {"test_images": float(figures.get("n_test", 0))}
    for name in FIGURES:
        _put(metrics, f"test_{name}", figures.get(name))
    if figures.get("auroc") is not None:
        metrics["test_auroc"] = float(figures["auroc"])
    objective = figures.get("objective") or {}
    if objective.get("metric") in ("recall", "cost"):
        _put(metrics, f"test_{objective['metric']}", objective)
    worst = _worst_class(figures)
    if worst is not None:
        _put(metrics, "test_worst_recall", worst[1])
    return metrics


def fingerprint(text: str) -> str:
    """A fingerprint of a description; it tells whether a person has changed the text since."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _put(metrics: dict[str, float], name: str, estimate: Mapping[str, Any] | None) -> None:
    if estimate is None or estimate.get("value") is None:
        return
    interval = estimate.get("ci95") or (None, None)
    parts = {"": estimate["value"], "_ci_low": interval[0], "_ci_high": interval[1]}
    metrics.update({f"{name}{part}": float(value) for part, value in parts.items() if _is_number(value)})


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _worst_class(figures: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    recalls = {name: row["recall"] for name, row in figures.get("per_class", {}).items() if row.get("recall")}
    recalls = {name: recall for name, recall in recalls.items() if recall.get("value") is not None}
    return min(recalls.items(), key=lambda item: (item[1]["value"], item[0]), default=None)


def _worst(figures: Mapping[str, Any]) -> list[str]:
    worst = _worst_class(figures)
    return [] if worst is None else [_row(f"recall of the worst class, {_plain(worst[0])}", worst[1])]


def _row(words: str, estimate: Mapping[str, Any]) -> str:
    if estimate.get("value") is None:
        return f"| {words} | not defined | |"
    interval = estimate.get("ci95") or (None, None)
    interval_text = f"{interval[0]:.3f} to {interval[1]:.3f}" if all(map(_is_number, interval)) else ""
    return f"| {words} | {estimate['value']:.3f} | {interval_text} |"


def _calls(name: str, which: str) -> list[str]:
    return [
        "### Calling it",
        "```python",
        "import mlflow, pandas as pd",
        f'model = mlflow.pyfunc.load_model("models:/{name}{which}")',
        'model.predict(pd.DataFrame({"image": [open("image.png", "rb").read()]}))',
        "```",
        "It returns a row per image: `label`, `probability_<class>` and `error`, which is empty unless the image is "
        f"unreadable. To serve it: `mlflow models serve -m 'models:/{name}{which}' --env-manager local`.",
    ]


def _listed(classes: Sequence[str]) -> str:
    listed = ", ".join(f"`{_plain(name)}`" for name in classes[:_CLASSES])
    return listed if len(classes) <= _CLASSES else f"{listed} and {len(classes) - _CLASSES} more"


def _plain(name: str) -> str:
    """A class name without characters that break a Markdown table or code span."""
    return "".join(" " if letter in "`|\n\r" else letter for letter in name)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
