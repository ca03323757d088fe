"""The catalogue matches albumentations, every transform in it runs, and errors name the faulty policy entry."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hallmark.contracts.errors import InputError
from hallmark.transforms.catalogue import CATALOGUE, has_strength, scaled
from hallmark.transforms.policy import build
from hallmark.transforms.policy_schema import check, leaves, replaced

GIVEN: dict[str, dict[str, Any]] = {
    "Affine": {"rotate": [-10, 10], "scale": [0.9, 1.1], "translate_px": [-1, 1], "shear": [-5, 5]},
}


def step(name: str, p: float = 1.0, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "p": p, "arguments": arguments}


@pytest.mark.parametrize("name", list(CATALOGUE))
def test_arguments_are_those_of_the_library(name: str) -> None:
    import albumentations

    known = inspect.signature(getattr(albumentations, name).__init__).parameters
    entry = CATALOGUE[name]
    for argument in (*entry.amounts, *entry.others):
        assert argument in known
    assert "Normalize" not in CATALOGUE
    assert "Lambda" not in CATALOGUE


@pytest.mark.parametrize("name", list(CATALOGUE))
def test_every_transform_runs_at_every_strength_on_small_grey_and_colour_images(name: str) -> None:
    generator = np.random.default_rng(0)
    checked = check([step(name, **GIVEN.get(name, {}))], field="policy")[0]
    for height, width, channels in ((8, 8, 1), (8, 8, 3), (24, 31, 1), (24, 31, 3)):
        image = generator.integers(0, 256, (height, width, channels), dtype=np.uint8)
        before = image.copy()
        for strength in (0.25, 0.5, 1.0, 1.5):
            policy = build([scaled(checked, strength)], height=height, width=width, channels=channels)
            for seed in range(4):
                out = policy(image, seed)
                assert out.shape == image.shape
                assert out.dtype == np.uint8
                assert np.array_equal(out, policy(image, seed))
        assert np.array_equal(image, before), "the image given was changed"


@pytest.mark.parametrize("name", [name for name, entry in CATALOGUE.items() if entry.colour])
def test_colour_is_left_out_on_one_channel(name: str) -> None:
    image = np.full((8, 8, 1), 100, dtype=np.uint8)
    policy = build([step("OneOf", transforms=[step(name)]), step(name)], height=8, width=8, channels=1)
    assert policy(image, 0) is image


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (step("Rotat"), "policy[0].name is 'Rotat'; did you mean 'Rotate'?"),
        (step("os.system"), "policy[0].name is 'os.system'; "),
        (step("albumentations.Rotate"), "policy[0].name is 'albumentations.Rotate'; "),
        (step("Lambda"), "policy[0].name is 'Lambda'; "),
        (step("Rotate", limt=[0, 1]), "policy[0].arguments.limt is not an argument of Rotate; did you mean 'limit'?"),
        (step("Rotate", limit="wide"), "policy[0].arguments.limit is 'wide', but must be [low, high] or a number"),
        (step("Downscale", scale_range=[0.01, 0.5]), "scale_range holds 0.01, outside [0.13, 0.99]"),
        (step("Affine", scale=1.1), "policy[0].arguments.scale is 1.1, but must be [low, high]"),
        (step("Rotate", border_mode="mirror"), "policy[0].arguments.border_mode is 'mirror'; known: constant"),
        (step("Rotate", p=1.5), "policy[0].p is 1.5; give the probability in [0, 1]"),
        ({"name": "Rotate"}, "policy[0].p is None"),
        ({"name": "Rotate", "p": 0.5, "argments": {}}, "policy[0].argments is unknown"),
        ("Rotate", "policy[0] is 'Rotate', but must be {name, p, arguments}"),
        (step("OneOf", transforms=[step("OneOf", transforms=[])]), "groups do not nest"),
        (step("SomeOf", transforms=[step("NoOp")]), "policy[0].arguments.n is None"),
        (step("OneOf", transforms=[{**step("NoOp"), "p": 0.0}]), "every p is 0, so none can be drawn"),
        (step("OneOf", transforms=[step("NoOp")] * 63), "holds 63 transforms; give 62 or fewer"),
        (step("OneOf", transforms=[step("Rotat")]), "policy[0].arguments.transforms[0].name is 'Rotat'"),
    ],
)
def test_a_wrong_transform_is_refused_with_its_position(transform: Any, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        check([transform], field="policy")


def test_all_faults_of_a_policy_are_reported_at_once() -> None:
    with pytest.raises(InputError, match=r"policy has 3 faults:\s.*\[0\]\.name.*\s.*\[1\]\.p.*\s.*\[2\]\.arguments\.x"):
        check([step("Rotat"), step("Rotate", p=-1), step("Rotate", x=1)], field="policy")


def test_amounts_left_out_become_explicit() -> None:
    assert check([step("Rotate")], field="policy") == [step("Rotate", limit=[-90, 90])]


@settings(max_examples=30)
@given(strength=st.floats(0.05, 1.0), low=st.floats(-90, 0), high=st.floats(0, 90))
def test_strength_moves_amounts_towards_neutral(strength: float, low: float, high: float) -> None:
    assert scaled(step("Rotate", limit=[low, high]), strength)["arguments"]["limit"] == pytest.approx(
        [strength * low, strength * high], abs=1e-5
    )
    ratio = scaled(step("Affine", scale=[0.8, 1.2]), strength)["arguments"]["scale"]
    assert ratio == pytest.approx([1 - 0.2 * strength, 1 + 0.2 * strength], abs=1e-5)
    assert scaled(step("Rotate", limit=30), 1.0) == step("Rotate", limit=30.0)


def test_leaves_and_replacements_keep_order_and_groups() -> None:
    policy = [step("NoOp"), step("SomeOf", n=2, transforms=[step("Rotate"), step("D4")]), step("InvertImg")]
    assert [leaf["name"] for leaf in leaves(policy)] == ["NoOp", "Rotate", "D4", "InvertImg"]
    assert replaced(policy, list(leaves(policy))) == policy
    left = replaced(policy, [None, None, step("D4"), step("InvertImg")])
    assert left == [step("SomeOf", n=1, transforms=[step("D4")]), step("InvertImg")]
    assert replaced(policy, [None] * 4) == []
    assert has_strength(step("Rotate", limit=3))
    assert not has_strength(step("D4"))
