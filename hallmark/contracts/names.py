"""Closed lists of names that files, reports and users share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The name under which Hallmark is installed; the index has another `hallmark`.
DISTRIBUTION = "hallmark-ml"

#: The empty, committed folder that means "none" for a param whose path DVC watches.
NO_FOLDER = "data/none"

#: The built-in data, which the DVC stage ``demo`` creates.
DEMO = "data/demo"

#: The remedy in a folder that is no workspace.
ANOTHER_FOLDER = "run from the root of a Hallmark workspace; `hallmark init my-project` creates one"

SPLITS = ("train", "val", "test")

#: The columns of a table of predictions besides one probability per class; cross-validation adds repeat and fold.
PREDICTION = ("path", "repeat", "fold", "label", "predicted")

FATES = ("kept", "flagged", "relabelled", "removed", "quarantined")


def probability_columns(classes: Sequence[str]) -> list[str]:
    """The column of each class: its name, or ``probability_<name>`` if a fixed column has that name.

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
