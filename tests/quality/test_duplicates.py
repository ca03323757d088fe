from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hallmark.images.decoding import prepare
from hallmark.quality.alignment import residual
from hallmark.quality.duplicates import SIDE, candidates, find_clusters, neighbours
from hallmark.quality.hash_pairs import near_pairs
from hallmark.quality.measurement import measure
from tests.quality.made_source import encoded, picture

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def rest(left: NDArray[np.uint8], right: NDArray[np.uint8], align: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The residual of pairs of pictures, uint8 [pairs, side, side, 3] each."""
    rows = np.arange(len(left))
    return residual(np.concatenate([left, right]), rows, len(left) + rows, align)


def pixels_of(files: list[bytes]) -> Callable[[NDArray[np.int64]], NDArray[np.uint8]]:
    def thumbnails(rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.stack([prepare(files[row], SIDE, SIDE, 3) for row in rows] or [np.zeros((SIDE, SIDE, 3), np.uint8)])

    return thumbnails


def clusters_of(files: list[bytes]) -> NDArray[np.int64]:
    frame = pd.DataFrame([measure(data, 10**8).row() for data in files])
    return find_clusters(frame, pixels_of(files), distance=8, max_residual=0.12, align_from=24)


@given(st.integers(0, 10**6), st.integers(0, 12))
@settings(max_examples=30)
def test_near_pairs_are_all_pairs_within_the_distance(seed: int, distance: int) -> None:
    random = np.random.default_rng(seed)
    centres = random.integers(0, 2**64, 20, dtype=np.uint64)
    flips = [
        np.uint64(sum(1 << int(bit) for bit in random.permutation(64)[: random.integers(0, 9)])) for _ in range(80)
    ]
    hashes = np.unique(centres[random.integers(0, 20, 80)] ^ np.array(flips, np.uint64))
    i, j = near_pairs(hashes, distance)
    differ = np.bitwise_count(hashes[:, None] ^ hashes[None])
    expected = {(a, b) for a, b in zip(*np.nonzero(differ <= distance), strict=True) if a < b}
    assert set(zip(i.tolist(), j.tolist(), strict=True)) == expected


def test_repeated_hashes_and_wild_distances_are_refused() -> None:
    with pytest.raises(ValueError, match="repeat"):
        near_pairs(np.array([1, 1], np.uint64), 4)
    with pytest.raises(ValueError, match="distance is 13"):
        near_pairs(np.array([1, 2], np.uint64), 13)


def test_unlike_photos_of_one_hash_are_reported_apart_without_decoding_them_again() -> None:
    frame = pd.DataFrame([measure(encoded(picture(seed, 96)), 10**8).row() for seed in range(6)]).assign(phash=0)
    asked: list[int] = []

    def thumbnails(rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        asked.extend(rows.tolist())
        return np.zeros((len(rows), SIDE, SIDE, 3), np.uint8)

    assert len(set(find_clusters(frame, thumbnails, distance=8, max_residual=0.12, align_from=24))) == 6
    assert asked == []


def test_copies_of_a_picture_with_hardly_any_contrast_are_found() -> None:
    grain = (
        np.random.default_rng(0).normal(0, 0.4, (2, 16, 16, 1)).repeat(6, axis=1).repeat(6, axis=2).repeat(3, axis=3)
    )
    files = [encoded(np.rint(200 + one).astype(np.uint8)) for one in grain]
    frame = pd.DataFrame([measure(data, 10**8).row() for data in files]).assign(phash=0)
    result = find_clusters(frame, pixels_of(files), distance=8, max_residual=0.12, align_from=24)
    assert len(set(result.tolist())) == 1


def test_clusters_do_not_depend_on_how_many_thumbnails_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    files = [encoded(picture(seed, 96), "JPEG", quality=quality) for seed in range(5) for quality in (95, 85, 75)]
    whole = clusters_of(files)
    monkeypatch.setattr("hallmark.quality.duplicates._HELD", 2)
    assert len(set(whole.tolist())) == 5
    assert clusters_of(files).tolist() == whole.tolist()


def test_a_crowd_of_one_hash_gives_linear_pairs() -> None:
    n = 4000
    light = np.random.default_rng(0).random((n, 2))
    i, j = candidates(np.zeros(n, np.uint64), light, 4)
    assert len(i) < 60 * n
    assert (i < j).all()


def crop(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return pixels[2:-1, 1:-2]


@pytest.mark.parametrize("side", [64, 100])
def test_changed_copies_are_found_and_other_pictures_are_not(side: int) -> None:
    files: list[bytes] = []
    for number in range(30):
        original = picture(number, side)
        image = Image.fromarray(original)
        copies = [
            encoded(original),
            encoded(original, "JPEG", quality=70),
            encoded(np.asarray(image.resize((side * 3 // 4, side * 3 // 4)))),
            encoded(np.clip(original * 1.08, 0, 255).astype(np.uint8)),
            encoded(crop(original)),
        ]
        files += copies
    result = clusters_of(files).reshape(30, 5)
    # 120 copies; a strong crop may change the perceptual hash beyond the distance
    assert (result[:, 1:] == result[:, :1]).mean() >= 0.98
    assert [len(set(row) - set(result[:number].ravel())) for number, row in enumerate(result)] == [
        len(set(row)) for row in result
    ]


def test_different_small_digits_are_not_merged_and_their_copies_are() -> None:
    from sklearn.datasets import load_digits

    digits = np.rint(load_digits().images * (255 / 16)).astype(np.uint8)
    files = [encoded(pixels) for pixels in digits]
    assert len(set(clusters_of(files))) == len(digits)
    copies = [encoded(np.clip(pixels.astype(int) + 10, 0, 255).astype(np.uint8)) for pixels in digits[:100]]
    copies += [
        encoded(np.asarray(Image.fromarray(pixels).resize((16, 16), Image.Resampling.BILINEAR)))
        for pixels in digits[:100]
    ]
    result = clusters_of([*files, *copies])
    right = result[len(digits) :].reshape(2, 100) == result[:100]
    assert right.mean(axis=1).min() >= 0.97
    assert len(set(result[: len(digits)])) == len(digits)


def test_exact_copies_in_other_formats_join() -> None:
    pixels = picture(1)
    result = clusters_of([encoded(pixels), encoded(pixels, "BMP"), encoded(picture(2))])
    assert result[0] == result[1] != result[2]


def test_another_colour_is_another_picture() -> None:
    pixels = picture(3)
    turned = pixels[..., ::-1].copy()
    thumbs = np.stack([pixels, turned])
    assert rest(thumbs[:1], thumbs[1:], np.array([True]))[0] > 0.2


def test_flat_pictures_match_by_their_level() -> None:
    flat = np.stack([np.full((SIDE, SIDE, 3), level, np.uint8) for level in (0, 1, 128)])
    off = rest(flat[[0, 0]], flat[[1, 2]], np.array([True, True]))
    assert off.tolist() == [0.0, 1.0]
    assert rest(flat[:1], picture(0, SIDE)[None], np.array([True]))[0] == 1.0


def test_a_grey_picture_is_judged_alike_by_one_channel_and_by_three() -> None:
    grey = np.stack([np.repeat(picture(number, SIDE).mean(axis=2, keepdims=True), 3, axis=2) for number in range(6)])
    grey = grey.astype(np.uint8)
    moved = np.roll(grey, 1, axis=2)
    coloured = picture(9, SIDE)[None]  # one picture of colour, and all channels are looked at
    align = np.ones(6, bool)
    left, right = np.arange(6), 6 + np.arange(6)
    alone = residual(np.concatenate([grey, moved]), left, right, align)
    beside = residual(np.concatenate([grey, moved, coloured]), left, right, align)
    np.testing.assert_allclose(alone, beside, atol=1e-4)
    assert (alone < 0.12).all()


def test_of_small_pictures_that_share_a_hash_only_those_that_look_alike_are_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from hallmark.quality import duplicates

    random = np.random.default_rng(0)
    originals = [random.integers(0, 256, (20, 20, 3), dtype=np.uint8) for _ in range(12)]
    files = [encoded(one) for one in originals]
    files += [encoded(np.clip(one * 0.9, 0, 255).astype(np.uint8)) for one in originals]
    frame = pd.DataFrame([measure(data, 10**8).row() for data in files]).assign(phash=np.uint64(7))
    compared: list[int] = []

    def counting(pixels: NDArray[np.uint8], left: NDArray[np.int64], *rest: Any) -> NDArray[np.float64]:
        compared.append(len(left))
        return residual(pixels, left, *rest)

    monkeypatch.setattr(duplicates, "residual", counting)
    result = find_clusters(frame, pixels_of(files), distance=8, max_residual=0.12, align_from=24)
    assert (result[:12] == result[12:]).all()
    assert len(set(result)) == 12
    assert sum(compared) < 40  # of 276 pairs


def test_one_image_alone() -> None:
    file = io.BytesIO(encoded(picture(0)))
    assert clusters_of([file.getvalue()]).tolist() == [0]


def test_a_crop_by_one_pixel_of_a_small_picture_is_found() -> None:
    originals = [picture(number, 28) for number in range(40)]
    files = [encoded(pixels) for pixels in originals] + [encoded(pixels[1:, 1:]) for pixels in originals]
    result = clusters_of(files)
    assert (result[:40] == result[40:]).mean() >= 0.97
    assert len(set(result[:40])) == 40


def test_a_softer_copy_explains_but_another_picture_does_not() -> None:
    from scipy.ndimage import gaussian_filter

    sharp = np.stack([picture(number, SIDE) for number in range(8)])
    soft = np.stack([gaussian_filter(one, (1, 1, 0)) for one in sharp])
    off = np.zeros(8, bool)
    assert rest(sharp, soft, off).max() < 0.12
    assert rest(soft, sharp, off).max() < 0.12
    assert rest(sharp, np.roll(soft, 1, axis=0), ~off).min() > 0.2


def test_neighbours_beyond_the_exact_search_still_find_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    from hallmark.quality import duplicates

    random = np.random.default_rng(0)
    points = random.normal(size=(600, 256))
    points = np.concatenate([points, points[:100] + 0.02 * random.normal(size=(100, 256))])
    vectors = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    wanted = {(n, 600 + n) for n in range(100)}
    i, j = neighbours(vectors)
    assert wanted <= set(zip(i.tolist(), j.tolist(), strict=True))
    monkeypatch.setattr(duplicates, "_EXACT_SEARCH", 100)
    i, j = neighbours(vectors)
    assert len(wanted & set(zip(i.tolist(), j.tolist(), strict=True))) >= 97
    assert [len(one) for one in neighbours(vectors[:1])] == [0, 0]


def test_a_flat_picture_is_unlike_one_with_contrast_and_like_a_flat_one_of_its_level() -> None:
    flat, dark = (np.full((1, SIDE, SIDE, 3), level, np.uint8) for level in (128, 20))
    ramp = np.broadcast_to(np.linspace(78, 178, SIDE)[:, None, None], (1, SIDE, SIDE, 3)).astype(np.uint8)
    plain = np.array([False])
    assert rest(flat, ramp, plain) == rest(ramp, flat, plain) == pytest.approx(1.0)
    assert rest(flat, flat + np.uint8(1), plain) == pytest.approx(0.0)
    assert rest(flat, dark, plain) == pytest.approx(1.0)
