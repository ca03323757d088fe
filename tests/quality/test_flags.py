from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageEnhance, ImageFilter
from sklearn.datasets import load_digits

from hallmark.quality.flags import flag
from hallmark.quality.measurement import Measured
from tests.quality.test_measurement import measured, photo

LIMITS: dict[str, Any] = {
    "min_side": 4,
    "max_side": 5000,
    "max_aspect": 10.0,
    "blank_contrast": 0.004,
    "low_contrast": 0.04,
    "dark_highlight": 0.15,
    "bright_shadow": 0.85,
    "blurry_sharpness": 0.03,
    "blurry_share": 0.08,
    "noisy_noise": 0.06,
    "spread": 4.0,
}


def flagged(images: list[Image.Image]) -> list[set[str]]:
    rows = pd.DataFrame([measured(image).row() for image in images])
    result = flag(rows, **LIMITS)
    return [{reason for reason, marks in result.items() if marks[row]} for row in range(len(images))]


def noisy(image: Image.Image) -> Image.Image:
    pixels = np.asarray(image, float)
    return Image.fromarray(np.clip(pixels + np.random.default_rng(0).normal(0, 60, pixels.shape), 0, 255).astype("u1"))


@pytest.mark.parametrize(
    ("spoil", "reasons"),
    [
        (lambda image: ImageEnhance.Brightness(image).enhance(0.06), {"too_dark", "low_contrast"}),
        (lambda image: Image.fromarray(255 - np.asarray(image) // 16), {"too_bright", "low_contrast"}),
        (lambda image: image.filter(ImageFilter.GaussianBlur(7)), {"blurry"}),
        (noisy, {"noisy"}),
        (lambda image: Image.new("RGB", image.size, (90, 90, 90)), {"blank"}),
        (lambda image: image.resize((160, 10)), {"extreme_aspect"}),
        (lambda image: image.resize((3, 3)), {"too_small"}),
    ],
)
def test_a_spoilt_photo_among_sound_ones_is_reported_and_no_other(spoil: Any, reasons: set[str]) -> None:
    sound = [photo(seed) for seed in range(24)]
    result = flagged([*sound, spoil(photo(99))])
    assert result[:-1] == [set()] * 24
    assert reasons <= result[-1]
    assert not result[-1] & {"too_dark", "too_bright", "noisy", "blank", "too_small"} - reasons


def test_sound_digits_of_8_by_8_pixels_are_not_flagged() -> None:
    pixels = (load_digits().images * 255 / 16).astype(np.uint8)
    result = flagged([Image.fromarray(one) for one in pixels])
    assert [reasons for reasons in result if reasons] == []


def test_a_set_that_is_dark_throughout_is_not_flagged_throughout() -> None:
    result = flagged([ImageEnhance.Brightness(photo(seed)).enhance(0.08) for seed in range(24)])
    assert not any("too_dark" in reasons for reasons in result)


def test_rows_without_an_image_get_no_flag() -> None:
    rows = pd.DataFrame([Measured(failure="corrupt").row(), measured(photo(0)).row()])
    assert not any(marks[0] for marks in flag(rows, **LIMITS).values())
    alone = pd.DataFrame([Measured(failure="corrupt").row()])
    assert not any(marks.any() for marks in flag(alone, **LIMITS).values())


def made_rows(**changed: list[float]) -> pd.DataFrame:
    count = len(next(iter(changed.values())))
    sound = {"width": 28, "height": 28, "frames": 1, "brightness": 0.3, "contrast": 0.3, "sharpness": 1.6, "noise": 0.0}
    return pd.DataFrame({**{name: [value] * count for name, value in sound.items()}, **changed})


def test_a_dark_image_is_reported_in_a_set_of_very_different_light() -> None:
    light = np.linspace(0.05, 0.6, 40).tolist()
    result = flag(made_rows(brightness=[*light, 0.02], contrast=[*(0.2 + 0.3 * np.array(light)), 0.015]), **LIMITS)
    assert result["too_dark"].tolist() == [False] * 40 + [True]


def test_focus_is_judged_by_the_set_where_images_are_small_and_sharp() -> None:
    sharp = np.random.default_rng(0).lognormal(np.log(1.7), 0.3, 40)
    result = flag(made_rows(sharpness=[*sharp, 0.09, 0.3]), **LIMITS)
    assert result["blurry"].tolist() == [False] * 40 + [True, False]


def test_next_to_no_contrast_that_is_all_noise_is_blank() -> None:
    result = flag(made_rows(contrast=[0.3] * 10 + [0.008, 0.008], sharpness=[1.6] * 10 + [20.0, 1.6]), **LIMITS)
    assert result["blank"].tolist() == [False] * 10 + [True, False]


@pytest.mark.parametrize(("contrast", "sharpness"), [(0.004, 0.1), (0.02, 10.0)])
def test_an_image_at_a_bound_of_contrast_is_blank(contrast: float, sharpness: float) -> None:
    rows = pd.DataFrame([measured(photo(seed)).row() for seed in range(3)])
    rows.loc[0, ["contrast", "sharpness"]] = contrast, sharpness
    assert flag(rows, **LIMITS)["blank"].tolist() == [True, False, False]
    rows.loc[0, "contrast"] = contrast + 1e-6
    assert not flag(rows, **LIMITS)["blank"].any()
