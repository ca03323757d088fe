"""`dvc plots show` draws in a browser that reaches no host."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.config import Config

ROOT = Path(__file__).parents[2]
CHROMIUM = "/usr/bin/chromium"
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND"

PLOTS = [
    {"history.csv": {"x": "epoch", "y": ["train_loss", "val_loss"], "title": "Learning curves"}},
    {"confusion.csv": {"x": "predicted", "y": "actual", "template": "confusion", "title": "Confusion"}},
]
# both plots show marks, axes and text: an empty canvas has one colour
DRAWN = """() => {
    const colours = [...document.querySelectorAll("canvas")].map(canvas => {
        const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        const distinct = new Set();
        for (let i = 0; i < pixels.length; i += 4)
            if (pixels[i + 3] === 255) distinct.add(pixels.slice(i, i + 3).join());
        return distinct.size;
    });
    return colours.length === 2 && Math.min(...colours) > 10;
}"""


def page() -> Path:
    return ROOT / ".dvc" / str(Config(str(ROOT / ".dvc"))["plots"]["html_template"])


@pytest.fixture
def plots_page(tmp_path: Path) -> Path:
    """The page that ``dvc plots show`` writes for two plots."""
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "PYTHONWARNINGS": "ignore"}
    (tmp_path / "dvc.yaml").write_text(json.dumps({"plots": PLOTS}))
    (tmp_path / "history.csv").write_text("epoch,train_loss,val_loss\n1,1.5,1.6\n2,0.7,0.9\n3,0.4,0.8\n")
    (tmp_path / "confusion.csv").write_text("actual,predicted\ncat,cat\ncat,dog\ndog,dog\n")
    for command in (
        ["init", "-q"],
        ["config", "plots.html_template", str(page().resolve())],
        ["plots", "show", "-q"],
    ):
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=tmp_path, check=True, env=environment)
    return tmp_path / "dvc_plots" / "index.html"


def test_the_configured_page_exists_and_refers_to_no_host() -> None:
    text = page().read_text(encoding="utf-8")
    assert text.count("{plot_divs}") == 1
    assert "{scripts}" not in text  # DVC would insert links to a content delivery network here
    assert not re.findall(r"<(?:script|link)[^>]*(?:src|href)\s*=", text)


@pytest.mark.pipeline
def test_plots_are_drawn_without_a_network(plots_page: Path) -> None:
    from playwright.sync_api import sync_playwright

    errors: list[str] = []
    requests: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", OFFLINE])
        tab = browser.new_page()
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(plots_page.as_uri())
        tab.wait_for_function(DRAWN)
        browser.close()
    assert not errors
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
