"""Classifies image files on disk, decoding them in guarded processes."""

from __future__ import annotations

import json
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from hallmark.serving import answers, paths, preprocessing
from hallmark.serving.classifier import Classifier
from hallmark.serving.source import resolve

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from hallmark.images.guard import Guarded, Limits
    from hallmark.serving.source import Source

LIMIT = 512 * 2**20  # bytes of a file
MANY = 50  # files from which a progress bar is shown


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """A model's classes, and one row per file, computed lazily.

    A row has ``path`` and ``error``, or ``path``, ``label``, ``probability`` (of the label), and ``probabilities`` and
    ``calibrated`` as in :func:`hallmark.serving.answers.answer`.
    """

    classes: list[str]
    rows: Iterator[dict[str, Any]]


def predict(
    files: Iterable[paths.Named], *, model_uri: str, limits: Limits, workers: int, fallback: Path | None = None
) -> Predicted:
    """Rows in the order of the files; a row does not depend on the other files.

    ``model_uri``, ``fallback`` and the errors raised are those of :func:`hallmark.serving.source.resolve`.
    """
    source = resolve(model_uri, fallback=fallback)
    classes = list(json.loads(source.files["model.json"])["classes"])
    return Predicted(classes=classes, rows=rows_of(source, files, limits, max(1, workers)))


def answered(pixels: NDArray[np.uint8], classifier: Classifier, temperature: float | None) -> dict[str, Any]:
    """The part of a row that a preprocessed image uint8 [height, width, channels] decides."""
    probabilities = classifier.classify(pixels[None])[0]
    answer = answers.answer(probabilities, classifier.classes, temperature)
    return {"label": answer["label"], "probability": answer["probabilities"][answer["label"]], **answer}


def rows_of(
    source: Source,
    files: Iterable[paths.Named],
    limits: Limits,
    workers: int,
    classifier: Classifier | None = None,
) -> Iterator[dict[str, Any]]:
    """The rows of files, in their order, by the classifier of the source, which is loaded if it is not given."""
    processes = [preprocessing.process(source.files, limits) for _ in range(workers)]
    idle: SimpleQueue[Guarded] = SimpleQueue()
    for guarded in reversed(processes):
        idle.put(guarded)

    def prepared(one: paths.Named) -> NDArray[np.uint8] | str:
        """The pixels of a file, or the error."""
        if one.error:
            return one.error
        try:
            data = paths.read(one.path, LIMIT)
        except OSError as error:
            return f"cannot be read: {error.strerror or error}"
        guarded = idle.get()
        try:
            return preprocessing.prepared(guarded, data, limits)
        except ValueError as error:
            return str(error)
        finally:
            idle.put(guarded)

    threads = ThreadPoolExecutor(workers)
    try:
        stream = iter(files)
        waiting = deque((one, threads.submit(prepared, one)) for one in islice(stream, 4 * workers))
        # the network loads while the processes start
        classifier = classifier or Classifier(source.files)
        while waiting:
            one, future = waiting.popleft()
            row: dict[str, Any] = {"path": paths.printable(one.path)}
            pixels = future.result()
            if isinstance(pixels, str):
                yield {**row, "error": pixels}
            else:
                yield row | answered(pixels, classifier, source.temperature)
            waiting.extend((each, threads.submit(prepared, each)) for each in islice(stream, 1))
    finally:
        for guarded in processes:
            guarded.kill()
        threads.shutdown(cancel_futures=True)


def line(row: dict[str, Any]) -> str:
    """A row as text: path, class and calibrated probability (the network's own without a temperature), or the error.

    >>> line({"path": "a.png", "label": "cat", "probability": 0.9, "calibrated": {"cat": 0.75, "dog": 0.25}})
    'a.png\\tcat\\t0.750'
    >>> line({"path": "b.png", "error": "no such file"})
    'b.png\\terror: no such file'
    """
    path = one_line(row["path"])
    if "error" in row:
        return f"{path}\terror: {one_line(row['error'])}"
    probability = row["probability"] if row["calibrated"] is None else row["calibrated"][row["label"]]
    return f"{path}\t{one_line(row['label'])}\t{probability:.3f}"


def one_line(text: str) -> str:
    """Untrusted text with control characters escaped: it cannot end a line, split columns or control a terminal.

    >>> one_line("new\\nline")
    'new\\\\nline'
    """
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def watched(rows: Iterator[dict[str, Any]], total: int) -> Iterator[dict[str, Any]]:
    """The rows; from :data:`MANY` on, with a progress bar if standard error is a terminal."""
    if total < MANY or not sys.stderr.isatty():
        yield from rows
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("images classified"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # lines printed meanwhile appear above the bar, unless they go to a file or a pipe
    above = sys.stdout.isatty()
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=above) as progress:
        task = progress.add_task("", total=total)
        for row in rows:
            yield row
            progress.advance(task)
