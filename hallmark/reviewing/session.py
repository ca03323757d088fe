"""The state behind the page: findings, decisions and pictures, reloaded after a run has changed its tables."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from hallmark.contracts.errors import InputError
from hallmark.contracts.runtime import workers
from hallmark.images.shards import Reader
from hallmark.pipeline import lock
from hallmark.reporting import pictures, words
from hallmark.reviewing import suspects
from hallmark.reviewing.journal import Decision, Journal
from hallmark.reviewing.neighbours import Neighbours

if TYPE_CHECKING:
    from pathlib import Path

    from hallmark.reviewing.suspects import Findings, Suspect

Json = dict[str, Any]
NEIGHBOURS = 6  # per row
COPIES = 12


class Changed(Exception):
    """A decision on content that is no longer at the path."""


class ReviewSession:
    """One workspace under review, shared by threads. Unknown paths raise KeyError.

    Raises InputError if the stages have not run, or data/review.csv is missing or invalid.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.journal = Journal(root / "data" / "review.csv")
        self._lock = threading.Lock()
        self._read()

    def _read(self) -> None:
        self._loaded_signature = self._signature()
        self._findings: Findings = suspects.load(self._root, self.journal.in_force())
        self._by_path = {one.path: one for one in self._findings.suspects}
        shards = self._root / "data" / "ingest"
        self._neighbours = Neighbours(self._findings.files, shards, workers=workers())
        self._reader = Reader(shards)

    def _signature(self) -> tuple[tuple[int, int] | None, ...]:
        paths = suspects.table_paths(self._root).values()
        return tuple((path.stat().st_mtime_ns, path.stat().st_ino) if path.exists() else None for path in paths)

    def refresh(self) -> None:
        """Reloads the workspace after a finished run has changed it; does nothing during a run."""
        with self._lock:
            # lock.holder takes the lock for a moment, so call it only after a change
            if self._signature() != self._loaded_signature and lock.holder(self._root) is None:
                self._reader.close()
                self._read()

    def state(self) -> Json:
        """Everything the page shows except pictures."""
        self.refresh()
        decisions = self.journal.in_force()
        findings = self._findings
        return {
            "classes": findings.classes,
            "kinds": suspects.KINDS,
            "found": len(findings.files),
            "refused": findings.refused,
            "gone": findings.gone,
            "undoable": self.journal.undoable,
            "items": [self._item(one, decisions.get(one.path)) for one in findings.suspects],
        }

    def item(self, path: str) -> Json:
        """One suspect as in :meth:`state`."""
        return self._item(self._by_path[path], self.journal.in_force().get(path))

    def _item(self, one: Suspect, decision: Decision | None) -> Json:
        in_force = decision is not None and decision.content_hash == one.content_hash
        measurements: list[tuple[str, str]] = []
        if one.label_quality is not None and one.kind == "label":
            measurements.append(("label quality", words.number(one.label_quality)))
        if one.outlier_score is not None and one.kind == "outlier":
            measurements.append(("distance to its neighbours", words.number(one.outlier_score)))
        if max(one.size) > 1:
            measurements.append(("size", f"{one.size[0]} × {one.size[1]} px"))
        return {
            "path": one.path,
            "hash": one.content_hash,
            "kind": one.kind,
            "label": one.label,
            "used": one.used_label,
            "suggested": one.suggested_label,
            "split": one.split,
            "fate": one.fate,
            "meaning": words.FATES[one.fate],
            "why": words.reasons_in_words(one.reasons),
            "measured": measurements,
            "decision": None
            if decision is None or not in_force
            else {"decision": decision.decision, "label": decision.label, "note": decision.note, "when": decision.when},
            "stale": None if decision is None or in_force else {"decision": decision.decision, "label": decision.label},
        }

    def neighbours(self, path: str) -> list[Json]:
        """Rows of pictures to compare with: copies, nearest of the same label, nearest of the suggested label.

        Without a suggestion, the last row is the nearest of all other labels.
        """
        one = self._by_path[path]
        rows = []
        if one.copies:
            rows.append(self._row("its copies", "", list(one.copies[:COPIES])))
        rows.append(
            self._row("with the same label", one.label, self._neighbours.nearest(path, one.label, count=NEIGHBOURS))
        )
        if one.suggested_label:
            near = self._neighbours.nearest(path, one.suggested_label, count=NEIGHBOURS)
            rows.append(self._row("with the suggested label", one.suggested_label, near))
        else:
            near = self._neighbours.nearest_of_others(path, one.label, count=NEIGHBOURS)
            rows.append(self._row("most similar with another label", "", near))
        return rows

    def _row(self, title: str, label: str, paths: list[str]) -> Json:
        files = self._findings.files.loc[paths]
        pictured = [
            {"path": path, "label": used or label, "fate": fate}
            for path, used, label, fate in zip(paths, files["used_label"], files["label"], files["fate"], strict=True)
        ]
        return {"title": title, "label": label, "pictures": pictured}

    def picture(self, path: str, side: int) -> tuple[str, bytes] | None:
        """Media type and bytes of the image at a path within ``side`` pixels; None if it cannot be decoded."""
        shard, row, width = self._findings.files.loc[[path], ["shard", "row", "width"]].to_numpy(int)[0]
        if width == 0:
            return None
        with self._lock:
            data, bits = self._reader.read(shard, row), self._reader.bits
        return pictures.reduced(data, side, bits)

    def decide(self, path: str, content_hash: str, decision: str | None, label: str, note: str) -> Json:
        """Writes a decision (None withdraws it) and returns the updated item.

        Raises Changed if ``content_hash`` is not that of the path, InputError for an invalid label.
        """
        one = self._by_path[path]
        if content_hash != one.content_hash:
            raise Changed(path)
        if decision is None:
            self.journal.withdraw(path)
            return self.item(path)
        if decision == "relabel" and label not in self._findings.classes:
            raise InputError(
                f"there is no class '{label}'", remedy=f"choose one of {', '.join(self._findings.classes)}"
            )
        if decision == "relabel" and label == one.label:
            raise InputError(f"the image already has the label '{label}'", remedy="keep it instead")
        label = label if decision == "relabel" else ""
        self.journal.record(Decision(path=path, content_hash=content_hash, decision=decision, label=label, note=note))
        return self.item(path)
