from __future__ import annotations

import hashlib
import itertools
import json
import re
from typing import TYPE_CHECKING, Literal

import pandas as pd
import pytest

from hallmark.contracts.names import FATES
from hallmark.contracts.reasons import REASONS
from hallmark.pipeline.provenance import page_id
from hallmark.reporting import words
from hallmark.reporting.page import UNNAMED
from hallmark.reporting.refusal import render_refusal
from tasks import report
from tests.reporting.world import HOSTILE, build

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

PARAMS = report.Params(title="", gallery=24, mistakes=24, thumbnail=96, enlarged=640)
CHROMIUM = "/usr/bin/chromium"
DATA_DOCS = "../.hallmark/data_docs/index.html"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    places = build(tmp_path_factory.mktemp("workspace"))
    report.run(PARAMS, **places)
    return places["page"]


def test_counts_reconcile_and_nothing_is_omitted(page: Path) -> None:
    text = page.read_text()
    assert "82 files were found" in text
    for phrase in (
        "73 kept + 4 flagged + 1 relabelled + 2 removed + 2 quarantined = 82",
        words.REASONS["empty_file"],
        words.REASONS["exact_duplicate"],
        "Fix the light.",
        "1 of 2 expectations held",
        "data/review.csv holds 3 decisions, which override every detector: 1 keep, 1 drop, 0 relabel, 1 ignored.",
        "Rescued from quarantine: 1.",
        "gone &amp; lost.png",
        words.STALE["path_gone"],
        "1 of the decisions in data/review.csv no longer match their file",
        "The loss swings.",
        "2 files were not read",
        "3 files of 16 bits a sample use 12 of them at most",
        "The first 2 epochs used no augmentation.",
        "2 images are copies of images in another given split",
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
    # our two scripts, and run.js next to the page
    assert re.findall(r"<script[^>]*>", text) == ["<script>", '<script src="run.js">', "<script>"]


def test_nothing_is_fetched_but_files_next_to_the_page(page: Path) -> None:
    links = re.findall(r'(?:src|href)="([^"]*)"', page.read_text())
    assert links
    # one page next to it, opened by a click
    assert links.count(DATA_DOCS) == links.count("run.js") == 1
    assert all(link.startswith(("data:", "#")) for link in links if link not in (DATA_DOCS, "run.js"))
    assert "url(" not in page.read_text()


def test_the_page_carries_its_digest_and_shows_no_other(page: Path) -> None:
    text = page.read_text()
    name = page_id(page)
    assert name is not None
    unnamed = text.replace(f'data-page="{name}"', f'data-page="{UNNAMED}"')
    assert hashlib.blake2b(unnamed.encode(), digest_size=8).hexdigest() == name
    flow = re.sub(r"<details>.*?</details>", "", text, flags=re.DOTALL)
    flow = re.sub(r'"data:[^"]*"|data-page="[^"]*"', "", flow)
    assert not re.findall(r"\b[0-9a-f]{12,}\b", flow)
    assert "cd" * 32 in text


def test_advice_and_baselines_are_shown(page: Path) -> None:
    text = page.read_text()
    section = text[text.index('<section id="next">') : text.index('<section id="data">')]
    assert "<pre><code>hallmark review</code></pre>" in section
    assert "Gain not measured." in section
    head = text[: text.index("<nav")]
    assert "linear model" in head
    assert "always &#39;" in head
    assert re.search(r"\+\d+\.\d points", head)


def test_rounding_errors_are_shown_as_zero(tmp_path: Path) -> None:
    places = build(tmp_path, synthetic=True)
    path = places["reports"] / "synthesize.json"
    synthesis = json.loads(path.read_text())
    synthesis["gates"][0]["figures"] = {"gain": -1.11e-17, "gain_ci95": [-2.2e-16, 0.01]}
    path.write_text(json.dumps(synthesis))
    report.run(PARAMS, **places)
    text = places["page"].read_text()
    assert "e-17" not in text
    assert "e-16" not in text
    assert "0 to 0.01" in text
    assert not re.search(r"-0\.?0*(?![.0-9])\s*[%<]", text)
    folded = text[text.index("All figures of the gates") :]
    assert "0 to 0.01" in folded[: folded.index("</details>")]


def test_synthetic_images_and_privacy_are_reported(tmp_path: Path) -> None:
    places = build(tmp_path, synthetic=True, privacy=True)
    report.run(PARAMS, **places)
    text = places["page"].read_text()
    assert "Kept 1 of 2 images made." in text
    assert "memorisation" in text
    assert re.search(r"<th scope=\"row\">d q</th>\s*<td>0.5</td>", text)
    assert "Real and synthetic images side by side" in text
    assert "epsilon" in text
    assert "without differential privacy" not in text
    assert "The first epoch used no augmentation." in text


def test_every_word_of_the_closed_lists_is_explained() -> None:
    assert set(words.REASONS) == set(REASONS)
    assert set(words.FATES) == set(FATES)


def test_a_refusal_page_is_complete() -> None:
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
    remedies = ("repair the files; or raise validate.max_quarantine_share", "add images of <b>")
    text = render_refusal(story, ledger, "the images are refused; and so on", remedies=remedies)
    for phrase in ("the images are refused; and so on<", "too many &lt;bad&gt; files"):
        assert phrase in text
    for phrase in (
        "<li>repair the files; or raise validate.max_quarantine_share</li>",
        "<li>add images of &lt;b&gt;</li>",
    ):
        assert phrase in text
    for phrase in ("inner share", "0.5", "q.png", "because", words.REASONS["truncated"], "&lt;b&gt;.png"):
        assert phrase in text
    assert "<b>.png" not in text
    assert "The files" not in render_refusal({}, None, "no remedy here", remedies=())


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def opened(browser: Browser, page: Path, width: int = 1280, *, dark: bool = False) -> Page:
    """The page in a new window."""
    scheme: Literal["dark", "light"] = "dark" if dark else "light"
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    tab = context.new_page()
    tab.goto(page.as_uri())
    return tab


@pytest.mark.pipeline
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_in_a_browser(page: Path, chromium: Browser, width: int, dark: bool) -> None:
    messages: list[str] = []
    requests: list[str] = []
    scheme: Literal["dark", "light"] = "dark" if dark else "light"
    tab = chromium.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme).new_page()
    tab.on("console", lambda message: messages.append(message.text))
    tab.on("pageerror", lambda error: messages.append(str(error)))
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto(page.as_uri())
    pictures = tab.evaluate(
        "[...document.querySelectorAll('main img')].map(image => image.complete && image.naturalWidth > 0)"
    )
    missing = tab.evaluate(
        "[...document.querySelectorAll('nav a')].filter(a => !document.querySelector(a.hash)).length"
    )
    margin = tab.evaluate("document.querySelector('main h2').getBoundingClientRect().left")
    assert messages == ["Failed to load resource: net::ERR_FILE_NOT_FOUND"], "only run.js is missing"
    assert [url for url in requests if not url.startswith("data:")] == [
        page.as_uri(),
        page.with_name("run.js").as_uri(),
    ]
    assert not tab.locator("#run").is_visible()
    assert len(pictures) >= 10
    assert all(pictures)
    assert overflowing(tab) == []
    assert tab.evaluate("innerWidth") == width
    assert missing == 0
    assert margin >= 16
    levels = tab.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(each => +each.tagName[1])")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels)), "a heading level is skipped"
    assert tab.evaluate("[...document.querySelectorAll('main img')].every(image => image.alt)")


@pytest.mark.pipeline
@pytest.mark.parametrize("width", [1280, 390])
def test_a_picture_is_enlarged_and_focus_returns(page: Path, chromium: Browser, width: int) -> None:
    tab = opened(chromium, page, width)
    frames = tab.locator("button.frame")
    viewer = tab.locator("dialog.viewer")
    before = frames.nth(3).locator("img").bounding_box()
    assert not viewer.is_visible()
    frames.nth(3).click()
    assert viewer.is_visible()
    after = viewer.locator("img").bounding_box()
    assert before is not None
    assert after is not None
    assert after["width"] >= 1.8 * before["width"]
    assert after["x"] >= 0
    assert after["x"] + after["width"] <= width
    assert viewer.locator(".caption").inner_text()
    first = viewer.locator("img").get_attribute("src")
    tab.keyboard.press("ArrowRight")
    assert viewer.locator("img").get_attribute("src") == frames.nth(4).locator("img").get_attribute("src") != first
    tab.keyboard.press("Escape")
    assert not viewer.is_visible()
    # a dialog's close event comes after it is hidden
    tab.wait_for_function("document.activeElement === document.querySelectorAll('button.frame')[4]")
    tab.keyboard.press("Enter")
    assert viewer.is_visible()
    viewer.locator("button.close").click()
    assert not viewer.is_visible()


@pytest.mark.pipeline
def test_run_js_adds_time_and_source_to_its_own_page_only(page: Path, chromium: Browser, tmp_path: Path) -> None:
    copy = tmp_path / "index.html"
    copy.write_bytes(page.read_bytes())
    facts = {
        "page": page_id(page),
        "made": "2026-11-28T17:03:00+00:00",
        "source": "/data/<b>birds",
        "commit": "7b1c" * 10,
        "changed": True,
    }

    def run_line(**changes: object) -> str:
        copy.with_name("run.js").write_text(f"window.hallmarkRun={json.dumps(facts | changes)};")
        tab = opened(chromium, copy)
        text = tab.locator("#run").inner_text() if tab.locator("#run").is_visible() else ""
        tab.context.close()
        return text

    whole = run_line()
    for words_of in ("Created on 28 November 2026 at ", "from /data/<b>birds", "commit 7b1c7b1", "uncommitted changes"):
        assert words_of in whole
    assert "uncommitted" not in run_line(changed=False)
    assert run_line(made=None).startswith("From /data")
    assert run_line(commit=None, changed=False).endswith("birds.")
    assert run_line(page="0123") == "", "it belongs to another page"


def overflowing(tab: Page) -> list[str]:
    """Elements wider than the window or cut off, except scroll boxes."""
    wide_elements: list[str] = tab.evaluate(
        """() => [...document.querySelectorAll('body *')]
            .filter(each => !each.closest('.scroll, pre, dialog'))
            .filter(each => each.getBoundingClientRect().right > innerWidth + 1
                || each instanceof HTMLElement && each.scrollWidth > each.clientWidth + 1
                    && getComputedStyle(each).overflowX !== 'visible')
            .map(each => each.outerHTML.slice(0, 80))"""
    )
    wide = tab.evaluate("document.documentElement.scrollWidth > innerWidth")
    return [*wide_elements, *(["the page"] if wide else [])]
