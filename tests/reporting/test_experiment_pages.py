"""Experiment pages share the report's style: nothing cut off at any width, both themes, no scripts."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from hallmark.experiments.ablation import Finding
from hallmark.experiments.confirmation import Candidate, Confirmed
from hallmark.experiments.crossvalidation import Metric
from hallmark.experiments.results import Ablated, Crossvalidated, Tuned
from hallmark.experiments.space import Dimension
from hallmark.experiments.study import Row
from hallmark.experiments.trial import Outcome
from hallmark.reporting import experiment_figures, experiment_pages

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = "/usr/bin/chromium"
HOSTILE = "<script>alert(1)</script>"


def tuning(name: str = "quick") -> str:
    space: Any = SimpleNamespace(
        dimensions=(
            Dimension(key="train.lr", low=1e-4, high=1e-1, log=True),
            Dimension(key="train.optimizer", choices=("adamw", "muon")),
            Dimension(key="model.width", low=8, high=64),
        )
    )
    rows = [
        Row(
            number=number,
            state="complete",
            values={"train.lr": 10.0 ** (-1 - number % 4), "train.optimizer": "muon", "model.width": 8 + number},
            quality=0.7 + 0.02 * number,
            latency_ms=0.1 + 0.01 * number,
            facts={"seconds": 3.25},
            why="",
        )
        for number in range(8)
    ] + [Row(number=8, state="failed", values={}, quality=None, latency_ms=None, facts={}, why="no")]
    gain = {"value": 0.03, "ci95": [0.01, 0.05]}
    return experiment_pages.tuning(
        Tuned(
            study=name,
            objective="macro F1",
            folds=0,
            baseline=0.75,
            baseline_ms=0.12,
            rows=rows,
            front=rows[6:8],
            importances={"train.lr": 0.7, "model.width": 0.2, "train.optimizer": 0.1},
            seconds=30.0,
            confirmed=Confirmed(
                seeds=[1, 2, 3],
                baseline=0.75,
                candidates=[Candidate(number=7, values={}, quality=0.84, gain=gain, verdict="keep")],
            ),
        ),
        space,
    )


def finding(name: str, value: float | None, verdict: str) -> Finding:
    edges = [None, None] if value is None else [value - 0.01, value + 0.01]
    gain = {"value": value, "ci95": edges}
    return Finding(
        name=name, active=True, with_it=0.9, without=0.9 - (value or 0.0), gain=gain, worst_gain=gain, cost=-0.01,
        stages_known=False, same=False, verdict=verdict,
    )  # fmt: skip


def ablation(name: str = "ema") -> str:
    return experiment_pages.ablation(
        Ablated(
            objective="macro F1",
            n_judged=300,
            seeds=[0, 1, 2],
            findings=[
                finding("clean", -0.02, "drop"),
                finding(name, 0.03, "keep"),
                finding("mixup", None, "cannot tell"),
            ],
            refused={"balance": "a class has too few images"},
        )
    )


def crossvalidation(name: str = "macro F1") -> str:
    estimate = {"value": 0.93, "ci95": [0.9, 0.95]}
    outcome = Outcome(
        objective=0.93, recall={"a": -1.11e-17, "b": 1.0}, n_judged=200, n_train=800, epochs=12, best_epoch=9,
        seconds=9.5, latency_ms=None, metrics={}, mlflow_run=None, resolved={},
    )  # fmt: skip
    return experiment_pages.crossvalidation(
        Crossvalidated(
            objective=name,
            metrics=[Metric(name=name, estimate=estimate, spread=0.01, low=0.9, high=0.95)],
            warnings=["a class is missing in one fold"],
            folds=[("1", outcome), ("2", outcome)],
            table=Path("out_of_fold.parquet"),
            model_uri="",
        )
    )


PAGES = {"tuning": tuning, "ablation": ablation, "crossvalidation": crossvalidation}


@pytest.mark.parametrize("name", PAGES)
def test_it_has_the_style_of_the_report_and_no_script(name: str) -> None:
    text = PAGES[name](HOSTILE)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "--accent" in text
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert not [
        url
        for url in re.findall(r'(?:src|href)="([^"]*)"', text)
        if url[0] != "#" and url not in ("data:,", "index.html")
    ]


def test_figures_take_the_colours_of_the_page() -> None:
    text = tuning()
    assert text.count('class="scroll drawing"') == 4
    assert not [placeholder for placeholder in experiment_figures.COLOURS if placeholder in text]
    for colour in experiment_figures.COLOURS.values():
        assert colour in text
    drawn = experiment_figures.importances({"a": 1.0})
    assert "#000000" not in drawn, "black text is invisible in the dark theme"
    assert experiment_figures.importances({"a": 1.0}) == drawn


def test_figures_are_aligned_and_verdicts_coloured() -> None:
    text = ablation()
    assert '<td class="held">keep</td>' in text
    assert '<td class="broken">drop</td>' in text
    assert '<td class="n ">+0.0300</td>' in text
    assert '<td class="n ">+0.0200 to +0.0400</td>' in text
    assert '<td class="n ">0.0*</td>' in text, "zero has no sign"
    assert '<td class="n ">0.0000</td>' in crossvalidation()


@pytest.mark.pipeline
@pytest.mark.parametrize("width", [1280, 390])
def test_in_a_browser_nothing_is_cut_off(tmp_path: Path, width: int) -> None:
    from playwright.sync_api import sync_playwright

    from tests.reporting.test_page import overflowing

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name, page in PAGES.items():
            (tmp_path / f"{name}.html").write_text(page())
            for scheme in ("dark", "light"):
                tab = browser.new_context(
                    viewport={"width": width, "height": 844}, color_scheme="dark" if scheme == "dark" else "light"
                ).new_page()
                messages: list[str] = []
                listen(tab, messages)
                tab.goto((tmp_path / f"{name}.html").as_uri())
                assert overflowing(tab) == [], name
                assert messages == []
        browser.close()


def listen(tab: Page, messages: list[str]) -> None:
    tab.on("console", lambda message: messages.append(message.text))
