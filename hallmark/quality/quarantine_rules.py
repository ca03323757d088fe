"""What quarantines a file, and what refuses the whole set."""

from __future__ import annotations

from dataclasses import dataclass

from hallmark.contracts import require
from hallmark.quality.thresholds import CHOOSABLE


@dataclass(frozen=True, kw_only=True)
class QuarantineRules:
    """A stage's section of params.yaml holds these values beside its own.

    ``missing`` is what to do about missing values, ``quarantine`` the reasons that quarantine a file,
    ``on_small_class`` what to do about a class of fewer than ``min_images_per_class`` images. More than
    ``max_quarantine_share`` of the files in quarantine refuse the set.
    """

    missing: str
    quarantine: list[str]
    max_quarantine_share: float
    min_images_per_class: int
    on_small_class: str

    def __post_init__(self) -> None:
        require.one_of(("quarantine", "impute", "keep"), missing=self.missing)
        require.one_of(("quarantine", "fail"), on_small_class=self.on_small_class)
        require.one_of(CHOOSABLE, quarantine=self.quarantine)
        require.in_range(0, 1, max_quarantine_share=self.max_quarantine_share)
        require.at_least(1, min_images_per_class=self.min_images_per_class)

    @property
    def quarantined(self) -> list[str]:
        """The reasons that quarantine a file, missing values included."""
        return [*self.quarantine, *(["missing_value"] if self.missing == "quarantine" else [])]
