"""Clipped sums are those of an autograd loop over units, and no unit contributes more than the norm."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from hallmark.privacy import clipping


def losses(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return cross_entropy(outputs, targets, reduction="none")


def looped(
    network: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, clip: float
) -> list[torch.Tensor]:
    """The clipped sum by one backward pass a unit."""
    parameters = [each for each in network.parameters() if each.requires_grad]
    total = [torch.zeros_like(each) for each in parameters]
    for x, y, w in zip(inputs, targets, weights, strict=True):
        gradients = torch.autograd.grad((w * losses(network(x), y)).sum(), parameters)
        norm = math.sqrt(sum(float(each.square().sum()) for each in gradients))
        for whole, each in zip(total, gradients, strict=True):
            whole += each * min(1.0, clip / max(norm, 1e-30))
    return total


def batch(units: int, rows: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Inputs [units, rows, 6], targets and weights; every third unit lacks its last row."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(units, rows, 6, generator=generator) * torch.logspace(-2, 1, units)[:, None, None]
    targets = torch.randint(0, 4, (units, rows), generator=generator)
    weights = torch.rand(units, rows, generator=generator)
    if rows > 1:
        weights[::3, -1] = 0
    return inputs, targets, weights


def head(inputs: torch.Tensor, targets: torch.Tensor, layer: nn.Linear) -> torch.Tensor:
    """The gradient of cross entropy by the logits."""
    with torch.no_grad():
        outputs: torch.Tensor = layer(inputs).softmax(dim=-1)
        return outputs - nn.functional.one_hot(targets, 4)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("clip", [0.05, 1.0, 100.0])
def test_a_linear_layer_s_closed_form_is_that_of_the_loop(rows: int, clip: float) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(6, 4)
    inputs, targets, weights = batch(12, rows)
    sums = clipping.linear_sum(inputs, head(inputs, targets, layer), weights, clip=clip)
    for ours, expected in zip(sums, looped(layer, inputs, targets, weights, clip), strict=True):
        # the margin below the norm, and rounding
        torch.testing.assert_close(ours, expected, rtol=2e-5, atol=2e-5 * clip)


def cnn() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Unflatten(1, (1, 2, 3)),
        nn.Conv2d(1, 8, 3, padding=1),
        nn.GroupNorm(2, 8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(48, 4),
    )


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("micro_batch", [1, 5, 64])
def test_a_network_s_sum_is_that_of_the_loop_at_any_micro_batch(rows: int, micro_batch: int) -> None:
    network = cnn()
    inputs, targets, weights = batch(12, rows)
    sums = clipping.network_sum(network, losses, inputs, targets, weights, clip=0.7, micro_batch=micro_batch)
    for ours, expected in zip(sums, looped(network, inputs, targets, weights, 0.7), strict=True):
        torch.testing.assert_close(ours, expected, rtol=2e-5, atol=1e-5)


def test_frozen_parameters_have_no_part() -> None:
    network = cnn()
    for parameter in list(network.parameters())[:4]:
        parameter.requires_grad_(False)
    inputs, targets, weights = batch(4, 1)
    sums = clipping.network_sum(network, losses, inputs, targets, weights, clip=0.1, micro_batch=2)
    assert [each.shape for each in sums] == [(4, 48), (4,)]
    for ours, expected in zip(sums, looped(network, inputs, targets, weights, 0.1), strict=True):
        torch.testing.assert_close(ours, expected, rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("unit", range(5))
def test_one_unit_changes_the_sum_by_at_most_the_norm(unit: int) -> None:
    layer, clip = nn.Linear(6, 4), 0.3
    inputs, targets, weights = batch(5, 2)
    inputs = inputs * 1000
    whole = clipping.linear_sum(inputs, head(inputs, targets, layer), weights, clip=clip)
    kept = [each for each in range(5) if each != unit]
    rest = clipping.linear_sum(inputs[kept], head(inputs, targets, layer)[kept], weights[kept], clip=clip)
    change = math.sqrt(sum(float((a.double() - b.double()).square().sum()) for a, b in zip(whole, rest, strict=True)))
    assert clip * 0.9999 < change <= clip


def test_a_group_is_clipped_as_one() -> None:
    """A hundred copies in one unit count no more than one image."""
    inputs, gradient = torch.ones(1, 100, 3), torch.ones(1, 100, 2)
    weight, bias = clipping.linear_sum(inputs, gradient, torch.ones(1, 100), clip=1.0)
    assert math.sqrt(float(weight.square().sum() + bias.square().sum())) == pytest.approx(1, rel=1e-4)


def test_views_that_cancel_leave_little() -> None:
    inputs = torch.full((1, 2, 3), 1e3)
    gradient = torch.tensor([[[1.0, -1.0], [-1.0, 1.0]]])
    weight, bias = clipping.linear_sum(inputs, gradient, torch.full((1, 2), 0.5), clip=1.0)
    assert float(weight.abs().max()) < 1e-3
    assert float(bias.abs().max()) < 1e-3


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 3e38])
def test_a_gradient_that_is_not_finite_counts_as_zero(value: float) -> None:
    layer = nn.Linear(6, 4)
    inputs, targets, weights = batch(6, 2)
    gradient = head(inputs, targets, layer)
    kept = [0, 1, 3, 4, 5]
    expected = clipping.linear_sum(inputs[kept], gradient[kept], weights[kept], clip=0.5)
    if math.isfinite(value):
        gradient[2, 0] = value  # its square overflows float32
        inputs[2, 0] = value
    else:
        inputs[2, 0, 3] = value
    ours = clipping.linear_sum(inputs, gradient, weights, clip=0.5)
    for one, other in zip(ours, expected, strict=True):
        assert torch.isfinite(one).all()
        if not math.isfinite(value):
            torch.testing.assert_close(one, other)

    network = cnn()
    expected_sums = clipping.network_sum(
        network, losses, inputs[kept], targets[kept], weights[kept], clip=0.5, micro_batch=3
    )
    sums = clipping.network_sum(network, losses, inputs, targets, weights, clip=0.5, micro_batch=3)
    for one, other in zip(sums, expected_sums, strict=True):
        assert torch.isfinite(one).all()
        if not math.isfinite(value):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_an_empty_batch_gives_zeros() -> None:
    weight, bias = clipping.linear_sum(torch.zeros(0, 2, 6), torch.zeros(0, 2, 4), torch.zeros(0, 2), clip=1.0)
    assert weight.shape == (4, 6)
    assert not weight.any()
    assert not bias.any()
    sums = clipping.network_sum(
        cnn(), losses, torch.zeros(0, 1, 6), torch.zeros(0, 1), torch.zeros(0, 1), clip=1.0, micro_batch=4
    )
    assert len(sums) == 6
    assert not any(each.any() for each in sums)


def test_layers_that_mix_units_are_found() -> None:
    network = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 4))
    assert clipping.mixing_layers(network) == ["1"]
    assert clipping.mixing_layers(cnn()) == []
    with pytest.raises(AssertionError, match="layers that mix units: 1"):
        clipping.network_sum(network, losses, *batch(2, 1), clip=1.0, micro_batch=1)


def test_memory_bounds_the_micro_batch() -> None:
    network = nn.Linear(1023, 1024)  # 4 MiB
    assert clipping.units_in_memory(network, mib=120) == 10
    assert clipping.units_in_memory(network, mib=1) == 1


def test_the_average_is_by_the_expected_batch_size() -> None:
    sums, noise = [torch.full((2,), 6.0)], [torch.tensor([1.0, -1.0], dtype=torch.float64)]
    (gradient,) = clipping.averaged(sums, noise, deviation=2.0, batch_size=4)
    assert gradient.tolist() == [2.0, 1.0]
    assert gradient.dtype == torch.float32
