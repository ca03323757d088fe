"""Great Expectations' pages, on disk and in an offline browser."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from hallmark.quality.data_docs import errors_raised, render_data_docs
from hallmark.quality.expectations import check
from hallmark.quality.suites import load_suites
from tests.quality.test_expectations import PARAMETERS, suite, table

if TYPE_CHECKING:
    from pathlib import Path

CHROMIUM = "/usr/bin/chromium"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("docs")
    for name, allowed in (("own suite.yaml", "[cat, dog]"), ("strict.yaml", "[dog, cat]")):
        least = 2 if name == "strict.yaml" else 0
        suite(
            root / "suites",
            f"""
            expectations:
              - type: expect_column_values_to_be_in_set
                kwargs: {{column: label, value_set: {allowed}}}
                severity: warning
              - type: expect_column_values_to_be_between
                kwargs: {{column: width, min_value: {least}}}
                severity: critical
                meta: {{reason: too_small}}
            """,
            name,
        )
    frame = table(20)
    counts = dict.fromkeys(("found", "files", "images"), 20)
    check(dict.fromkeys(counts, frame), counts, load_suites(root / "suites", PARAMETERS), root / "store")
    return render_data_docs(root / "store", root / "docs").parent


def test_the_first_page_leads_to_every_suite(site: Path) -> None:
    text = (site / "index.html").read_text()
    assert "own suite" in text
    assert text.count("all held") == 1
    assert text.count("1 failed") == 1
    links = [unquote(link) for link in re.findall(r'<a href="([^"]*)"', text)]
    assert len(links) == 4
    assert all((site / link).is_file() for link in links)


def test_no_page_names_another_host_to_fetch_from(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) == 5
    for page in pages:
        text = page.read_text()
        assert not re.findall(r'src\s*=\s*"?http|<link[^>]*http|url\(|<script', text, re.IGNORECASE), page
        assert "default-src 'none'" in text


@pytest.mark.pipeline
def test_a_result_in_a_browser(site: Path) -> None:
    from playwright.sync_api import sync_playwright

    lines: list[str] = []
    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.on("console", lambda message: lines.append(message.text))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto((site / "index.html").as_uri())
        tab.get_by_role("link", name="strict").click()
        failed = tab.get_by_text("values must be greater than or equal to")
        held = tab.get_by_text("values must belong to this set")
        assert failed.first.is_visible()
        assert held.first.is_visible()
        tab.get_by_label("Failed Only").check()
        assert failed.first.is_visible()
        assert not held.first.is_visible()
        browser.close()
    assert not lines
    assert all(url.startswith("file:") for url in asked)


def test_an_error_of_rendering_is_raised_and_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("great_expectations.render.renderer.site_builder")

    def render() -> None:
        try:
            raise OSError(28, "No space left on device")
        except OSError:
            logger.error("An unexpected Exception occurred during data docs rendering")

    with pytest.raises(OSError, match="No space left"), errors_raised():
        render()
    assert caplog.records == []
    logger.warning("said outside")
    assert len(caplog.records) == 1
