"""reports/run.js: the time, source and commit of the report page, which loads it as a script.

No output may hold a time or a path, so the page cannot. Opened from a file, a page may load a script but not JSON. The
script holds the ``data-page`` of its page, so another page, such as one restored by Git or DVC, shows no time.
"""

from __future__ import annotations

import json
import re
import subprocess
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hallmark.contracts import durable
from hallmark.pipeline.params import read

if TYPE_CHECKING:
    from pathlib import Path

STAGE = "report"  # the stage that writes the page
WRITTEN = (":(exclude)dvc.lock", ":(exclude)reports")  # by the pipeline itself
_HEAD = 4096  # bytes that contain the page's data-page
_BEGIN = "window.hallmarkRun="


def note(stage: str, state: str, root: Path) -> None:
    """Writes reports/run.js after the stage ``report``; ``state`` is ``ran``, ``restored`` or ``cached``."""
    if stage != STAGE:
        return
    page = page_id(root / "reports" / "index.html")
    path = root / "reports" / "run.js"
    if state == "cached" and page is not None and read_script(path).get("page") == page:
        return
    facts = {
        "page": page,
        # when a cached page was made is unknown
        "made": None if state == "cached" else datetime.now().astimezone().isoformat(timespec="seconds"),
        "source": str(read(root / "params.yaml").values["ingest"]["source"]),
        "commit": _git(root, "rev-parse", "HEAD"),
        "changed": bool(_git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", *WRITTEN)),
    }
    durable.write_text(path, f"{_BEGIN}{_literal(facts)};\n")


def page_id(page: Path) -> str | None:
    """The page's ``data-page``, None if the page or the attribute is missing."""
    if not page.exists():
        return None
    with page.open("rb") as file:
        match = re.search(rb'data-page="([0-9a-f]+)"', file.read(_HEAD))
    return match[1].decode() if match else None


def read_script(path: Path) -> dict[str, Any]:
    """The facts in reports/run.js, empty if it is missing or incomplete."""
    try:
        text = path.read_text(encoding="utf-8").strip()
        facts: dict[str, Any] = json.loads(text.removeprefix(_BEGIN).removesuffix(";"))
    except (FileNotFoundError, ValueError):
        return {}
    return facts


def _literal(facts: dict[str, Any]) -> str:
    """JSON that no HTML parser mistakes for markup."""
    return json.dumps(facts).replace("<", "\\u003c")


def _git(root: Path, *arguments: str) -> str | None:
    """The output of a git command, None if it fails (no repository, no commit) or git is missing."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else None
