"""The state behind the page: findings, decisions, pictures. Read anew when a run has changed what it was read from."""

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
SHOWN = 6  # neighbours of a kind
COPIES = 12


class Changed(Exception):
    """A decision about bytes that are no longer those at the path."""


class ReviewSession:
    """One workspace under review. Threads may share it; unknown paths raise KeyError.

    Raises InputError where the stages have not run, or data/review.csv is missing or faulty.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.journal = Journal(root / "data" / "review.csv")
        self._lock = threading.Lock()
        self._read()

    def _read(self) -> None:
        self._seen = self._signature()
        self._findings: Findings = suspects.load(self._root, self.journal.in_force())
        self._by_path = {one.path: one for one in self._findings.suspects}
        shards = self._root / "data" / "ingest"
        self._neighbours = Neighbours(self._findings.files, shards, workers=workers())
        self._reader = Reader(shards)

    def _signature(self) -> tuple[tuple[int, int] | None, ...]:
        places = suspects.places(self._root).values()
        return tuple((place.stat().st_mtime_ns, place.stat().st_ino) if place.exists() else None for place in places)

    def refresh(self) -> None:
        """Reads the workspace anew where a finished run has changed it; while one is active nothing changes."""
        with self._lock:
            # to ask who holds the lock is to hold it for a moment: only where there is something to read
            if self._signature() != self._seen and lock.holder(self._root) is None:
                self._reader.close()
                self._read()

    def state(self) -> Json:
        """Everything the page shows but pictures."""
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

    def _item(self, one: Suspect, said: Decision | None) -> Json:
        in_force = said is not None and said.content_hash == one.content_hash
        measured: list[tuple[str, str]] = []
        if one.label_quality is not None and one.kind == "label":
            measured.append(("label quality", words.number(one.label_quality)))
        if one.outlier_score is not None and one.kind == "outlier":
            measured.append(("distance to its neighbours", words.number(one.outlier_score)))
        if max(one.size) > 1:
            measured.append(("size", f"{one.size[0]} × {one.size[1]} px"))
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
            "measured": measured,
            "decision": None
            if said is None or not in_force
            else {"decision": said.decision, "label": said.label, "note": said.note, "when": said.when},
            "stale": None if said is None or in_force else {"decision": said.decision, "label": said.label},
        }

    def neighbours(self, path: str) -> list[Json]:
        """Rows of pictures to compare with: its copies, the nearest of its own label, and of the one suggested (of any
        other where none is)."""
        one = self._by_path[path]
        rows = []
        if one.copies:
            rows.append(self._row("its copies", "", list(one.copies[:COPIES])))
        rows.append(self._row("labelled the same", one.label, self._neighbours.nearest(path, one.label, count=SHOWN)))
        if one.suggested_label:
            near = self._neighbours.nearest(path, one.suggested_label, count=SHOWN)
            rows.append(self._row("labelled as suggested", one.suggested_label, near))
        else:
            near = self._neighbours.nearest_of_others(path, one.label, count=SHOWN)
            rows.append(self._row("most alike with another label", "", near))
        return rows

    def _row(self, title: str, label: str, paths: list[str]) -> Json:
        known = self._findings.files.loc[paths]
        pictured = [
            {"path": path, "label": used or found, "fate": fate}
            for path, used, found, fate in zip(paths, known["used_label"], known["label"], known["fate"], strict=True)
        ]
        return {"title": title, "label": label, "pictures": pictured}

    def picture(self, path: str, side: int) -> tuple[str, bytes] | None:
        """Media type and bytes of the image at a path within ``side`` pixels; None where it cannot be decoded."""
        shard, row, width = self._findings.files.loc[[path], ["shard", "row", "width"]].to_numpy(int)[0]
        if width == 0:
            return None
        with self._lock:
            data, bits = self._reader.read(shard, row), self._reader.bits
        return pictures.reduced(data, side, bits)

    def decide(self, path: str, content_hash: str, decision: str | None, label: str, note: str) -> Json:
        """Writes a decision (None withdraws it); the item as it is then.

        Raises Changed where ``content_hash`` is not that of the path, InputError for a label that cannot be given.
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
            raise InputError(f"it is labelled '{label}' already", remedy="keep it instead")
        label = label if decision == "relabel" else ""
        self.journal.record(Decision(path=path, content_hash=content_hash, decision=decision, label=label, note=note))
        return self.item(path)
