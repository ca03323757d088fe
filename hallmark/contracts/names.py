"""The closed lists of words that files, reports and people share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The folder that stands for none where a param is a path that DVC watches; committed, and empty.
NO_FOLDER = "data/none"

#: The built-in data, which the DVC stage ``demo`` creates.
DEMO = "data/demo"

SPLITS = ("train", "val", "test")

#: The columns of a table of predictions beside a probability for each class; repeat and fold are a cross-validation's.
PREDICTION = ("path", "repeat", "fold", "label", "predicted")

FATES = ("kept", "flagged", "relabelled", "removed", "quarantined")

REASONS = (
    "empty_file",
    "not_an_image",
    "truncated",
    "corrupt",
    "stray_file",
    "unreadable_file",
    "outside_source",
    "multi_frame",
    "split_leak",
    "missing_value",
    "group_capped",
    "noisy",
    "decompression_bomb",
    "unsupported_format",
    "too_small",
    "too_large",
    "extreme_aspect",
    "blank",
    "too_dark",
    "too_bright",
    "blurry",
    "low_contrast",
    "exact_duplicate",
    "near_duplicate",
    "conflicting_duplicate",
    "outlier",
    "label_issue",
    "unlabelled",
    "class_too_small",
    "excluded_by_review",
    "relabelled_by_review",
)


def join_reasons(reasons: list[str] | set[str] | tuple[str, ...]) -> str:
    """Reasons as one ``;``-joined string, each once, in the order of :data:`REASONS`.

    >>> join_reasons({"blurry", "too_dark"})
    'too_dark;blurry'
    """
    unknown = set(reasons) - set(REASONS)
    assert not unknown, f"not in the closed list of reasons: {sorted(unknown)}"
    return ";".join(reason for reason in REASONS if reason in set(reasons))


def probability_columns(classes: Sequence[str]) -> list[str]:
    """The column of each class: its name, or ``probability_<name>`` where a fixed column has that name.

    >>> probability_columns(["cat", "label"])
    ['cat', 'probability_label']
    """
    taken = {*PREDICTION, *classes}
    columns = []
    for name in classes:
        column = name
        while column in PREDICTION or (column != name and column in taken):
            column = f"probability_{column}"
        taken.add(column)
        columns.append(column)
    return columns
