"""Perturbations: each kind has its effect at the given strength, independent of batch size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hallmark.judgement.judged import Judged
from hallmark.judgement.robustness import KINDS, Perturbation, judge, perturbations


def grey(value: int, n: int = 4, side: int = 24) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.full((n, side, side + 8, 3), value, dtype=np.uint8)


@settings(max_examples=25, deadline=None)
@given(kind=st.sampled_from(KINDS), strength=st.floats(0.0, 1.0), seed=st.integers(0, 3), split=st.integers(1, 3))
def test_the_change_of_an_image_does_not_depend_on_its_batch(kind: str, strength: float, seed: int, split: int) -> None:
    batch = np.random.default_rng(seed).integers(0, 256, (4, 9, 7, 3)).astype(np.uint8)
    change = Perturbation(kind, strength, seed)
    whole = change.apply(batch, 10)
    assert whole.dtype == np.float32
    assert whole.shape == batch.shape
    assert whole.min() >= 0
    assert whole.max() <= 1
    parts = [change.apply(batch[:split], 10), change.apply(batch[split:], 10 + split)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))


@pytest.mark.parametrize("kind", KINDS)
def test_strength_nothing_changes_nothing(kind: str) -> None:
    batch = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1)).astype(np.uint8)
    np.testing.assert_allclose(Perturbation(kind, 0.0, 0).apply(batch, 0), batch / 255, atol=1e-6)


def test_noise_has_the_deviation_asked_for() -> None:
    noisy = Perturbation("noise", 0.05, 0).apply(grey(128), 0)
    assert noisy.std() == pytest.approx(0.05, rel=0.05)
    assert noisy.mean() == pytest.approx(128 / 255, abs=0.005)


def test_noise_differs_by_image_channel_and_seed() -> None:
    noisy = Perturbation("noise", 0.1, 0).apply(grey(128), 0)
    other = Perturbation("noise", 0.1, 1).apply(grey(128), 0)
    flat = noisy.reshape(4, -1)
    for one, two in ((flat[0], flat[1]), (noisy[..., 0], noisy[..., 1]), (noisy, other)):
        assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < 0.1


def test_blur_widens_an_edge_by_a_share_of_the_shorter_side() -> None:
    # a step from black to white: its gradient after the blur is the Gaussian
    batch = np.zeros((1, 200, 100, 1), dtype=np.uint8)
    batch[:, :, 50:] = 255
    profile = Perturbation("blur", 0.05, 0).apply(batch, 0)[0, 100, :, 0]
    gradient = np.diff(profile)
    position = np.arange(len(gradient))
    centre = (gradient * position).sum() / gradient.sum()
    assert np.sqrt((gradient * (position - centre) ** 2).sum() / gradient.sum()) == pytest.approx(5, rel=0.05)


def test_blur_mixes_neither_images_nor_channels_and_keeps_borders() -> None:
    batch = np.concatenate([grey(0, 1), grey(255, 1)])
    batch[..., 1] = 51
    blurred = Perturbation("blur", 0.1, 0).apply(batch, 0)
    np.testing.assert_allclose(blurred, batch / 255, atol=1e-5)


def test_blur_works_along_both_sides() -> None:
    batch = np.zeros((1, 21, 21, 1), dtype=np.uint8)
    batch[0, 10, 10] = 255
    blurred = Perturbation("blur", 0.1, 0).apply(batch, 0)[0, :, :, 0]
    np.testing.assert_allclose(blurred, blurred.T, atol=1e-6)
    assert blurred[10, 10] < 0.1
    assert blurred.sum() == pytest.approx(1, rel=0.01)


@pytest.mark.parametrize(("strength", "grey_after"), [(0.25, 0.45), (-0.1, 0.1), (1.0, 1.0), (-1.0, 0.0)])
def test_brightness_is_added_and_cut_to_the_range(strength: float, grey_after: float) -> None:
    np.testing.assert_allclose(Perturbation("brightness", strength, 0).apply(grey(51), 0), grey_after, atol=1e-6)


def test_the_name_has_a_sign_where_it_tells_up_from_down() -> None:
    assert Perturbation("brightness", 0.1, 0).name == "brightness +0.1"
    assert Perturbation("noise", 0.05, 0).name == "noise 0.05"
    assert Perturbation("blur", 0.02, 0).name == "blur 0.02"


def test_blur_takes_the_border_for_what_lies_beyond_it() -> None:
    batch = np.zeros((1, 40, 40, 1), dtype=np.uint8)
    batch[0, 0] = 255
    blurred = Perturbation("blur", 0.05, 0).apply(batch, 0)[0, :, 20, 0]
    # half of the Gaussian, and half of its middle, whose deviation is 2 pixels; mirrored it would be 0.4
    assert blurred[0] == pytest.approx(0.6, abs=0.01)


def test_the_noise_of_an_image_is_the_same_in_every_release() -> None:
    # other noise would change the figures of the same model
    noisy = Perturbation("noise", 0.01, 0).apply(grey(128, 1, 4), 7)
    assert noisy[0, 0, 0].tolist() == pytest.approx([0.481313, 0.512178, 0.516399], abs=1e-6)


def test_every_kind_is_applied_at_each_of_its_strengths() -> None:
    changes = perturbations({"brightness": [-0.1, 0.1], "blur": [], "noise": [0.2]}, seed=3)
    assert [change.name for change in changes] == ["noise 0.2", "brightness -0.1", "brightness +0.1"]
    assert {change.seed for change in changes} == {3}


def test_the_change_is_from_the_same_images_unperturbed() -> None:
    labels = np.arange(40) % 2
    before = Judged(labels, np.eye(2)[labels], np.arange(40), ("a", "b"))
    after = before.answered(np.eye(2)[np.where(np.arange(40) < 10, 1 - labels, labels)])
    result = judge(before, {"blur 1": after, "blur 0": before}, replicates=100, seed=0)
    assert list(result) == ["blur 1", "blur 0"]
    assert result["blur 1"]["accuracy"]["value"] == pytest.approx(0.75)
    assert result["blur 1"]["change"]["value"] == pytest.approx(-0.25)
    assert result["blur 0"]["change"]["value"] == 0.0
