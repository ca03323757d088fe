"""The closed list of reasons for flagging or excluding a file, and the ``;``-joined text that tables hold.

A text has each reason once, in the order of :data:`REASONS`; it is empty if there are none.

>>> text = join_reasons(["blurry", "too_dark"])
>>> text, split_reasons(text)
('too_dark;blurry', ('too_dark', 'blurry'))
>>> add_reasons(text, "outlier", "blurry"), without_reasons(text, "blurry"), has_reason(text, "dark")
('too_dark;blurry;outlier', 'too_dark', False)

For a column:

>>> import pandas as pd
>>> column = pd.Series(["too_dark;blurry", "", "blurry"], dtype="string")
>>> having(column, ["too_dark", "outlier"]).tolist(), counts(column)
([True, False, False], {'too_dark': 1, 'blurry': 2})
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

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


def join_reasons(reasons: Iterable[str]) -> str:
    """The text of the reasons; asserts that they are in the closed list."""
    distinct = set(reasons)
    unknown = distinct - set(REASONS)
    assert not unknown, f"not in the closed list of reasons: {sorted(unknown)}"
    return ";".join(reason for reason in REASONS if reason in distinct)


def split_reasons(text: str) -> tuple[str, ...]:
    """The reasons in a text, in order."""
    return tuple(text.split(";")) if text else ()


def add_reasons(text: str, *reasons: str) -> str:
    """The text with these reasons added."""
    return join_reasons((*split_reasons(text), *reasons))


def without_reasons(text: str, *reasons: str) -> str:
    """The text without these reasons."""
    return join_reasons(reason for reason in split_reasons(text) if reason not in reasons)


def has_reason(text: str, *reasons: str) -> bool:
    """Whether the text has any of these reasons."""
    return not set(reasons).isdisjoint(split_reasons(text))


def having(column: pd.Series, reasons: Iterable[str]) -> NDArray[np.bool_]:
    """Rows that have any of these reasons: bool [rows]; a missing text has none."""
    import numpy as np
    import pandas as pd

    wanted = tuple(reasons)
    codes, texts = pd.factorize(column)  # many rows share few distinct texts
    return np.array([*(has_reason(text, *wanted) for text in texts), False], bool)[codes]


def adding(column: pd.Series, rows: Mapping[str, NDArray[np.bool_]]) -> pd.Series:
    """The column with each reason added in its rows, bool [rows]; a missing text counts as none."""
    import numpy as np
    import pandas as pd

    texts = column.fillna("").to_numpy(object)
    marks = {reason: np.zeros(len(texts), bool) for reason in REASONS}
    for row in np.flatnonzero(texts != ""):
        for reason in split_reasons(texts[row]):
            marks[reason][row] = True
    for reason, chosen in rows.items():
        marks[reason] |= chosen
    joined = np.full(len(texts), "", object)
    for reason in REASONS:
        for row in np.flatnonzero(marks[reason]):
            joined[row] += f";{reason}" if joined[row] else reason
    return pd.Series(joined, index=column.index, dtype="string")


def counts(column: pd.Series) -> dict[str, int]:
    """The number of rows with each reason that occurs, in the order of :data:`REASONS`."""
    rows = Counter[str]()
    for text, n in column.value_counts().items():
        rows.update(dict.fromkeys(split_reasons(str(text)), int(n)))
    return {reason: rows[reason] for reason in REASONS if reason in rows}
