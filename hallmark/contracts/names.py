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
