"""The albumentations transforms a policy may name, their arguments, and what strength means for each.

A policy is a list of ``{name, p, arguments}``. Every transform maps a uint8 image to a uint8 image, needs no other data
(masks, boxes, reference images) and runs on one and three channels from 8 x 8 pixels on, unless marked ``colour``
(three channels only). Names are looked up in this table; no dotted path is imported and nothing is evaluated.

Strength: each amount has a neutral value at which it has no effect; at strength s a value v becomes
neutral + s * (v - neutral). A transform without amounts (a flip) has no strength.

>>> scaled({"name": "Rotate", "p": 0.5, "arguments": {"limit": 20}}, 0.5)
{'name': 'Rotate', 'p': 0.5, 'arguments': {'limit': 10.0}}
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

Transform = dict[str, Any]

# names in params for OpenCV's constants
INTERPOLATIONS = {"nearest": 0, "linear": 1, "cubic": 2, "area": 3, "lanczos4": 4}
BORDERS = {"constant": 0, "replicate": 1, "reflect": 2, "wrap": 3, "reflect_101": 4}


@dataclass(frozen=True, kw_only=True)
class Amount:
    """An argument with a strength. ``default`` (the library's) applies if a policy omits it."""

    neutral: float
    default: Any = None
    pair: bool = False  # must be [low, high]: the library reads a single number differently
    whole: bool = False
    odd: bool = False
    low: float = -math.inf  # what the library accepts
    high: float = math.inf


@dataclass(frozen=True, kw_only=True)
class Entry:
    amounts: dict[str, Amount] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    colour: bool = False  # has a meaning on three channels only


_WARP = ("interpolation", "border_mode", "fill")

CATALOGUE: dict[str, Entry] = {
    "NoOp": Entry(),
    # symmetries
    "HorizontalFlip": Entry(),
    "VerticalFlip": Entry(),
    "Transpose": Entry(),
    "RandomRotate90": Entry(),
    "D4": Entry(),
    # geometry
    "Rotate": Entry(amounts={"limit": Amount(neutral=0, default=[-90, 90])}, others=_WARP),
    "Affine": Entry(
        amounts={
            "scale": Amount(neutral=1, pair=True, low=0.05),
            "translate_percent": Amount(neutral=0, pair=True),
            "translate_px": Amount(neutral=0, pair=True, whole=True),
            "rotate": Amount(neutral=0, pair=True),
            "shear": Amount(neutral=0, pair=True),
        },
        others=(*_WARP, "keep_ratio", "balanced_scale"),
    ),
    "Perspective": Entry(amounts={"scale": Amount(neutral=0, default=[0.05, 0.1])}, others=_WARP),
    "ElasticTransform": Entry(
        amounts={"alpha": Amount(neutral=0, default=1.0)}, others=(*_WARP, "sigma", "same_dxdy", "approximate")
    ),
    "GridDistortion": Entry(
        amounts={"distort_limit": Amount(neutral=0, default=[-0.3, 0.3], low=-1, high=1)},
        others=(*_WARP, "num_steps", "normalized"),
    ),
    "OpticalDistortion": Entry(
        amounts={"distort_limit": Amount(neutral=0, default=[-0.05, 0.05])}, others=(*_WARP, "mode")
    ),
    "RandomResizedCrop": Entry(
        amounts={
            "scale": Amount(neutral=1, default=[0.08, 1.0], pair=True, low=0.02, high=1),
            "ratio": Amount(neutral=1, default=[0.75, 4 / 3], pair=True, low=0.1),
        },
        others=("interpolation",),
    ),
    # occlusion
    "CoarseDropout": Entry(
        amounts={
            "hole_height_range": Amount(neutral=0, default=[0.1, 0.2], pair=True, high=1),
            "hole_width_range": Amount(neutral=0, default=[0.1, 0.2], pair=True, high=1),
        },
        others=("num_holes_range", "fill"),
    ),
    "GridDropout": Entry(
        amounts={"ratio": Amount(neutral=0, default=0.5, low=0.01, high=1)}, others=("random_offset", "fill")
    ),
    "Erasing": Entry(
        amounts={"scale": Amount(neutral=0, default=[0.02, 0.33], pair=True, low=0.001, high=0.9)},
        others=("ratio", "fill"),
    ),
    "PixelDropout": Entry(
        amounts={"dropout_prob": Amount(neutral=0, default=0.01, high=1)}, others=("per_channel", "drop_value")
    ),
    # light and tone
    "RandomBrightnessContrast": Entry(
        amounts={
            "brightness_limit": Amount(neutral=0, default=[-0.2, 0.2]),
            "contrast_limit": Amount(neutral=0, default=[-0.2, 0.2]),
        },
        others=("brightness_by_max", "ensure_safe_range"),
    ),
    "RandomGamma": Entry(amounts={"gamma_limit": Amount(neutral=100, default=[80, 120], pair=True, low=5)}),
    "RandomToneCurve": Entry(amounts={"scale": Amount(neutral=0, default=0.1, high=1)}, others=("per_channel",)),
    "Illumination": Entry(
        amounts={"intensity_range": Amount(neutral=0, default=[0.01, 0.2], pair=True, low=0.01, high=0.2)},
        others=("mode", "effect_type"),
    ),
    "RandomShadow": Entry(
        amounts={"shadow_intensity_range": Amount(neutral=0, default=[0.5, 0.5], pair=True, high=1)},
        others=("shadow_roi", "num_shadows_limit", "shadow_dimension"),
    ),
    "CLAHE": Entry(
        amounts={"clip_limit": Amount(neutral=1, default=[1.0, 4.0], pair=True, low=1)}, others=("tile_grid_size",)
    ),
    "AutoContrast": Entry(others=("cutoff",)),
    "Equalize": Entry(others=("mode", "by_channels")),
    "Posterize": Entry(amounts={"num_bits": Amount(neutral=8, default=[4, 4], pair=True, whole=True, low=1)}),
    "Solarize": Entry(amounts={"threshold_range": Amount(neutral=1, default=[0.5, 0.5], pair=True, low=0)}),
    "InvertImg": Entry(),
    # colour
    "ColorJitter": Entry(
        amounts={
            "brightness": Amount(neutral=1, default=[0.8, 1.2], pair=True, low=0),
            "contrast": Amount(neutral=1, default=[0.8, 1.2], pair=True, low=0),
            "saturation": Amount(neutral=1, default=[0.8, 1.2], pair=True, low=0),
            "hue": Amount(neutral=0, default=[-0.5, 0.5], pair=True, low=-0.5, high=0.5),
        },
        colour=True,
    ),
    "HueSaturationValue": Entry(
        amounts={
            "hue_shift_limit": Amount(neutral=0, default=[-20, 20]),
            "sat_shift_limit": Amount(neutral=0, default=[-30, 30]),
            "val_shift_limit": Amount(neutral=0, default=[-20, 20]),
        },
        colour=True,
    ),
    "RGBShift": Entry(
        amounts={f"{channel}_shift_limit": Amount(neutral=0, default=[-20, 20]) for channel in "rgb"}, colour=True
    ),
    "FancyPCA": Entry(amounts={"alpha": Amount(neutral=0, default=0.1)}, colour=True),
    "PlanckianJitter": Entry(others=("mode", "temperature_limit", "sampling_method"), colour=True),
    "ChannelShuffle": Entry(colour=True),
    "ToGray": Entry(others=("method",), colour=True),
    "ToSepia": Entry(colour=True),
    # sharpness
    "GaussianBlur": Entry(amounts={"sigma_limit": Amount(neutral=0, default=[0.5, 3.0], pair=True)}),
    "MotionBlur": Entry(
        amounts={"blur_limit": Amount(neutral=1, default=[3, 7], pair=True, odd=True)},
        others=("allow_shifted", "angle_range", "direction_range"),
    ),
    "Sharpen": Entry(
        amounts={"alpha": Amount(neutral=0, default=[0.2, 0.5], pair=True, high=1)}, others=("lightness",)
    ),
    "Downscale": Entry(
        amounts={"scale_range": Amount(neutral=1, default=[0.25, 0.25], pair=True, low=0.13, high=0.99)}
    ),
    "ImageCompression": Entry(
        amounts={"quality_range": Amount(neutral=100, default=[99, 100], pair=True, whole=True, low=1)},
        others=("compression_type",),
    ),
    "Morphological": Entry(
        amounts={"scale": Amount(neutral=1, default=[2, 3], pair=True, whole=True)}, others=("operation",)
    ),
    # noise
    "GaussNoise": Entry(
        amounts={"std_range": Amount(neutral=0, default=[0.2, 0.44], pair=True, high=1)}, others=("per_channel",)
    ),
    "ShotNoise": Entry(amounts={"scale_range": Amount(neutral=0, default=[0.1, 0.3], pair=True)}),
    "MultiplicativeNoise": Entry(
        amounts={"multiplier": Amount(neutral=1, default=[0.9, 1.1], pair=True, low=0)},
        others=("per_channel", "elementwise"),
    ),
    "SaltAndPepper": Entry(
        amounts={"amount": Amount(neutral=0, default=[0.01, 0.06], pair=True, high=1)}, others=("salt_vs_pepper",)
    ),
    "ISONoise": Entry(
        amounts={
            "color_shift": Amount(neutral=0, default=[0.01, 0.05], pair=True, high=1),
            "intensity": Amount(neutral=0, default=[0.1, 0.5], pair=True),
        },
        colour=True,
    ),
}


def has_strength(transform: Transform) -> bool:
    """Whether the (checked) transform has an amount."""
    return transform["name"] in CATALOGUE and bool(
        set(CATALOGUE[transform["name"]].amounts) & set(transform["arguments"])
    )


def scaled(transform: Transform, strength: float) -> Transform:
    """The checked transform with every amount moved to neutral + strength * (value - neutral)."""
    amounts = CATALOGUE[transform["name"]].amounts
    arguments = {
        key: _scale(value, amounts[key], strength) if key in amounts else value
        for key, value in transform["arguments"].items()
    }
    return {**transform, "arguments": arguments}


def _scale(value: Any, amount: Amount, strength: float) -> Any:
    if isinstance(value, list):
        return [_scale(each, amount, strength) for each in value]
    moved = amount.neutral + strength * (value - amount.neutral)
    moved = round(min(max(moved, amount.low), amount.high), 6)
    if amount.odd:
        return max(3, 2 * round((moved - 1) / 2) + 1)
    return round(moved) if amount.whole else float(moved)
