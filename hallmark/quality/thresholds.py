"""Limits of the findings about decodable images, and which of them can quarantine."""

from __future__ import annotations

from dataclasses import dataclass

from hallmark.contracts import require

# findings about decodable images, which the params may quarantine
CHOOSABLE = (
    "multi_frame",
    "too_small",
    "too_large",
    "extreme_aspect",
    "blank",
    "too_dark",
    "too_bright",
    "blurry",
    "low_contrast",
    "noisy",
)


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Limits of light, focus and noise; see :func:`hallmark.quality.flags.flag`."""

    blank_contrast: float
    low_contrast: float
    dark_highlight: float
    bright_shadow: float
    blurry_sharpness: float
    blurry_share: float
    noisy_noise: float
    spread: float

    def __post_init__(self) -> None:
        require.in_range(0, 0.5, blank_contrast=self.blank_contrast, low_contrast=self.low_contrast)
        for name in ("dark_highlight", "bright_shadow", "blurry_share", "noisy_noise"):
            require.in_range(0, 1, **{name: getattr(self, name)})
        require.at_least(0, blurry_sharpness=self.blurry_sharpness, spread=self.spread)
