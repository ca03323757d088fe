"""Why a stage depends on a file of code, and which of its files changed since it last ran: text for a person."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from hallmark.pipeline.closure import changes, entries

if TYPE_CHECKING:
    from hallmark.pipeline.closure import Closure


def explain(name: str, closure: Closure, now: str, recorded: str | None, *, why_unknown: str = "") -> str:
    """Lists a stage's files with the chain of imports behind each, those that changed first.

    Args:
        name: Of the stage.
        closure: Its files as they are.
        now: The text of the closure's digest file.
        recorded: That of the digest file the stage last ran on, None where it is not known.
        why_unknown: Why it is not known.
    """
    digest = hashlib.sha256(now.encode()).hexdigest()[:12]
    lines = [f"{name} runs on {len(closure.why)} files (digest {digest})."]
    marks: dict[str, str] = {}
    removed: list[str] = []
    if recorded is None:
        lines.append(f"Changes are not known: {why_unknown}")
    else:
        found = changes(recorded, now)
        marks = dict.fromkeys(found.edited, "edited") | dict.fromkeys(found.added, "added")
        removed = found.removed
        lines.append(
            f"Changed since dvc.lock: {len(found.edited)} edited, {len(found.added)} added, {len(removed)} removed."
            if found
            else "None changed since dvc.lock."
        )
    lines.append("")
    shown = sorted(entries(now), key=lambda path: (path not in marks, path))
    width = max(len(path) for path in [*shown, *removed])
    lines += [f"  removed   {path}" for path in removed]
    for path in shown:
        chain = " > ".join(closure.why[path])
        reason = f"imported: {chain}" if path.endswith(".py") else f"read by: {chain}"
        if chain == closure.module and path.endswith(".py"):
            reason = "the stage itself"
        lines.append(f"  {marks.get(path, ''):<8}  {path:<{width}}  {reason}")
    return "\n".join(lines) + "\n"
