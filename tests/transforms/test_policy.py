"""A policy's result depends on (image, seed) alone."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from hallmark.contracts.errors import InputError
from hallmark.transforms.policy import build
from hallmark.transforms.presets import PRESETS, resolve

SHAPES = [(8, 8, 1), (8, 8, 3), (40, 30, 1), (40, 30, 3)]


def images(shape: tuple[int, int, int], count: int = 6) -> Any:
    return np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)


@pytest.mark.parametrize("preset", list(PRESETS))
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_preset_depends_on_image_and_seed_alone(preset: str, shape: tuple[int, int, int]) -> None:
    height, width, channels = shape
    batch = images(shape)
    transforms = resolve(preset, field="augment.policy")
    policy = build(transforms, height=height, width=width, channels=channels)
    outs = [policy(image, seed) for seed, image in enumerate(batch)]
    assert all(out.shape == shape and out.dtype == np.uint8 for out in outs)

    states = (random.getstate(), repr(np.random.get_state(legacy=False)))
    other = pickle.loads(pickle.dumps(build(transforms, height=height, width=width, channels=channels)))
    backwards = [other(batch[seed], seed) for seed in reversed(range(len(batch)))]
    assert all(np.array_equal(a, b) for a, b in zip(outs, reversed(backwards), strict=True))
    assert states == (random.getstate(), repr(np.random.get_state(legacy=False)))


def test_seeds_give_different_draws_and_two_transforms_do_not_draw_alike() -> None:
    image = images((16, 16, 1), 1)[0]
    policy = build(resolve("standard", field="x"), height=16, width=16, channels=1)
    assert len({policy(image, seed).tobytes() for seed in range(50)}) > 30
    flips = [{"name": "HorizontalFlip", "p": 0.5}, {"name": "VerticalFlip", "p": 0.5}]
    both = build(flips, height=16, width=16, channels=1)
    assert len({both(image, seed).tobytes() for seed in range(50)}) == 4


def test_probability_is_kept() -> None:
    image = images((8, 8, 1), 1)[0]
    policy = build([{"name": "InvertImg", "p": 0.3}], height=8, width=8, channels=1)
    share = np.mean([not np.array_equal(policy(image, seed), image) for seed in range(2000)])
    assert abs(share - 0.3) < 0.05  # 4.9 standard errors


def test_an_empty_policy_gives_the_image_back() -> None:
    image = images((8, 8, 1), 1)[0]
    assert build([], height=8, width=8, channels=1)(image, 0) is image


def test_a_value_that_the_library_refuses_is_reported_in_its_words() -> None:
    with pytest.raises(InputError, match=r"policy\[0\]: Equalize rejects its arguments .*'cv' or 'pil'"):
        build([{"name": "Equalize", "p": 1.0, "arguments": {"mode": "gimp"}}], height=8, width=8, channels=1)


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(InputError, match=r"augment.policy is 'standrd'; give a preset \(none, light, standard"):
        resolve("standrd", field="augment.policy")


def test_params_cost_no_heavy_import_and_the_library_is_kept_from_the_network() -> None:
    code = (
        "import sys, tasks.augment, tasks.balance\n"
        "heavy = {'numpy', 'pandas', 'torch', 'sklearn', 'albumentations', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "import os, socket\n"
        "def refuse(*arguments): raise AssertionError('network')\n"
        "socket.socket.connect = refuse\n"
        "os.environ.pop('NO_ALBUMENTATIONS_UPDATE', None)\n"
        "from hallmark.transforms.policy import build\n"
        "build([{'name': 'D4', 'p': 1.0}], height=8, width=8, channels=1)\n"
        "assert 'albumentations' in sys.modules and os.environ['NO_ALBUMENTATIONS_UPDATE'] == '1'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
