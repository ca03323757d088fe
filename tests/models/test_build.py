"""Networks by name: shapes, settings, seeds."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from hallmark.contracts.errors import InputError
from hallmark.models import layers
from hallmark.models.build import build
from hallmark.models.params import NAMES

SHAPES = [(8, 8, 1), (28, 28, 1), (33, 47, 3)]


def make(name: str, height: int = 8, width: int = 8, channels: int = 1, **arguments: Any) -> nn.Module:
    return build(
        name, classes=5, height=height, width=width, channels=channels, mean=[0.4] * channels, std=[0.2] * channels,
        **arguments,
    )  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("height", "width", "channels"), SHAPES)
def test_images_of_any_shape_become_logits(name: str, height: int, width: int, channels: int) -> None:
    network = make(name, height, width, channels)
    logits = network(torch.rand(3, channels, height, width))
    assert logits.shape == (3, 5)
    assert torch.isfinite(logits).all()
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("name", ["mlp", "cnn", "resnet", "convnext"])
@pytest.mark.parametrize("norm", layers.NORMS)
def test_every_norm(name: str, norm: str) -> None:
    network = make(name, norm=norm)
    norms = {type(module) for module in network.modules()}
    kinds: dict[str, set[type[nn.Module]]] = {
        "batch": {nn.BatchNorm2d, nn.BatchNorm1d},
        "group": {nn.GroupNorm},
        "layer": {nn.LayerNorm, layers.ChannelLayerNorm},
    }
    for kind, types in kinds.items():
        # a ConvNeXt always ends in a layer norm
        expected = kind == norm or (name == "convnext" and kind == "layer")
        assert bool(norms & types) == expected, kind
    assert network(torch.rand(2, 1, 8, 8)).shape == (2, 5)


@pytest.mark.parametrize("name", ["mlp", "cnn", "resnet", "convnext", "vit"])
@pytest.mark.parametrize("activation", sorted(layers.ACTIVATIONS))
def test_every_activation(name: str, activation: str) -> None:
    network = make(name, activation=activation)
    wanted = type(layers.activation(activation))
    assert any(isinstance(module, wanted) for module in network.modules())
    assert torch.isfinite(network(torch.rand(2, 1, 8, 8))).all()


def test_both_stems_of_a_resnet() -> None:
    small, large = make("resnet", 64, 64, stem="cifar"), make("resnet", 64, 64, stem="imagenet")
    x = torch.rand(1, 1, 64, 64)
    assert small(x).shape == large(x).shape
    assert any(isinstance(module, nn.MaxPool2d) for module in large.modules())
    assert not any(isinstance(module, nn.MaxPool2d) for module in small.modules())


def test_the_network_normalises_its_input_itself() -> None:
    network = make("perceptron")
    x = torch.rand(4, 1, 8, 8)
    plain = build("perceptron", classes=5, height=8, width=8, channels=1, mean=[0.0], std=[1.0])
    torch.testing.assert_close(network(x), plain((x - 0.4) / 0.2))
    assert {"normalise.mean", "normalise.std"} <= set(network.state_dict())


def test_weights_follow_from_the_seed_without_touching_torchs_generator() -> None:
    before = torch.get_rng_state()
    first, again, other = (make("cnn", seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["body.0.weight"], other["body.0.weight"])


def test_stochastic_depth_drops_whole_branches_and_keeps_their_mean() -> None:
    drop = layers.StochasticDepth(0.5)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        out = drop(torch.ones(4000, 2, 3))
    per_image = out.flatten(1)
    assert ((per_image == 0).all(dim=1) | (per_image == 2).all(dim=1)).all()
    assert 0.93 < float(out.mean()) < 1.07
    assert torch.equal(drop.eval()(torch.ones(5, 1)), torch.ones(5, 1))


def test_channel_layer_norm_is_over_channels() -> None:
    out = layers.ChannelLayerNorm(6)(torch.randn(2, 6, 3, 4, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(out.mean(dim=1), torch.zeros(2, 3, 4), atol=1e-5, rtol=0)


def test_unknown_names_and_arguments_are_refused() -> None:
    with pytest.raises(InputError, match=r"^name is 'resnett'; did you mean 'resnet'"):
        make("resnett")
    with pytest.raises(InputError, match=r"the network perceptron does not take depth"):
        make("perceptron", depth=3)
    with pytest.raises(InputError, match=r"^depth is 4, outside \[1, 3\]"):
        make("mlp", depth=4)
