from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from hallmark.contracts.names import FATES, REASONS
from hallmark.reporting import words
from hallmark.reporting.refusal import render_refusal
from tasks import report
from tests.reporting.world import HOSTILE, build

if TYPE_CHECKING:
    from pathlib import Path

PARAMS = report.Params(title="", gallery=24, mistakes=24, thumbnail=96)
CHROMIUM = "/usr/bin/chromium"
DATA_DOCS = "../.hallmark/data_docs/index.html"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    places = build(tmp_path_factory.mktemp("workspace"))
    report.run(PARAMS, **places)
    return places["page"]


def test_counts_reconcile_and_nothing_is_passed_over(page: Path) -> None:
    text = page.read_text()
    assert "82 files were found" in text
    for phrase in (
        "73 kept + 4 flagged + 1 relabelled + 2 removed + 2 quarantined = 82",
        words.REASONS["empty_file"],
        words.REASONS["exact_duplicate"],
        "Fix the light.",
        "1 of 2 expectations held",
        "3 decisions stand in data/review.csv, and beat every detector: 1 keep, 1 drop, 0 relabel, 1 left aside.",
        "Rescued from quarantine: 1.",
        "gone &amp; lost.png",
        words.STALE["path_gone"],
        "1 of the decisions in data/review.csv no longer fit their file",
        "The loss swings.",
        "Before it, images were shown as they are: in the first 2 epochs.",
        "2 images are copies of images in another of the splits",
        "still applied: HorizontalFlip",
        "Off: synthesize.target asks for no images.",
        "without differential privacy",
        "models:/hallmark/1",
        "mlflow ui",
    ):
        assert phrase in text, phrase


def test_names_from_the_data_are_escaped(page: Path) -> None:
    text = page.read_text()
    assert HOSTILE not in text
    assert "&lt;script&gt;" in text
    assert "<script" not in text


def test_nothing_is_fetched(page: Path) -> None:
    links = re.findall(r'(?:src|href)="([^"]*)"', page.read_text())
    assert links
    # one page beside it, which a browser opens when asked to
    assert links.count(DATA_DOCS) == 1
    assert all(link.startswith(("data:", "#")) for link in links if link != DATA_DOCS)
    assert "url(" not in page.read_text()


def test_synthetic_images_and_privacy_are_told(tmp_path: Path) -> None:
    places = build(tmp_path, synthetic=True, privacy=True)
    report.run(PARAMS, **places)
    text = places["page"].read_text()
    assert "Kept 1 of 2 images made." in text
    assert "memorisation" in text
    assert "d q 0.5" in text
    assert "Real and synthetic images side by side" in text
    assert "epsilon" in text
    assert "without differential privacy" not in text
    assert "as they are: in the first epoch." in text


def test_every_word_of_the_closed_lists_is_explained() -> None:
    assert set(words.REASONS) == set(REASONS)
    assert set(words.FATES) == set(FATES)


def test_a_refusal_is_told_whole() -> None:
    ledger = pd.DataFrame(
        {
            "path": ["a.png", "<b>.png"],
            "label": ["x", None],
            "split": "",
            "group": None,
            "fate": ["kept", "quarantined"],
            "stage": ["", "validate"],
            "reasons": ["", "truncated"],
        }
    )
    story = {
        "stage": "validate",
        "message": "m",
        "refused": ["too many <bad> files"],
        "counts": {"inner": {"share": 0.5}},
        "rows": [{"path": "q.png", "n": None}],
        "why": "because",
    }
    remedies = ("mend the files; or raise validate.max_quarantine_share", "add images of <b>")
    text = render_refusal(story, ledger, "the images are refused; and so on", remedies=remedies)
    for phrase in ("the images are refused; and so on<", "too many &lt;bad&gt; files"):
        assert phrase in text
    for phrase in (
        "<li>mend the files; or raise validate.max_quarantine_share</li>",
        "<li>add images of &lt;b&gt;</li>",
    ):
        assert phrase in text
    for phrase in ("inner share", "0.5", "q.png", "because", words.REASONS["truncated"], "&lt;b&gt;.png"):
        assert phrase in text
    assert "<b>.png" not in text
    assert "The files" not in render_refusal({}, None, "no remedy here", remedies=())


@pytest.mark.pipeline
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_in_a_browser(page: Path, width: int, dark: bool) -> None:
    from playwright.sync_api import sync_playwright

    said: list[str] = []
    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(
            viewport={"width": width, "height": 844}, color_scheme="dark" if dark else "light"
        )
        tab = context.new_page()
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(page.as_uri())
        pictures = tab.evaluate("[...document.images].map(image => image.complete && image.naturalWidth > 0)")
        scroll, seen = tab.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        missing = tab.evaluate(
            "[...document.querySelectorAll('nav a')].filter(a => !document.querySelector(a.hash)).length"
        )
        margin = tab.evaluate("document.querySelector('main h2').getBoundingClientRect().left")
        browser.close()
    assert not said
    assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]
    assert len(pictures) >= 10
    assert all(pictures)
    assert scroll <= seen == width
    assert missing == 0
    assert margin >= 16
