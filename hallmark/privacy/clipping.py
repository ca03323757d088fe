"""Sums of gradients to which each unit contributes a vector of norm at most ``clip``.

A unit has one or more rows: the views of an image, or the images of a group with their views. Its gradient is the
weighted sum of its rows' gradients, clipped as one. Weights are 1 for an image, 1/K for each of K views, 0 for
padding. A unit whose gradient is not finite counts as zero. The sum is over a batch's units; :func:`averaged` divides
it by the *expected* batch size, which is public.

For a linear layer with bias the norm has a closed form (Goodfellow 2015): the gradient of a row with input x and
logit gradient r is r [x, 1]ᵀ, so a single row has norm |r| √(|x|² + 1), and a unit's squared norm is
Σ w_i w_j (r_i · r_j)(x_i · x_j + 1).

What a batch's norms and losses are is private too: nothing here returns them.

>>> logits_gradient, inputs = torch.tensor([[[3.0, -3.0]]]), torch.tensor([[[4.0]]])
>>> weight, bias = linear_sum(inputs, logits_gradient, torch.ones(1, 1), clip=1.0)
>>> round(float(weight.square().sum() + bias.square().sum()), 3)
1.0
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import nn
from torch.func import functional_call, grad, vmap

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Loss: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

#: a clipped norm stays below ``clip`` by this share, more than float32 rounds by
_MARGIN = 1e-5


def linear_sum(
    inputs: torch.Tensor, logits_gradient: torch.Tensor, weights: torch.Tensor, *, clip: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The clipped sums for the weight [classes, features] and the bias [classes] of a linear layer.

    ``inputs`` [units, rows, features], ``logits_gradient`` [units, rows, classes] (softmax minus one-hot, for cross
    entropy) and ``weights`` [units, rows], all of one floating type. A batch without units gives zeros.
    """
    assert clip > 0, clip
    features, classes = inputs.shape[2], logits_gradient.shape[2]
    if not len(inputs):
        return inputs.new_zeros(classes, features), inputs.new_zeros(classes)
    finite = _finite_units(inputs, logits_gradient, weights)
    x = torch.where(finite[:, None, None], inputs, 0.0)
    r = torch.where(finite[:, None, None], logits_gradient * weights[:, :, None], 0.0)
    if x.shape[1] == 1:
        lengths = [each.square().sum(dim=2, dtype=torch.float64)[:, 0] for each in (x, r)]
        squared = (lengths[0] + 1) * lengths[1]
    else:
        # rows that nearly cancel would leave float32's rounding
        wide_x, wide_r = x.double(), r.double()
        squared = ((wide_x @ wide_x.mT + 1) * (wide_r @ wide_r.mT)).sum(dim=(1, 2))
    r = r * _factors(squared, clip)[:, None, None].to(r)
    rows, gradients = x.reshape(-1, features), r.reshape(-1, classes)
    return gradients.mT @ rows, gradients.sum(dim=0)


def network_sum(
    network: nn.Module,
    loss: Loss,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    *,
    clip: float,
    micro_batch: int,
) -> list[torch.Tensor]:
    """The clipped sum for each trainable parameter of a network, in the order of ``network.parameters()``.

    ``inputs`` [units, rows, ...], ``targets`` [units, rows, ...] and ``weights`` [units, rows]; ``loss`` gives the
    losses [rows] of outputs and targets. ``micro_batch`` units have their gradients in memory at once; it changes
    nothing else. Layers that mix units, such as batch norm, raise AssertionError.
    """
    assert clip > 0, clip
    assert not mixing_layers(network), f"layers that mix units: {', '.join(mixing_layers(network))}"
    trained = {name: value.detach() for name, value in network.named_parameters() if value.requires_grad}
    fixed = {name: value.detach() for name, value in network.named_parameters() if not value.requires_grad}
    fixed |= dict(network.named_buffers())
    total = {name: torch.zeros_like(value) for name, value in trained.items()}

    def unit_loss(values: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        losses = loss(functional_call(network, {**values, **fixed}, (x,)), y)
        return (w * losses).sum()

    per_unit = vmap(grad(unit_loss), in_dims=(None, 0, 0, 0), randomness="different")
    for start in range(0, len(inputs), micro_batch):
        part = slice(start, start + micro_batch)
        gradients = per_unit(trained, inputs[part], targets[part], weights[part])
        flat = [each.flatten(1) for each in gradients.values()]
        squared = torch.stack([each.square().sum(dim=1, dtype=torch.float64) for each in flat]).sum(dim=0)
        factors = _factors(squared, clip).to(flat[0])
        for name, each in zip(gradients, flat, strict=True):
            # 0 times an infinite gradient is no 0
            kept = torch.where(factors[:, None] > 0, each, 0.0)
            total[name] += (factors @ kept).reshape(total[name].shape)
    return list(total.values())


def units_in_memory(network: nn.Module, *, mib: int) -> int:
    """How many units' gradients :func:`network_sum` can hold in so much memory, at least 1; a rough figure.

    It counts three copies of each unit's gradient and neglects activations.
    """
    size = sum(value.numel() * value.element_size() for value in network.parameters() if value.requires_grad)
    return max(1, mib * 2**20 // max(1, 3 * size))


def averaged(
    sums: Sequence[torch.Tensor], noise: Sequence[torch.Tensor], *, deviation: float, batch_size: int
) -> list[torch.Tensor]:
    """The private gradient: sums plus noise of standard deviation ``deviation``, by the expected batch size.

    ``noise`` has standard deviation 1 and the shapes of ``sums``; ``deviation`` is the noise multiplier times ``clip``.
    """
    return [(total + deviation * values.to(total)) / batch_size for total, values in zip(sums, noise, strict=True)]


def mixing_layers(network: nn.Module) -> list[str]:
    """Names of the layers whose output for one unit depends on the others of a batch."""
    mixing = (nn.modules.batchnorm._BatchNorm, nn.SyncBatchNorm)
    return [name for name, module in network.named_modules() if isinstance(module, mixing)]


def _factors(squared: torch.Tensor, clip: float) -> torch.Tensor:
    """What each unit's gradient is multiplied with [units]: at most 1, 0 for a norm that is not finite."""
    norms = squared.clamp(min=0).sqrt()
    factors = (clip * (1 - _MARGIN) / norms.clamp(min=1e-300)).clamp(max=1.0)
    return torch.where(torch.isfinite(norms), factors, 0.0)


def _finite_units(*values: torch.Tensor) -> torch.Tensor:
    """Which units [units] have only finite values."""
    finite = [torch.isfinite(each.flatten(1)).all(dim=1) for each in values]
    return torch.stack(finite).all(dim=0)
