"""What ``hallmark run`` prints: how each stage goes while it runs, a line when it ends, a short table at the end."""

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

WIDEST = 240  # characters of a table's line


class _Lines(logging.Handler):
    """Log records as lines of a console."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        tell = self._console.warn if record.levelno >= logging.WARNING else self._console.say
        tell(f"  {record.getMessage()}")


class Console:
    """Prints to standard output; without a terminal, plain lines."""

    def __init__(self) -> None:
        self.rich = Rich(highlight=False, soft_wrap=True)
        self.display = Display()

    def say(self, text: str, *, style: str | None = None) -> None:
        """One line."""
        with self.display.above():
            self.rich.print(text, style=style, markup=False)

    def warn(self, text: str) -> None:
        """One line that should be seen."""
        self.say(text, style="yellow")

    @contextmanager
    def live(self) -> Iterator[None]:
        """Within the block what the stages tell and warn of is seen, and how far they are.

        Prefect's settings keep it from the terminal.
        """
        lines, logger = _Lines(self), logging.getLogger("hallmark")
        before = logger.level
        logger.addHandler(lines)
        logger.setLevel(logging.INFO)
        try:
            with self.display.running():
                yield
        finally:
            logger.setLevel(before)
            logger.removeHandler(lines)

    def announce(self, stage: str, what: str, seconds: float) -> None:
        """How a stage goes: a line when it starts and one when it ends; on a terminal the second replaces the first."""
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
        """A table, its first column to the left, the others to the right."""
        grid = Table(title=title, title_justify="left", box=None, pad_edge=False)
        for number, heading in enumerate(headings):
            grid.add_column(heading, justify="right" if number else "left", no_wrap=True)
        for row in rows:
            grid.add_row(*row)
        self.rich.print()
        # a cut figure is worse than a line that the terminal wraps
        Rich(highlight=False, width=max(WIDEST, self.rich.width)).print(grid)
        self.rich.print()

    def sum_up(self, result: Summary, root: Path) -> None:
        """The short table of a finished run, and where to look next."""
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
