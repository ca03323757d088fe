"""What a person sees while a stage runs, with a clock of the test's own."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from hallmark.contracts import progress
from hallmark.pipeline.display import CLEAR, Display

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Shown:
    """A display on a stream and at a time of the test's own."""

    live: bool = False
    now: float = 0.0
    stream: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        self.display = Display(self.stream, live=self.live, clock=lambda: self.now)

    def wait(self, seconds: float, report: Callable[[], None] = lambda: None) -> None:
        """Lets the time pass in steps of a second, with a report before each."""
        with progress.listening(self.display.heard):
            for _ in range(int(seconds)):
                self.now += 1
                report()
                self.display.tick()

    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()


def test_a_log_gets_a_line_at_the_start_and_one_every_half_minute() -> None:
    shown = Shown()
    shown.display.begin("train", "training the network", position="[8/11]")
    done = 0

    def step() -> None:
        nonlocal done
        done += 100
        progress.report("training", done, 10_000, figures={"epoch": "2 of 5", "objective": 0.91234}, at_most=True)

    shown.wait(65, step)
    shown.display.end()
    shown.wait(65)
    begin = "  [8/11] train: training, epoch 2 of 5, objective 0.9123,"
    assert shown.lines() == [
        "  [8/11] train: training the network",
        f"{begin} 3,100 of 10,000 images, 100 images/s, at most 1:09 left",
        f"{begin} 6,100 of 10,000 images, 100 images/s, at most 0:39 left",
    ]


def test_a_stage_that_reports_nothing_is_seen_to_go_on() -> None:
    shown = Shown()
    shown.display.begin("register", "registering")
    shown.wait(70)
    assert shown.lines() == [
        "  register: registering",
        "  register: registering, 0:31 so far",
        "  register: registering, 1:01 so far",
    ]


def test_of_a_stage_done_at_once_a_log_holds_its_end_alone() -> None:
    shown = Shown()
    shown.display.begin("split", "dividing")
    shown.now = 0.5
    shown.display.tick()
    shown.display.end()
    assert shown.lines() == []


def test_the_pace_is_that_of_the_work_at_hand() -> None:
    shown = Shown()
    shown.display.begin("synthesize")
    shown.wait(20, lambda: progress.report("training the generator", int(shown.now) * 500, 100_000))
    shown.wait(4, lambda: progress.report("drawing images", (int(shown.now) - 20) // 2, 10, unit="batches"))
    assert shown.display.words() == "synthesize: drawing images, 2 of 10 batches, 40.0 batches/min, 0:12 left"


def test_a_resumed_training_is_as_fast_as_it_goes_now() -> None:
    shown = Shown()
    shown.display.begin("train")
    shown.wait(10, lambda: progress.report("training", 9_000 + int(shown.now) * 10, 10_000))
    assert "10 images/s, 1:30 left" in shown.display.words()


def test_a_terminal_has_one_line_that_other_lines_push_aside() -> None:
    shown = Shown(live=True)
    shown.display.begin("train", "training the network")
    shown.wait(2, lambda: progress.report("training", int(shown.now), 10))
    with shown.display.above():
        shown.stream.write("a warning\n")
    shown.wait(1)
    shown.display.end()
    text = shown.stream.getvalue()
    assert f"{CLEAR}a warning\n{CLEAR}  train: training, 2 of 10 images" in text
    assert text.endswith(CLEAR)
    assert text.count("\n") == 1


@pytest.mark.parametrize("columns", ["20", "80"])
def test_a_line_never_fills_the_terminal(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    shown = Shown(live=True)
    shown.display.begin("train", position="[8/11]")
    shown.wait(3, lambda: progress.report("a piece of work with a long name, longer than any line " * 3, 1, 10))
    assert max(len(part) for part in shown.stream.getvalue().split(CLEAR)) < int(columns)
