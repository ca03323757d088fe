from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from hallmark.quality.measurement import Measured, measure, measure_peak, perceptual_hash, pixel_hash


def photo(seed: int, side: int = 160) -> Image.Image:
    """Smooth structure at several scales with fine grain, like a photo."""
    draw = np.random.default_rng(seed)
    total = np.zeros((side, side, 3))
    for cells, weight in ((4, 90), (10, 50), (40, 25), (side, 8)):
        coarse = Image.fromarray(draw.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        total += (np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), float) - 128) * weight / 100
    return Image.fromarray(np.clip(total + 128, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def measured(image: Image.Image) -> Measured:
    return measure(encoded(image), 10**8)


def distance(a: Image.Image, b: Image.Image) -> int:
    return (measured(a).phash ^ measured(b).phash).bit_count()


def test_size_format_and_mode_are_those_of_the_file() -> None:
    result = measure(encoded(photo(0).convert("CMYK").resize((60, 40)), "JPEG"), 10**8)
    assert (result.format, result.mode, result.width, result.height, result.frames) == ("JPEG", "CMYK", 60, 40, 1)
    assert result.failure == ""


def test_light_is_measured_in_shares_of_white() -> None:
    half = np.zeros((10, 10), np.uint8)
    half[:, :5] = 255
    result = measured(Image.fromarray(half))
    assert result.brightness == pytest.approx(0.5)
    assert result.contrast == pytest.approx(0.5)


def of_equal_luma(side: int = 64) -> Image.Image:
    """A disc of the same brightness as its background in another colour."""
    ground, disc = (60, 100, 60), (200, 40, 40)
    y, x = np.mgrid[:side, :side]
    inside = (y - side / 2) ** 2 + (x - side / 2) ** 2 < (side / 4) ** 2
    picture = Image.fromarray(np.where(inside[..., None], disc, ground).astype(np.uint8))
    assert np.asarray(picture.convert("L"), float).std() < 5
    return picture


def test_a_coloured_object_as_bright_as_its_ground_has_contrast_and_edges() -> None:
    result, grey = measured(of_equal_luma()), measured(of_equal_luma().convert("L").convert("RGB"))
    assert result.contrast == pytest.approx(np.asarray(of_equal_luma(), float).std(axis=(0, 1)).max() / 255)
    assert result.contrast > 0.1 > grey.contrast
    soft = measured(of_equal_luma().filter(ImageFilter.GaussianBlur(4)))
    assert soft.sharpness < result.sharpness / 3


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_noise_in_one_channel_is_seen(channel: int) -> None:
    pixels = np.full((200, 200, 3), 128.0)
    pixels[..., channel] += np.random.default_rng(0).normal(0, 40, (200, 200))
    assert measured(Image.fromarray(pixels.clip(0, 255).astype(np.uint8))).noise > 0.05


def test_grey_stored_as_rgb_measures_as_grey() -> None:
    grey = photo(2).convert("L")
    assert measured(grey.convert("RGB")) == replace(measured(grey), mode="RGB")


@pytest.mark.parametrize("side", [8, 28, 160, 700])
def test_sharpness_falls_with_blur_and_does_not_with_light(side: int) -> None:
    sharp = photo(1, side)
    blurred = sharp.filter(ImageFilter.GaussianBlur(max(1, side / 40)))
    dark = ImageEnhance.Brightness(sharp).enhance(0.3)
    assert measured(blurred).sharpness < measured(sharp).sharpness / 3
    assert measured(dark).sharpness > measured(sharp).sharpness * 0.75


def test_noise_is_the_deviation_of_the_noise_added() -> None:
    flat = np.tile(np.linspace(60, 190, 300), (200, 1))
    noise = np.random.default_rng(0).normal(0, 12, flat.shape)
    result = measured(Image.fromarray((flat + noise).round().astype(np.uint8)))
    assert result.noise == pytest.approx(12 / 255, rel=0.1)
    assert measured(Image.fromarray(flat.astype(np.uint8))).noise < 0.005


@pytest.mark.parametrize("seed", range(8))
def test_the_perceptual_hash_holds_for_copies_and_parts_strangers(seed: int) -> None:
    one = photo(seed)
    again = Image.open(io.BytesIO(encoded(one, "JPEG", quality=60)))
    assert distance(one, again) <= 4
    assert distance(one, one.resize((90, 90), Image.Resampling.LANCZOS)) <= 4
    assert distance(one, one.resize((420, 420), Image.Resampling.BILINEAR)) <= 4
    assert distance(one, ImageEnhance.Brightness(one).enhance(1.15)) <= 6
    assert distance(one, photo(seed + 100)) >= 16


def test_hashes_take_64_bits() -> None:
    values = {perceptual_hash(np.asarray(photo(seed, 32).convert("L"))) for seed in range(60)}
    assert len(values) == 60
    assert max(values) >= 2**63
    assert max(values) < 2**64


def test_the_pixel_hash_is_of_the_pixels_alone() -> None:
    one = photo(3)
    assert measured(one).pixel_hash == measure(encoded(one, "BMP"), 10**8).pixel_hash
    grey = one.convert("L")
    assert measured(grey).pixel_hash == measured(grey.convert("RGB")).pixel_hash
    changed = one.copy()
    changed.putpixel((5, 5), (1, 2, 3))
    assert measured(changed).pixel_hash != measured(one).pixel_hash
    flat = np.zeros((4, 6, 1), np.uint8)
    assert pixel_hash(flat) != pixel_hash(flat.reshape(6, 4, 1))


def test_a_rotated_photo_is_measured_upright() -> None:
    one = photo(4).resize((60, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    result = measure(encoded(one, exif=exif), 10**8)
    assert (result.width, result.height) == (40, 60)
    assert result.pixel_hash == measured(one.rotate(270, expand=True)).pixel_hash


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty_file"),
        (b"these are words, not pixels", "not_an_image"),
        (encoded(photo(5), "JPEG")[:900], "truncated"),
        (b"%PDF-1.7 something", "unsupported_format"),
    ],
)
def test_what_cannot_be_decoded_gives_its_reason(data: bytes, reason: str) -> None:
    assert measure(data, 10**8).failure == reason


def test_a_bomb_is_refused_by_what_it_declares() -> None:
    bomb = encoded(Image.new("1", (4_000, 4_000)))
    assert len(bomb) < 10_000
    assert measure(bomb, 15_999_999).failure == "decompression_bomb"
    assert measure(bomb, 16_000_000).failure == ""


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 50), (2400, 2)])
def test_the_smallest_images_are_measured(size: tuple[int, int]) -> None:
    result = measured(Image.new("RGB", size, (10, 20, 30)))
    assert result.failure == ""
    assert (result.contrast, result.sharpness, result.noise) == (0, 0, 0)


def test_the_peak_alone_is_that_of_the_whole_measurement() -> None:
    data = encoded(Image.fromarray(np.full((6, 4), 4095, dtype=np.uint16)))
    assert measure_peak(data, 10**6) == Measured(peak=4095)
    assert measure_peak(data, 10**6).peak == measure(data, 10**6).peak
    assert measure_peak(b"no image", 10**6).failure == measure(b"no image", 10**6).failure == "not_an_image"
