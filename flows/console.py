"""Terminal output of ``hallmark run``: each stage's progress, a line when it ends, and a final summary."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console as Rich
from rich.table import Table
from rich.text import Text

from flows import summary
from hallmark.contracts.names import FATES
from hallmark.pipeline.display import Display
from tasks import STAGES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from flows.summary import Summary

WIDEST = 240  # columns; tables are at least this wide


class _Lines(logging.Handler):
    """Prints log records on a console."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        write = self._console.warn if record.levelno >= logging.WARNING else self._console.say
        write(f"  {record.getMessage()}")


class Console:
    """Prints to standard output, as plain lines if that is no terminal."""

    def __init__(self) -> None:
        self.rich = Rich(highlight=False, soft_wrap=True)
        self.display = Display()

    def say(self, text: str, *, style: str | None = None) -> None:
        """Prints one line."""
        with self.display.above():
            self.rich.print(text, style=style, markup=False)

    def warn(self, text: str) -> None:
        """Prints one highlighted line."""
        self.say(text, style="yellow")

    @contextmanager
    def live(self) -> Iterator[None]:
        """Shows the stages' messages, warnings and progress within the block.

        Prefect's settings hide them from the terminal.
        """
        lines, logger = _Lines(self), logging.getLogger("hallmark")
        level = logger.level
        logger.addHandler(lines)
        logger.setLevel(logging.INFO)
        try:
            with self.display.running():
                yield
        finally:
            logger.setLevel(level)
            logger.removeHandler(lines)

    def announce(self, stage: str, what: str, seconds: float) -> None:
        """Prints a line when a stage starts and one when it ends; on a terminal the second replaces the first."""
        if what == "running":
            names = [each.name for each in STAGES]
            position = f"[{names.index(stage) + 1}/{len(names)}]"
            self.display.begin(stage, STAGES[names.index(stage)].does, position=position)
            return
        self.display.end()
        style = {"failed": "bold red", "cached": "dim", "restored": "cyan"}.get(what, "green")
        took = f"{seconds:6.1f} s" if what != "failed" else ""
        self.say(f"  {stage:<11} {what:<9} {took}", style=style)

    def table(self, title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Prints a table; the first column is left-aligned, the others right-aligned."""
        grid = Table(title=title, title_justify="left", box=None, pad_edge=False)
        for number, heading in enumerate(headings):
            grid.add_column(heading, justify="right" if number else "left", no_wrap=True)
        for row in rows:
            grid.add_row(*row)
        self.rich.print()
        # wrapped lines are better than truncated figures
        Rich(highlight=False, width=max(WIDEST, self.rich.width)).print(grid)
        self.rich.print()

    def sum_up(self, result: Summary, root: Path) -> None:
        """Prints the summary of a finished run and the paths of its report and its MLflow UI."""
        stages = Table(title="Stages", title_justify="left", box=None, pad_edge=False)
        for heading, justify in (("stage", "left"), ("state", "left"), ("seconds", "right")):
            stages.add_column(heading, justify=justify)  # type: ignore[arg-type]
        for name, state, seconds in result.stages:
            stages.add_row(name, state, f"{seconds:.1f}")
        files = Table(title="Files found", title_justify="left", box=None, pad_edge=False)
        for heading in ("class", *FATES, "found"):
            files.add_column(heading, justify="left" if heading == "class" else "right")
        for name, counts in result.files:
            files.add_row(Text(name), *(str(counts[fate]) for fate in FATES), str(sum(counts.values())))
        metrics = Table(title=f"Test set ({result.n_test} images)", title_justify="left", box=None, pad_edge=False)
        for heading in ("metric", "value", "95 % interval"):
            metrics.add_column(heading, justify="left" if heading == "metric" else "right")
        for name, value, low, high in result.metrics:
            metrics.add_row(name, f"{value:.4f}", f"{low:.4f} to {high:.4f}")
        self.rich.print()
        self.rich.print(stages)
        self.rich.print()
        self.rich.print(files)
        self.rich.print()
        self.rich.print(metrics)
        self.rich.print()
        version = f", version {result.version}" if result.version else ""
        self.say(f"Model   {result.decision}{version}  {result.model_uri}")
        if result.challenged:
            self.say(f"        {result.challenged}")
        self.say(f"Report  {root / 'reports' / 'index.html'}")
        self.say(f"MLflow  {summary.tracking_command()}")
