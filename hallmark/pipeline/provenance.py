"""reports/run.js: when the page was made, from which source and which commit. The page loads it as a script.

No output may hold a time or a path, so the page cannot. A browser reads a script beside a page from a file too, which
it refuses for JSON. The script names its page by the page's ``data-page``: another page, as one that Git or DVC
brought, shows no time.
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

STAGE = "report"  # the one that makes the page
WRITTEN = (":(exclude)dvc.lock", ":(exclude)reports")  # by the pipeline itself
_HEAD = 4096  # bytes, within which a page names itself
_BEGIN = "window.hallmarkRun="


def note(stage: str, state: str, root: Path) -> None:
    """Writes reports/run.js once ``stage``, which ``ran``, was ``restored`` or was found ``cached``, was the last."""
    if stage != STAGE:
        return
    page = page_id(root / "reports" / "index.html")
    path = root / "reports" / "run.js"
    if state == "cached" and page is not None and read_script(path).get("page") == page:
        return
    facts = {
        "page": page,
        # of a page that was there before, only that it is up to date is known
        "made": None if state == "cached" else datetime.now().astimezone().isoformat(timespec="seconds"),
        "source": str(read(root / "params.yaml").values["ingest"]["source"]),
        "commit": _git(root, "rev-parse", "HEAD"),
        "changed": bool(_git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", *WRITTEN)),
    }
    durable.write_text(path, f"{_BEGIN}{_literal(facts)};\n")


def page_id(page: Path) -> str | None:
    """What the page calls itself, None where there is none or it does not say."""
    if not page.exists():
        return None
    with page.open("rb") as file:
        found = re.search(rb'data-page="([0-9a-f]+)"', file.read(_HEAD))
    return found[1].decode() if found else None


def read_script(path: Path) -> dict[str, Any]:
    """The facts of a reports/run.js, empty where there is none or it is torn."""
    try:
        text = path.read_text(encoding="utf-8").strip()
        facts: dict[str, Any] = json.loads(text.removeprefix(_BEGIN).removesuffix(";"))
    except (FileNotFoundError, ValueError):
        return {}
    return facts


def _literal(facts: dict[str, Any]) -> str:
    """JSON that no HTML parser mistakes for markup, wherever the script is put."""
    return json.dumps(facts).replace("<", "\\u003c")


def _git(root: Path, *arguments: str) -> str | None:
    """What git says, None where this is no repository, has no commit, or git is missing."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else None
