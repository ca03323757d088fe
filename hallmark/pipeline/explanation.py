"""Explains, as text, why a stage depends on each code file and which of them changed since it last ran."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from hallmark.pipeline.closure import changes, entries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hallmark.pipeline.closure import Closure


def announce(stages: Sequence[str]) -> str:
    """Says that the code of stages changed, before they run again.

    >>> announce(["train", "report"])
    'Code changed since the last run of train, report (`python -m tasks dvcfile --explain train` lists the files)'
    """
    names = ", ".join(stages)
    return (
        f"Code changed since the last run of {names} (`python -m tasks dvcfile --explain {stages[0]}` lists the files)"
    )


def explain(name: str, closure: Closure, now: str, recorded: str | None, *, why_unknown: str = "") -> str:
    """Lists a stage's files with the chain of imports that leads to each, changed files first.

    Args:
        name: The stage.
        closure: Its current files.
        now: The text of the closure's digest file.
        recorded: The text of the digest file the stage last ran on, None if unknown.
        why_unknown: Why it is unknown.
    """
    digest = hashlib.sha256(now.encode()).hexdigest()[:12]
    lines = [f"{name} runs on {len(closure.why)} files (digest {digest})."]
    marks: dict[str, str] = {}
    removed: list[str] = []
    if recorded is None:
        lines.append(f"Changes are unknown: {why_unknown}")
    else:
        changed = changes(recorded, now)
        marks = dict.fromkeys(changed.edited, "edited") | dict.fromkeys(changed.added, "added")
        removed = changed.removed
        lines.append(
            f"Changed since dvc.lock: {len(changed.edited)} edited, {len(changed.added)} added, {len(removed)} removed."
            if changed
            else "None changed since dvc.lock."
        )
    lines.append("")
    paths = sorted(entries(now), key=lambda path: (path not in marks, path))
    width = max(len(path) for path in [*paths, *removed])
    lines += [f"  removed   {path}" for path in removed]
    for path in paths:
        chain = " > ".join(closure.why[path])
        reason = f"imported: {chain}" if path.endswith(".py") else f"read by: {chain}"
        if chain == closure.module and path.endswith(".py"):
            reason = "the stage itself"
        lines.append(f"  {marks.get(path, ''):<8}  {path:<{width}}  {reason}")
    return "\n".join(lines) + "\n"
