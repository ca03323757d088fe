"""Answers for image files on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hallmark.contracts.errors import InputError
from hallmark.serving.classifier import Classifier
from hallmark.serving.source import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


def predict(paths: Sequence[Path], *, model_uri: str, fallback: Path | None = None) -> Iterator[dict[str, Any]]:
    """One row per file, in the order given: ``path, label, probability, probabilities`` (by class).

    ``model_uri`` and ``fallback`` as for :func:`hallmark.serving.source.resolve`. Raises InputError before the first
    row where a path is no file, and after the last one where files could not be decoded: the others have their answer.
    """
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise InputError(f"no file {', '.join(missing)}", remedy="give paths of image files")
    classifier = Classifier(resolve(model_uri, fallback=fallback).folder)
    return _rows(classifier, paths)


def _rows(classifier: Classifier, paths: Sequence[Path]) -> Iterator[dict[str, Any]]:
    bad = []
    for path in paths:
        try:
            found = classifier.probabilities([path.read_bytes()])[0]
        except (ValueError, OSError) as error:
            bad.append(f"{path}: {str(error).removeprefix('image 0 ')}")
            continue
        probabilities = {name: float(value) for name, value in zip(classifier.classes, found, strict=True)}
        label = classifier.labels(found[None])[0]
        yield {
            "path": str(path),
            "label": label,
            "probability": probabilities[label],
            "probabilities": probabilities,
        }
    if bad:
        raise InputError(
            f"{len(bad)} of {len(paths)} files got no answer: {'; '.join(bad)}", remedy="give whole image files"
        )
