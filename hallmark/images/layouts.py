"""Labels and splits from where files lie: class folders, or split folders of class folders.

The label is the first folder below the source, or below the split folder; deeper folders make no classes. Hidden files,
what operating systems leave behind, and files outside class folders are stray.

>>> [(file.path, file.label, file.reasons) for file in arrange(["cat/a.png", "cat/.b.png", "c.png"])[1]]
[('c.png', None, ('stray_file',)), ('cat/.b.png', 'cat', ('stray_file',)), ('cat/a.png', 'cat', ())]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hallmark.images.found import SPLIT_NAMES, Found

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hallmark.images.found import Kind

_LEFT_BEHIND = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx"}


def arrange(names: Iterable[str], *, unwrap: bool = False) -> tuple[Kind, list[Found]]:
    """The kind of the layout, and each file with its label and split, sorted by path.

    ``unwrap``: one folder around all class folders, as archives have it, is no class.
    """
    paths = sorted(names)
    split = [path.split("/") for path in paths]
    visible = [parts for parts in split if not is_stray(parts)]
    depth = 1 if unwrap and wrapper(visible) else 0
    with_splits = _has_splits([parts[depth:] for parts in visible])
    found = [_found(path, parts[depth:], with_splits) for path, parts in zip(paths, split, strict=True)]
    return ("split_folders" if with_splits else "class_folders"), found


def is_stray(parts: Sequence[str]) -> bool:
    """Whether a file is hidden, left behind by an operating system, or claims to lie outside its archive."""
    return any(part == "" or part.startswith(".") or part.casefold() in _LEFT_BEHIND for part in parts)


def wrapper(visible: Sequence[Sequence[str]]) -> str:
    """The one folder that all visible files lie in, where it holds folders too; else nothing."""
    tops = {parts[0] for parts in visible}
    return tops.pop() if len(tops) == 1 and any(len(parts) > 2 for parts in visible) else ""


def _has_splits(visible: Sequence[Sequence[str]]) -> bool:
    """At least two splits hold class folders; or one does, and no folder is named otherwise.

    One folder named as a split among others is a class: there are pictures of trains.
    """
    splits = {SPLIT_NAMES.get(parts[0].casefold()) for parts in visible if len(parts) > 2}
    tops = {SPLIT_NAMES.get(parts[0].casefold()) for parts in visible if len(parts) > 1}
    return len(splits - {None}) >= 2 or (len(splits - {None}) == 1 and None not in tops)


def _found(path: str, below: Sequence[str], with_splits: bool) -> Found:
    given = SPLIT_NAMES.get(below[0].casefold()) if with_splits and len(below) > 1 else None
    folders = below[1:-1] if with_splits else below[:-1]
    labelled = bool(folders) and not (with_splits and given is None) and not is_stray(folders[:1])
    stray = not labelled or is_stray(path.split("/"))
    return Found(
        path=path,
        label=folders[0] if labelled else None,
        given_split=given,
        reasons=("stray_file",) if stray else (),
    )
