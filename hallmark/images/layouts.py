"""Labels and splits from the folders of files: class folders, or split folders of class folders.

The label is the first folder below the source, or below the split folder; deeper folders make no classes. Folders
around all of them are passed over. Hidden files, what operating systems leave behind, and files outside class folders
are stray. A split folder without class folders holds images without a label. Where the folders can be read in two ways,
InputError names the folders and the remedy.

>>> [(file.path, file.label, file.reasons) for file in arrange(["cat/a.png", "cat/.b.png", "c.png"])[1]]
[('c.png', None, ('stray_file',)), ('cat/.b.png', 'cat', ('stray_file',)), ('cat/a.png', 'cat', ())]
>>> [(file.path, file.label, file.given_split) for file in arrange(["train_set/a/1.png", "test_set/a/2.png"])[1]]
[('test_set/a/2.png', 'a', 'test'), ('train_set/a/1.png', 'a', 'train')]
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hallmark.contracts.errors import InputError
from hallmark.images.entries import Entry
from hallmark.images.splits import split_of, split_of_each

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hallmark.images.entries import Kind

LAYOUTS = ("auto", "class_folders")
_LEFT_BEHIND = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx"}
# files beside images that say nothing about the layout
_DOCUMENTS = {
    *(".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".html", ".htm", ".pdf"),
    *(".doc", ".docx", ".xls", ".xlsx", ".ods", ".py", ".ipynb", ".sh", ".mat", ".npy", ".npz", ".pkl", ".parquet"),
    *(".pq", ".log", ".cfg", ".ini", ".names", ".data", ".lst", ".rec", ".dvc", ".zip", ".tar", ".gz", ".rtf"),
}
_OVERRIDE = "if each of these folders is a class, set ingest.layout=class_folders"


@dataclass
class _Top:
    """A folder below the base: its images that lie in it directly, and the folders in it that hold images."""

    direct: int = 0
    folders: dict[str, _Top] = field(default_factory=dict)

    def add(self, parts: Sequence[str]) -> None:
        if len(parts) == 1:
            self.direct += 1
        else:
            self.folders.setdefault(parts[0], _Top()).add(parts[1:])


def arrange(names: Iterable[str], *, unwrap: bool = False, layout: str = "auto") -> tuple[Kind, list[Entry]]:
    """The kind of the layout, and each file with its label and split, sorted by path.

    ``unwrap``: one folder around all is no class, as archives have it, even if it holds other files or one class alone.
    ``layout`` ``class_folders`` takes the first folders for the classes, whatever they are called. Raises InputError
    if the layout is ambiguous.
    """
    paths = sorted(names)
    split = [path.split("/") for path in paths]
    images = image_parts(split)
    depth = base_depth(images, unwrap=unwrap, layout=layout)
    tree = _Top()
    for parts in images:
        tree.add(parts[depth:])
    by_top = _splits(tree) if layout == "auto" else {}
    depths = {top: _inner(tree.folders[top]) for top in by_top if top in tree.folders}
    unlabelled = _without_labels(tree, by_top, depths)
    around = images[0][:depth] if images else []
    # what lies outside the folders around all images lies in no class folder
    below = [parts[depth:] if parts[:depth] == around else parts[-1:] for parts in split]
    entries = [
        _split_file(path, parts, by_top, depths, unlabelled) if by_top else _class_file(path, parts)
        for path, parts in zip(paths, below, strict=True)
    ]
    return ("split_folders" if by_top else "class_folders"), entries


def is_stray(parts: Sequence[str]) -> bool:
    """Whether a file is hidden, left behind by an operating system, or claims to lie outside its archive."""
    return any(part == "" or part.startswith(".") or part.casefold() in _LEFT_BEHIND for part in parts)


def is_document(name: str) -> bool:
    """Whether a file is a table, a text or the like by its name."""
    return posixpath.splitext(name)[1].casefold() in _DOCUMENTS


def image_parts(split: Iterable[Sequence[str]]) -> list[Sequence[str]]:
    """The visible files, as the parts of their paths, without documents; with them where there is nothing else."""
    visible = [parts for parts in split if not is_stray(parts)]
    return [parts for parts in visible if not is_document(parts[-1])] or visible


def base_depth(images: Sequence[Sequence[str]], *, unwrap: bool = False, layout: str = "auto") -> int:
    """How many folders there are around all images; a folder named as a split is none of them."""
    depth = 0
    while wrapped := wrapper([parts[depth:] for parts in images]):
        below = [parts[depth + 1 :] for parts in images]
        folders = {parts[0] for parts in below if len(parts) > 1}
        loose = any(len(parts) == 1 for parts in below)
        around = not loose and (len(folders) > 1 or bool(wrapper(below)))
        if (layout == "auto" and split_of(wrapped)) or not (around or (unwrap and depth == 0)):
            break
        depth += 1
    return depth


def wrapper(visible: Sequence[Sequence[str]]) -> str:
    """The one folder that all visible files lie in, where it holds folders too; else nothing."""
    tops = {parts[0] for parts in visible}
    return tops.pop() if len(tops) == 1 and any(len(parts) > 2 for parts in visible) else ""


def _splits(tree: _Top) -> dict[str, str]:
    """The split of each split folder; empty where the folders are classes. Raises InputError if ambiguous."""
    tops = tree.folders
    by_top = split_of_each(tops)
    holding = [top for top in by_top if tops[top].folders]
    if not holding:
        if by_top and (len(set(by_top.values())) > 1 or len(by_top) == len(tops)):
            raise _flat(sorted(by_top))
        _refuse_same_folders(tops)
        return {}
    if len({by_top[top] for top in holding}) > 1 or len(by_top) == len(tops) or len(set(by_top.values())) > 1:
        if "train" in by_top.values() and not any(by_top[top] == "train" for top in holding):
            raise _flat([top for top in sorted(by_top) if by_top[top] == "train"])
        return by_top
    # one folder named as a split among others is a class: there are pictures of trains
    others = [top for top in tops if top not in by_top]
    if all(len(tops[top].folders) > 1 and not tops[top].direct for top in holding) and not any(
        tops[top].folders for top in others
    ):
        raise InputError(
            f"the folder '{holding[0]}' is named as a split and holds the folders "
            f"{_listed(tops[holding[0]].folders)}, but beside it lie {_listed(others)}, which are no splits",
            remedy=f"name them train, val and test, or move them out of the source; {_OVERRIDE}",
            field="source",
        )
    _refuse_same_folders(tops)
    return {}


def _flat(tops: Sequence[str]) -> InputError:
    problem = (
        f"the folder '{tops[0]}' is named as a split but holds"
        if len(tops) == 1
        else f"the folders {_listed(tops)} are named as splits but hold"
    )
    return InputError(
        f"{problem} no class folders, so no image has a label",
        remedy=f"put one folder per class into each (such as {tops[0]}/cat/1.png), or a metadata.csv with the columns "
        f"file_name,label; {_OVERRIDE}",
        field="source",
    )


def _refuse_same_folders(tops: dict[str, _Top]) -> None:
    """Raises InputError where all folders hold the same folders: either may be the classes."""
    if len(tops) < 2 or any(top.direct or not top.folders for top in tops.values()):
        return
    each = [set(top.folders) for top in tops.values()]
    common, every = set.intersection(*each), set.union(*each)
    named = split_of_each(every)
    divided = len(named) == len(every) and len(set(named.values())) > 1
    if divided:
        common = every
    elif len(common) < 2 or 2 * len(common) <= len(every):
        return
    if divided:
        remedy = f"put the splits above the classes (such as {min(common)}/{min(tops)}/1.png), or give a manifest"
    else:
        remedy = (
            f"if {_listed(common)} are the classes, name the folders above them train, val and test, or put the images "
            "of each class into one folder"
        )
    raise InputError(
        f"the folders {_listed(tops)} hold the same folders {_listed(common)}, so either may be the classes",
        remedy=f"{remedy}; {_OVERRIDE}",
        field="source",
    )


def _inner(top: _Top) -> int:
    """How many folders there are around all classes of one split (``seg_train/seg_train/sea``)."""
    depth = 0
    while not top.direct and len(top.folders) == 1:
        (inner,) = top.folders.values()
        if inner.direct or not inner.folders or (len(inner.folders) == 1 and not _wraps(inner)):
            break
        top, depth = inner, depth + 1
    return depth


def _wraps(top: _Top) -> bool:
    (inner,) = top.folders.values()
    return not inner.direct and bool(inner.folders) and (len(inner.folders) > 1 or _wraps(inner))


def _without_labels(tree: _Top, by_top: dict[str, str], depths: dict[str, int]) -> set[str]:
    """Split folders whose images have no label: flat ones, and held-out ones with one folder that is no class.

    Such a folder (``test/unknown``) is there for loaders that want one.
    """
    folders = {}
    for top in by_top:
        inner = tree.folders[top]
        for _ in range(depths[top]):
            (inner,) = inner.folders.values()
        folders[top] = set(inner.folders) if not inner.direct or inner.folders else set()
    trained = set().union(*(folders[top] for top in by_top if by_top[top] == "train"))
    return {
        top
        for top in by_top
        if not folders[top]
        or (
            by_top[top] != "train"
            and len(trained) > 1
            and len(folders[top]) == 1
            and not folders[top] & trained
            and not tree.folders[top].direct
        )
    }


def _class_file(path: str, below: Sequence[str]) -> Entry:
    labelled = len(below) > 1 and not is_stray(below[:1])
    stray = not labelled or is_stray(path.split("/"))
    return Entry(path=path, label=below[0] if labelled else None, reasons=("stray_file",) if stray else ())


def _split_file(
    path: str, below: Sequence[str], by_top: dict[str, str], depths: dict[str, int], unlabelled: set[str]
) -> Entry:
    split = by_top.get(below[0]) if len(below) > 1 else None
    hidden = is_stray(path.split("/"))
    if split is not None and below[0] in unlabelled:
        stray = hidden or is_document(path)
        return Entry(path=path, label=None, given_split=split, reasons=("stray_file",) if stray else ("unlabelled",))
    folders = below[1 + depths.get(below[0], 0) : -1] if split is not None else []
    labelled = bool(folders) and not is_stray(folders[:1])
    return Entry(
        path=path,
        label=folders[0] if labelled else None,
        given_split=split,
        reasons=("stray_file",) if hidden or not labelled else (),
    )


def _listed(names: Iterable[str]) -> str:
    """Names as a message shows them.

    >>> _listed(["b", "a"]), _listed("abcdefg")
    ("'a', 'b'", "'a', 'b', 'c', 'd', 'e' and 2 more")
    """
    ordered = sorted(names)
    text = ", ".join(f"'{name}'" for name in ordered[:5])
    return text + (f" and {len(ordered) - 5} more" if len(ordered) > 5 else "")
