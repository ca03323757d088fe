"""Recognises train, val and test in the names of folders and files and in table cells.

A split's name is a keyword (those of Hugging Face's hub and their abbreviations), optionally with filler words
(``set``, ``images``) and numbers around it, in any case, with or without separators.

>>> [split_of(name) for name in ("train", "Training Set", "val2017", "TestImages", "dev", "trains", "testify")]
['train', 'train', 'val', 'test', 'val', None, None]
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from hallmark.images.labels import trimmed

if TYPE_CHECKING:
    from collections.abc import Iterable

_KEYWORDS = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validation", "validate", "validating", "dev", "development"),
    "test": ("test", "testing", "tst", "eval", "evaluation"),
}
SPLIT_OF = {word: split for split, words in _KEYWORDS.items() for word in words}

#: The allowed values of a manifest's column ``split``, for messages.
ALLOWED = "train (training), val (valid, validation, dev) or test (testing, eval, evaluation)"

# filler words, which may precede or follow a keyword
_PLAIN = (
    *("set", "sets", "subset", "split", "splits", "part", "partition", "folder", "dir", "directory", "fold"),
    *(
        "data",
        "dataset",
        "datasets",
        "image",
        "images",
        "img",
        "imgs",
        "picture",
        "pictures",
        "pics",
        "photo",
        "photos",
    ),
    *("sample", "samples", "file", "files", "jpg", "jpeg", "png", "raw", "all", "final", "full", "new", "v"),
)
_EVAL = {"eval", "evaluation"}
_WORD = "|".join(sorted((*SPLIT_OF, *_PLAIN), key=len, reverse=True))
_RUN = re.compile(rf"(?:{_WORD})+")
_PIECE = re.compile(_WORD)
_WORDS = re.compile(r"[^\W\d_]+")


def split_of(name: str) -> str | None:
    """train, val or test if the name consists of one of them and filler words; None for any other name."""
    split, others = parse(name)
    return None if others else split


def parse(name: str) -> tuple[str | None, frozenset[str]]:
    """The split that a name mentions (None for none or several), and its words that are neither keyword nor filler.

    ``trainval``, which is yet to be divided, counts as train.

    >>> parse("seg_train"), parse("trainval")[0], parse("train_vs_test")[0]
    (('train', frozenset({'seg'})), 'train', None)
    """
    keywords: set[str] = set()
    others: set[str] = set()
    for word in _words(name):
        pieces = _PIECE.findall(word) if _RUN.fullmatch(word) else [word]
        for piece in pieces:
            if piece in SPLIT_OF:
                keywords.add(SPLIT_OF[piece])
            elif piece not in _PLAIN:
                others.add(piece)
    split = "train" if keywords == {"train", "val"} else next(iter(keywords)) if len(keywords) == 1 else None
    return split, frozenset(others)


def split_of_each(names: Iterable[str]) -> dict[str, str]:
    """The sibling names that denote splits: on their own, or by a common stem (``seg_train``, ``seg_test``).

    ``eval`` is test, as on Hugging Face's hub, but val if there is another test and no other val.

    >>> split_of_each(["seg_train", "seg_test", "seg_pred"])
    {'seg_train': 'train', 'seg_test': 'test'}
    >>> split_of_each(["train", "eval", "test"])
    {'train': 'train', 'eval': 'val', 'test': 'test'}
    """
    assigned: dict[str, str] = {}
    stems: dict[frozenset[str], dict[str, str]] = {}
    for name in names:
        split, others = parse(name)
        if split is not None:
            stems.setdefault(others, {})[name] = split
    for others, members in stems.items():
        if not others or len(set(members.values())) > 1:
            assigned |= members
    judged = [name for name in assigned if _EVAL.intersection(_words(name))]
    tested = any(assigned[name] == "test" for name in assigned if name not in judged)
    if tested and "val" not in assigned.values():
        assigned |= dict.fromkeys(judged, "val")
    return assigned


def _words(name: str) -> list[str]:
    text = unicodedata.normalize("NFKC", trimmed(name))
    # CamelCase: TrainImages
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", text)
    return [word.casefold() for word in _WORDS.findall(text)]
