"""Pretrained layers: what learns, how fast, and from when on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from hallmark.learning import optimizers
from hallmark.learning.freezing import Freezing
from hallmark.learning.recipe import DEFAULTS, DRAWN, UNDER, WHOLE, resolve
from hallmark.models import transfer
from hallmark.models.build import build
from tests.learning.training import RECIPE, run

if TYPE_CHECKING:
    from pathlib import Path


def network() -> nn.Module:
    return build("cnn", classes=10, height=8, width=8, channels=1, mean=[0.3], std=[0.4], units=8, depth=2)


def test_rates_fall_layer_by_layer() -> None:
    layers = transfer.layers(network())
    scales = optimizers.layer_scales(layers, 0.5)
    assert [scales[id(layer[0])] for layer in layers] == [0.0625, 0.125, 0.25, 0.5, 1.0]
    automatic = optimizers.layer_scales(layers, None)
    assert [automatic[id(layer[0])] for layer in layers][::4] == pytest.approx([0.1, 1.0])


@pytest.mark.parametrize("name", list(DEFAULTS))
def test_every_optimizer_keeps_its_groups_scale_and_spares_biases_and_norms(name: str) -> None:
    model = network()
    layers = transfer.layers(model)
    made = optimizers.build(
        name, model, lr=0.1, momentum=0.9, weight_decay=0.3, fused=False, scales=optimizers.layer_scales(layers, 0.5)
    )
    optimizers.set_rates(made, lr=0.2, momentum=0.8)
    depth = {id(parameter): place for place, layer in enumerate(layers) for parameter in layer}
    seen = set()
    for optimizer in made:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                slower = optimizers.AUXILIARY if name == "muon" and type(optimizer).__name__ == "AdamW" else 1.0
                assert group["lr"] == pytest.approx(0.2 * slower * 0.5 ** (4 - depth[id(parameter)]))
                assert group["weight_decay"] == (0.3 if parameter.ndim > 1 else 0.0)
                seen.add(id(parameter))
    assert seen == {id(parameter) for parameter in model.parameters()}


def test_frozen_norms_keep_their_statistics_and_thaw() -> None:
    model = network().train()
    freezing = Freezing(model)
    freezing.apply(frozen=True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model(torch.rand(8, 1, 8, 8)).sum().backward()
    moved = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert moved == {"body.15.weight", "body.15.bias"}
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    model.train()  # as after a validation
    freezing.apply(frozen=True)
    assert not any(module.training for module in model.modules() if isinstance(module, nn.BatchNorm2d))
    freezing.apply(frozen=False)
    model(torch.rand(8, 1, 8, 8)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_the_first_layers_never_learn_and_their_norms_keep_their_statistics() -> None:
    model = network().train()
    layers = transfer.layers(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    freezing = Freezing(model, layers=2)
    for frozen in (False, True, False):
        model.train()
        freezing.apply(frozen=frozen)
    model(torch.rand(8, 1, 8, 8)).sum().backward()
    still = {id(parameter) for layer in layers[:2] for parameter in layer}
    assert all((parameter.grad is None) == (id(parameter) in still) for parameter in model.parameters())
    changed = {name for name, value in model.state_dict().items() if not torch.equal(before[name], value)}
    assert {int(name.split(".")[1]) for name in changed} == {8, 11}  # the norms of the layers that learn


def test_all_norms_keep_their_statistics_where_asked() -> None:
    model = network().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    freezing = Freezing(model, norms=True)
    freezing.apply(frozen=False)
    model(torch.rand(8, 1, 8, 8)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("name", list(DEFAULTS))
def test_every_optimizer_takes_weights_that_had_no_gradient_at_first(tmp_path: Path, name: str) -> None:
    recipe = replace(RECIPE, optimizer=name, max_epochs=2, batch_size=48, freeze=0.5, layer_decay=1.0)
    fitted = run(tmp_path, recipe, arguments={"units": 8, "depth": 2})
    assert fitted.history[-1]["gradient_balance"] is not None


def test_the_backbone_learns_from_its_share_of_the_steps_on(tmp_path: Path) -> None:
    """6 steps an epoch: with a third of 3 epochs frozen, the first convolution stands still for just one."""
    start = build("cnn", classes=10, height=8, width=8, channels=1, mean=[0.3], std=[0.4], units=8, depth=2)
    recipe = replace(RECIPE, batch_size=16, ema=0.0, keep="last", weight_decay=0.0, freeze=1 / 3)
    (tmp_path / "long").mkdir()
    still = run(tmp_path, replace(recipe, max_epochs=1, freeze=1.0), arguments={"units": 8, "depth": 2})
    moved = run(tmp_path / "long", replace(recipe, max_epochs=3), arguments={"units": 8, "depth": 2})
    first = "body.0.weight"
    assert torch.equal(still.state[first], start.state_dict()[first])
    assert not torch.equal(moved.state[first], start.state_dict()[first])
    assert not torch.equal(still.state["body.15.weight"], start.state_dict()["body.15.weight"])
    assert moved.history[0]["gradient_balance"] is None
    assert moved.history[1]["gradient_balance"] is not None


def test_automatic_values_for_trained_weights() -> None:
    drawn, under, whole = (resolve(RECIPE, images=500, network="cnn", weights=each) for each in (DRAWN, UNDER, WHOLE))
    assert (drawn.layer_decay, drawn.freeze) == (1.0, 0.0)
    assert (under.layer_decay, under.freeze) == (None, 0.1)
    assert (whole.layer_decay, whole.freeze) == (None, 0.0)
    assert drawn.lr > under.lr == whole.lr
