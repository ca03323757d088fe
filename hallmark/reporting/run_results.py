"""The results of a run as Python values: figures, files, ledger, predictions, and HTML for notebooks."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hallmark.contracts.errors import InputError
from hallmark.contracts.names import FATES

if TYPE_CHECKING:
    import pandas as pd

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece")
CARD = Path(__file__).with_suffix(".html")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Run:
    """The results of the last run of a workspace, as they were when this object was created.

    In a notebook a run shows its decision, figures and files; :meth:`show` shows the whole report.
    """

    #: the workspace's folder
    workspace: Path
    #: ``promoted`` to champion, ``challenger``, or ``refused`` by the promotion gate
    decision: str
    #: why the model is a challenger or refused
    reasons: tuple[str, ...]
    #: the registered version, such as ``models:/hallmark/3``; None for a refused model
    model_uri: str | None
    #: images of the test set
    n_test: int
    #: by metric: ``value``, and ``low`` and ``high`` of its 95 % interval, on the test set
    figures: pd.DataFrame
    #: files of the source: one row per class and ``all``, one column per fate
    files: pd.DataFrame
    #: one row per file of the source: ``path, label, split, group, fate, stage, reasons`` (reports/ledger.csv)
    ledger: pd.DataFrame
    #: one row per test image: ``path, label, predicted`` and a probability per class
    predictions: pd.DataFrame

    @property
    def report(self) -> Path:
        """The report, one self-contained HTML page, which the next run replaces."""
        return self.workspace / "reports" / "index.html"

    def show(self, height: int = 700) -> Page:
        """The whole report, for a notebook: ``height`` is that of its frame in pixels."""
        return Page(text=self.report.read_text(encoding="utf-8"), height=height)

    def __repr__(self) -> str:
        accuracy = self.figures.loc["accuracy"]
        span = f"{accuracy['low']:.3f} to {accuracy['high']:.3f}"
        return f"<Run {self.decision} {self.model_uri or ''}: accuracy {accuracy['value']:.3f} ({span}), {self.report}>"

    def _repr_html_(self) -> str:
        from jinja2 import Template

        template = Template(CARD.read_text(encoding="utf-8"), autoescape=True, trim_blocks=True, lstrip_blocks=True)
        figures = [(name, *(float(value) for value in row)) for name, row in zip(*_rows(self.figures), strict=True)]
        files = [(name or "(no label)", *row) for name, row in zip(*_rows(self.files), strict=True)]
        return str(template.render(run=self, figures=figures, files=files, fates=FATES))


@dataclass(frozen=True, kw_only=True, repr=False)
class Page:
    """An HTML page that a notebook shows in a frame of ``height`` pixels."""

    text: str
    height: int

    def __repr__(self) -> str:
        return f"<Page of {len(self.text)} characters>"

    def _repr_html_(self) -> str:
        page = html.escape(self.text, quote=True)
        style = f"width: 100%; height: {self.height}px; border: 1px solid #ccc"
        return f'<iframe srcdoc="{page}" sandbox="allow-scripts" style="{style}"></iframe>'


def read(workspace: Path) -> Run:
    """The results in a workspace. Raises InputError if it has no finished run."""
    import pandas as pd

    root = workspace.resolve()
    evaluate, register, clean = (_report(root, name) for name in ("evaluate", "register", "clean"))
    rows = {name: (evaluate[name]["value"], *evaluate[name]["ci95"]) for name in METRICS}
    files = (
        pd.DataFrame.from_dict(clean["per_class"], orient="index").reindex(columns=list(FATES)).fillna(0).astype(int)
    )
    files = files.loc[sorted(files.index, key=lambda name: (name == "", name))]
    files.loc["all"] = files.sum()
    return Run(
        workspace=root,
        decision=register["decision"],
        reasons=tuple(register["reasons"]),
        model_uri=register["model_uri"],
        n_test=evaluate["n_test"],
        figures=pd.DataFrame.from_dict(rows, orient="index", columns=["value", "low", "high"]),
        files=files,
        ledger=pd.read_csv(root / "reports" / "ledger.csv", dtype="string", keep_default_na=False),
        predictions=pd.read_parquet(root / "data" / "evaluate" / "predictions.parquet"),
    )


def _rows(frame: pd.DataFrame) -> tuple[list[str], list[list[Any]]]:
    return frame.index.tolist(), frame.to_numpy().tolist()


def _report(root: Path, name: str) -> dict[str, Any]:
    path = root / "reports" / f"{name}.json"
    try:
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{root} has no finished run (no {path.name})", remedy="call hallmark.run()") from error
    return report
