"""How the labels of a manifest are spelt."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from hallmark.images import labels

if TYPE_CHECKING:
    import pandas as pd

_log = logging.getLogger("hallmark")


def account(manifest: pd.DataFrame) -> dict[str, Any]:
    """Labels found in several spellings, and similar labels; logs a warning for the similar ones."""
    labelled = manifest[manifest["label"].notna()]
    spellings = labels.account(zip(labelled["label"], labelled["label_found"], strict=True))
    for line in labels.notices(spellings):
        _log.warning("%s", line)
    return spellings
