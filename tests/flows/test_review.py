"""A review in the browser: a person decides about suspects, and the next run applies the decisions."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from hallmark.quality import ledger as books
from tests.conftest import make_clone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.conftest import Clone

CHROMIUM = "/usr/bin/chromium"


@pytest.fixture(scope="module")
def cleaned(tmp_path_factory: pytest.TempPathFactory, home: Path) -> Clone:
    """A workspace with the built-in data, run up to clean."""
    workspace = make_clone(tmp_path_factory.mktemp("review") / "workspace", home)
    run = workspace.dvc("repro", "clean")
    assert run.returncode == 0, run.stdout + run.stderr
    return workspace


@contextmanager
def served(workspace: Clone) -> Iterator[str]:
    """The address of ``hallmark review``; stopped as Ctrl+C does, without a traceback."""
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "review", "--port", "0", "--no-open"],
        cwd=workspace.root,
        env=workspace.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Review  http://127.0.0.1:"), line + (process.stderr.read() if process.stderr else "")
        yield line.split()[1]
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert "Traceback" not in errors


@contextmanager
def opened(address: str, *, width: int = 1400) -> Iterator[tuple[Page, list[str]]]:
    """The page in Chromium, and what it asked of other hosts or complained about."""
    from playwright.sync_api import sync_playwright

    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": width, "height": 844})
        tab.on("console", lambda message: errors.append(message.text))
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on(
            "request",
            lambda request: None if request.url.startswith((address, "data:")) else errors.append(request.url),
        )
        tab.goto(address)
        tab.wait_for_selector("#neighbours figure img")
        yield tab, errors
        browser.close()


def decided(workspace: Clone) -> dict[str, dict[str, Any]]:
    with (workspace.root / "data" / "review.csv").open(newline="", encoding="utf-8") as file:
        return {row["path"]: row for row in csv.DictReader(file)}


def ledger(workspace: Clone) -> pd.DataFrame:
    return books.read(workspace.root / "reports" / "ledger.csv").set_index("path")


def progress(tab: Page, count: int) -> None:
    tab.locator("#count", has_text=re.compile(f"^{count} of")).wait_for()


@pytest.mark.pipeline
def test_three_images_decided_by_keyboard_change_the_ledger(cleaned: Clone) -> None:
    before = ledger(cleaned)
    with served(cleaned) as address, opened(address) as (tab, errors):
        paths: list[str] = []

        def press(*keys: str) -> None:
            """Keys about the suspect that is shown, which is remembered."""
            paths.append(tab.inner_text("#path"))
            for key in keys:
                tab.keyboard.press(key)

        progress(tab, 0)
        press("d")
        progress(tab, 1)
        other = next(name for name in "0123456789" if name != before.loc[tab.inner_text("#path"), "label"])
        press("r", *other, "Enter")
        progress(tab, 2)
        press("n", *"fine", "Enter", "k")
        progress(tab, 3)
        press("d")
        progress(tab, 4)
        tab.keyboard.press("u")
        progress(tab, 3)
        assert tab.inner_text("#path") == paths[3], "undo shows what it took back"
        tab.keyboard.press("ArrowLeft")
        assert tab.inner_text("#path") == paths[2]
        assert "Kept by you" in tab.inner_text("#verdict")
        tab.reload()
        progress(tab, 3)
        assert not errors

    rows = decided(cleaned)
    assert len(set(paths)) == 4
    assert {path: row["decision"] for path, row in rows.items()} == dict(
        zip(paths, ("drop", "relabel", "keep"), strict=False)
    )
    assert (rows[paths[1]]["label"], rows[paths[2]]["note"]) == (other, "fine")

    again = cleaned.dvc("repro", "clean")
    assert again.returncode == 0, again.stdout + again.stderr
    after = ledger(cleaned)
    assert len(after) == len(before)
    assert after.loc[paths[0], "fate"] == "removed"
    assert "excluded_by_review" in str(after.loc[paths[0], "reasons"]).split(";")
    assert after.loc[paths[1], "fate"] == "relabelled"
    assert "relabelled_by_review" in str(after.loc[paths[1], "reasons"]).split(";")
    assert dict(after.loc[paths[2], ["fate", "reasons"]]) == {"fate": "kept", "reasons": ""}
    cluster = pd.read_parquet(cleaned.root / "data" / "split" / "split.parquet").set_index("path")["cluster"]
    # the decision taken back is not applied: it is the kept picture under another label, which that decision settles
    assert cluster[paths[3]] == cluster[paths[2]]
    assert after.loc[paths[3], "fate"] == "removed"
    assert "by_review" not in str(after.loc[paths[3], "reasons"])
    # the fate of another picture changes only where a detector, fitted without the two, judges a borderline one anew
    beside = cluster.index[~cluster.isin(cluster[paths])]
    for fate in ("removed", "relabelled"):
        now, then = after.loc[beside, "fate"] == fate, before.loc[beside, "fate"] == fate
        moved = beside[(now != then).to_numpy(bool)]
        assert len(moved) <= 3
        for path in moved:
            reasons = {*str(after.loc[path, "reasons"]).split(";"), *str(before.loc[path, "reasons"]).split(";")}
            assert reasons & {"outlier", "label_issue"}, path
    said_of = json.loads((cleaned.root / "reports" / "clean.json").read_text())["review"]
    assert said_of["applied"] == {"keep": 1, "drop": 1, "relabel": 1}
    assert said_of["stale"] == []


@pytest.mark.pipeline
def test_on_a_phone_by_touch(cleaned: Clone) -> None:
    """Buttons instead of keys; nothing is cut off; the decision is written."""
    with served(cleaned) as address, opened(address, width=390) as (tab, errors):
        scroll = tab.evaluate("document.documentElement.scrollWidth")
        hidden = tab.evaluate(
            "[...document.querySelectorAll('footer button')].filter(button => {"
            " const box = button.getBoundingClientRect();"
            " return box.left < 0 || box.right > innerWidth || box.bottom > innerHeight || box.height < 40; }).length"
        )
        tab.click("#kinds button:has-text('quarantined')")
        path = tab.inner_text("#path")
        tab.click("#relabel")
        tab.fill("#typed", "9")
        tab.click("#options li")
        tab.locator("#toast", has_text="Relabelled to 9").wait_for()
        row = decided(cleaned)[path]
        tab.click("#undo")
        tab.locator("#toast", has_text="Undone").wait_for()
        assert not errors
    assert (scroll, hidden) == (390, 0)
    assert (row["decision"], row["label"]) == ("relabel", "9")
    assert path not in decided(cleaned)


def test_nothing_to_review_is_reported(clone: Callable[..., Clone]) -> None:
    answer = clone("empty").hallmark("review", "--no-open")
    assert answer.returncode == 2
    assert "there is nothing to review yet" in answer.stderr
    assert "run `hallmark run` first" in answer.stderr
    assert "Traceback" not in answer.stderr
