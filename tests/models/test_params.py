"""What ``auto`` becomes, and which settings a network refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from hallmark.contracts.errors import InputError
from hallmark.models.build import build
from hallmark.models.params import NAMES, PRETRAINED, Choice, Model, choose

AUTO = Model(
    name="auto", backbone="none", image_size="auto", channels="auto", width="auto", depth="auto", activation="auto",
    norm="auto", dropout=0.0, stochastic_depth=0.0,
)  # fmt: skip


def chosen(model: Model = AUTO, **facts: Any) -> Choice:
    return choose(model, **({"images": 1000, "classes": 10, "side": 28, "grey": True, "batch_size": 32} | facts))


@pytest.mark.parametrize("name", [*NAMES, "auto"])
@pytest.mark.parametrize("side", [5, 8, 16, 28, 32, 64, 100, 224])
def test_every_choice_can_be_built(name: str, side: int) -> None:
    choice = chosen(replace(AUTO, name=name), side=side, images=30_000)
    shape = {"height": choice.side, "width": choice.side, "channels": choice.channels}
    with torch.device("meta"):
        network = build(choice.name, classes=3, mean=[0.5], std=[0.5], **shape, **choice.arguments)
        assert network(torch.rand(2, choice.channels, choice.side, choice.side)).shape == (2, 3)


@pytest.mark.parametrize(
    ("side", "images", "size"),
    [(3, 500, 8), (8, 500, 8), (28, 500, 28), (50, 500, 50), (100, 500, 96), (500, 500, 128), (500, 50_000, 224)],
)
def test_the_size_follows_the_images(side: int, images: int, size: int) -> None:
    assert chosen(side=side, images=images).side == size


def test_the_model_follows_number_and_size() -> None:
    assert chosen(side=28, images=1000).name == "cnn"
    assert chosen(side=100).name == "resnet"
    assert chosen(side=200).arguments["stem"] == "imagenet"
    assert "1000 images" in chosen(side=28).why


def test_explicit_values_are_kept() -> None:
    model = replace(AUTO, name="resnet", image_size=20, channels=3, width=7, depth=1, norm="group", activation="silu")
    choice = chosen(model)
    assert (choice.side, choice.channels) == (20, 3)
    assert {"units": 7, "depth": 1, "norm": "group", "activation": "silu"}.items() <= choice.arguments.items()
    assert chosen(grey=False).channels == 3


def test_small_batches_do_without_batch_norm() -> None:
    assert chosen(batch_size=4).arguments["norm"] == "group"
    for size in (1, 2):  # three images in batches of 2 leave one alone
        with pytest.raises(InputError, match=rf"^norm is batch, but of batches of {size} "):
            chosen(replace(AUTO, norm="batch"), batch_size=size)


@pytest.mark.parametrize(
    ("changes", "images", "side", "backbone", "why"),
    [
        ({}, 300, 48, "efficientnet-lite0", "300 images of 48 pixels are too few"),
        ({}, 300, 47, None, "images of 47 pixels are too small"),
        ({}, 50_001, 200, None, "50001 images are enough"),
        ({"image_size": 32}, 300, 200, None, "images of 32 pixels are too small"),
        ({"image_size": 224}, 300, 20, "efficientnet-lite0", "300 images of 224 pixels"),
        ({"width": 8}, 300, 200, None, "model.width is set"),
        ({"channels": 1}, 300, 200, None, "model.channels is set"),
        ({"backbone": "none"}, 300, 200, None, ""),
        ({"backbone": "some/folder"}, 300, 20, "some/folder", "set by model.backbone"),
        ({"name": PRETRAINED}, 300, 20, "efficientnet-lite0", "the default backbone"),
        ({"name": "cnn"}, 300, 200, None, ""),
    ],
)
def test_auto_starts_from_a_trained_network_where_it_wins(
    changes: dict[str, Any], images: int, side: int, backbone: str | None, why: str
) -> None:
    name, reason = replace(AUTO, **{"backbone": "auto", **changes}).starts_from(images=images, side=side)
    assert name == backbone
    assert why in reason
    assert bool(why) == bool(reason)


def test_a_network_from_scratch_says_why_it_is_not_pretrained() -> None:
    assert "not pretrained: images of 28 pixels are too small" in chosen(replace(AUTO, backbone="auto"), side=28).why
    assert "not pretrained" not in chosen(side=28).why


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": " "}, "backbone is empty"),
        ({"name": PRETRAINED}, "backbone names nothing to start from"),
        ({"name": "cnn", "backbone": "x"}, "backbone is 'x', but name is cnn"),
        ({"name": "perceptron", "depth": 2}, "depth is 2, but the network perceptron has no such setting"),
        ({"name": "perceptron", "activation": "relu"}, "activation is relu, but the network perceptron"),
        ({"name": "vit", "norm": "batch"}, "norm is batch, but the network vit"),
        ({"name": "cnn", "stochastic_depth": 0.1}, "stochastic_depth is 0.1, but the network cnn"),
        ({"name": "mlp", "stochastic_depth": 0.1}, "set it to 0"),
        ({"name": PRETRAINED, "backbone": "x", "width": 8}, "width is 8, but the backbone decides that"),
        ({"name": PRETRAINED, "backbone": "x", "dropout": 0.1}, "set it to 0"),
    ],
)
def test_unsupported_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(AUTO, **changes)


def test_settings_unsupported_by_the_chosen_network_are_refused() -> None:
    with pytest.raises(InputError, match=r"^stochastic_depth is 0.1, but the network cnn"):
        chosen(replace(AUTO, stochastic_depth=0.1), side=28)
    assert chosen(replace(AUTO, stochastic_depth=0.1), side=100).arguments["stochastic_depth"] == 0.1


@pytest.mark.parametrize(("name", "norm"), [("perceptron", "none"), ("vit", "layer")])
def test_a_setting_may_name_what_the_network_always_has(name: str, norm: str) -> None:
    assert "norm" not in chosen(replace(AUTO, name=name, norm=norm)).arguments


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "resnit"}, "name is 'resnit'; did you mean 'resnet'"),
        ({"image_size": 4}, "image_size is 4, outside"),
        ({"channels": 2}, "channels is 2"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"norm": "instance"}, "norm is 'instance'"),
    ],
)
def test_wrong_values_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(AUTO, **changes)
