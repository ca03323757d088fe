"""Policies by name. ``augment.policy`` is the name of a preset or a custom list of transforms.

===========  =======================================================================================================
none         no augmentation
light        rotation, flip and scale; almost free, suits tiny images and small networks
standard     light plus shifts, brightness changes, slight blur and small occlusions: the default
strong       standard with wider ranges, crops, distortion and noise; for long training of large networks
trivial      one transform per image at a random strength (TrivialAugment, Müller & Hutter 2021)
random       two of the same list per image (RandAugment, Cubuk et al. 2020)
documents    scans: slight skew and perspective, illumination, ink thickness, compression; no flips
medical      any orientation, slight intensity changes, soft deformation; no colour shifts
satellite    seen from above: all eight symmetries, brightness, haze-like contrast, colour
natural      photographs: crops, mirror, colour, blur, erasing (the usual ImageNet recipe)
===========  =======================================================================================================

The audit of the stage augment drops transforms that change labels on the data set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hallmark.contracts import require
from hallmark.transforms import policy_schema

if TYPE_CHECKING:
    from hallmark.transforms.catalogue import Transform


def _step(name: str, p: float, **arguments: Any) -> Transform:
    return {"name": name, "p": p, "arguments": arguments}


def _one_of(p: float, *members: Transform) -> Transform:
    return _step("OneOf", p, transforms=list(members))


# from Müller & Hutter 2021, table 1, at the widths of their RA space
_OPERATIONS = [
    _step("NoOp", 1.0),
    _step("Affine", 1.0, shear=[-17, 17], border_mode="constant"),
    _step("Affine", 1.0, translate_percent=[-0.3, 0.3], border_mode="constant"),
    _step("Rotate", 1.0, limit=[-30, 30], border_mode="constant"),
    _step("RandomBrightnessContrast", 1.0, brightness_limit=[-0.5, 0.5], contrast_limit=[0, 0]),
    _step("RandomBrightnessContrast", 1.0, brightness_limit=[0, 0], contrast_limit=[-0.7, 0.7]),
    _step("ColorJitter", 1.0, brightness=[1, 1], contrast=[1, 1], saturation=[0.1, 1.9], hue=[0, 0]),
    _step("Sharpen", 1.0, alpha=[0.0, 0.7]),
    _step("Posterize", 1.0, num_bits=[4, 7]),
    _step("Solarize", 1.0, threshold_range=[0.5, 1.0]),
    _step("AutoContrast", 1.0),
    _step("Equalize", 1.0),
]

PRESETS: dict[str, list[Transform]] = {
    "none": [],
    "light": [
        _step("HorizontalFlip", 0.5),
        _step("Affine", 0.7, rotate=[-10, 10], scale=[0.9, 1.1], border_mode="replicate"),
    ],
    "standard": [
        _step("HorizontalFlip", 0.5),
        _step(
            "Affine",
            0.7,
            rotate=[-10, 10],
            scale=[0.9, 1.1],
            translate_percent=[-0.08, 0.08],
            border_mode="replicate",
        ),
        _step("RandomBrightnessContrast", 0.5, brightness_limit=[-0.15, 0.15], contrast_limit=[-0.2, 0.2]),
        _step("HueSaturationValue", 0.3, hue_shift_limit=[-8, 8], sat_shift_limit=[-20, 20], val_shift_limit=[0, 0]),
        _step("GaussianBlur", 0.1, sigma_limit=[0.1, 0.5]),
        _step(
            "CoarseDropout",
            0.2,
            num_holes_range=[1, 1],
            hole_height_range=[0.1, 0.2],
            hole_width_range=[0.1, 0.2],
        ),
    ],
    "strong": [
        _step("HorizontalFlip", 0.5),
        _step("RandomResizedCrop", 0.5, scale=[0.6, 1.0], ratio=[0.8, 1.25]),
        _step(
            "Affine",
            0.7,
            rotate=[-20, 20],
            scale=[0.8, 1.2],
            translate_percent=[-0.12, 0.12],
            shear=[-8, 8],
            border_mode="replicate",
        ),
        _step("GridDistortion", 0.2, distort_limit=[-0.2, 0.2], border_mode="replicate"),
        _step("RandomBrightnessContrast", 0.6, brightness_limit=[-0.25, 0.25], contrast_limit=[-0.3, 0.3]),
        _step("RandomGamma", 0.3, gamma_limit=[70, 140]),
        _step("HueSaturationValue", 0.5, hue_shift_limit=[-15, 15], sat_shift_limit=[-40, 40], val_shift_limit=[0, 0]),
        _one_of(
            0.3,
            _step("GaussianBlur", 1.0, sigma_limit=[0.2, 1.0]),
            _step("GaussNoise", 1.0, std_range=[0.02, 0.08]),
            _step("Sharpen", 1.0, alpha=[0.1, 0.4]),
        ),
        _step(
            "CoarseDropout",
            0.4,
            num_holes_range=[1, 3],
            hole_height_range=[0.1, 0.25],
            hole_width_range=[0.1, 0.25],
        ),
    ],
    "trivial": [_one_of(1.0, *_OPERATIONS)],
    "random": [_step("SomeOf", 1.0, n=2, transforms=_OPERATIONS)],
    "documents": [
        _step(
            "Affine",
            0.6,
            rotate=[-4, 4],
            scale=[0.95, 1.05],
            translate_percent=[-0.03, 0.03],
            shear=[-3, 3],
            border_mode="replicate",
        ),
        _step("Perspective", 0.3, scale=[0.01, 0.04], border_mode="replicate"),
        _step("RandomBrightnessContrast", 0.5, brightness_limit=[-0.15, 0.15], contrast_limit=[-0.25, 0.25]),
        _step("Illumination", 0.3, intensity_range=[0.02, 0.15]),
        _one_of(
            0.2,
            _step("Morphological", 1.0, scale=[2, 2], operation="erosion"),
            _step("Morphological", 1.0, scale=[2, 2], operation="dilation"),
        ),
        _step("GaussianBlur", 0.2, sigma_limit=[0.2, 0.8]),
        _step("ImageCompression", 0.3, quality_range=[40, 90]),
        _step("GaussNoise", 0.2, std_range=[0.01, 0.05]),
    ],
    "medical": [
        _step("HorizontalFlip", 0.5),
        _step("VerticalFlip", 0.5),
        _step("RandomRotate90", 0.5),
        _step(
            "Affine",
            0.6,
            rotate=[-15, 15],
            scale=[0.9, 1.1],
            translate_percent=[-0.05, 0.05],
            border_mode="reflect_101",
        ),
        _step("ElasticTransform", 0.2, alpha=20, sigma=6, border_mode="reflect_101"),
        _step("RandomBrightnessContrast", 0.4, brightness_limit=[-0.1, 0.1], contrast_limit=[-0.1, 0.1]),
        _step("RandomGamma", 0.3, gamma_limit=[85, 115]),
        _step("GaussNoise", 0.2, std_range=[0.01, 0.03]),
    ],
    "satellite": [
        _step("D4", 1.0),
        _step("Affine", 0.5, rotate=[-45, 45], scale=[0.8, 1.2], border_mode="reflect_101"),
        _step("RandomBrightnessContrast", 0.5, brightness_limit=[-0.2, 0.2], contrast_limit=[-0.25, 0.25]),
        _step("HueSaturationValue", 0.4, hue_shift_limit=[-8, 8], sat_shift_limit=[-25, 25], val_shift_limit=[0, 0]),
        _step("GaussianBlur", 0.15, sigma_limit=[0.2, 1.0]),
        _step(
            "CoarseDropout",
            0.2,
            num_holes_range=[1, 2],
            hole_height_range=[0.1, 0.2],
            hole_width_range=[0.1, 0.2],
        ),
    ],
    "natural": [
        _step("RandomResizedCrop", 1.0, scale=[0.5, 1.0], ratio=[0.75, 1.3333]),
        _step("HorizontalFlip", 0.5),
        _step("ColorJitter", 0.6, brightness=[0.7, 1.3], contrast=[0.7, 1.3], saturation=[0.7, 1.3], hue=[-0.05, 0.05]),
        _step("ToGray", 0.05),
        _step("GaussianBlur", 0.1, sigma_limit=[0.2, 1.2]),
        _step("Erasing", 0.2, scale=[0.02, 0.15]),
    ],
}


def resolve(policy: str | list[dict[str, Any]], *, field: str) -> list[Transform]:
    """The checked transforms of a preset's name or of a list. Raises InputError, naming ``field``, for faults."""
    if isinstance(policy, str):
        remedy = f"give a preset ({', '.join(PRESETS)}) or a list of {{name, p, arguments}}"
        require.that(policy in PRESETS, f"is '{policy}'", remedy=remedy, field=field)
        policy = PRESETS.get(policy, [])
    return policy_schema.check(policy, field=field)
