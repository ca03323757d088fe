"""Optimisers by name, with weight decay on weight matrices and kernels alone: never on biases, norms or scales."""

from __future__ import annotations

import functools
import inspect
import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]

AUXILIARY = 0.1  # Muon's learning rate times this is AdamW's, for what Muon cannot take
FIRST_LAYER = 0.1  # learning rate of the first layer of a pretrained network by that of its head


def _eager(kind: type[Optimizer]) -> Any:
    """The optimiser without what prepares it for torch's compiler, which no optimiser here is compiled by.

    torch imports the compiler with an optimiser's first step, which takes more than a second of a training's start.
    """
    for each in vars(Optimizer).values():
        method = getattr(each, "__wrapped__", None)
        if method is not None and getattr(method, "__dynamo_disable", None) is None:
            # with this mark set, torch does not import the compiler to set it
            method.__dict__["__dynamo_disable"] = method
    return type(kind.__name__, (kind,), {"step": torch.no_grad()(inspect.unwrap(kind.step))})


def decayed(network: nn.Module) -> list[nn.Parameter]:
    """The parameters that weight decay and L1 act on: two or more dimensions of which more than one is above 1."""
    return [parameter for parameter in network.parameters() if _is_matrix(parameter)]


def _is_matrix(parameter: Tensor) -> bool:
    return sum(size > 1 for size in parameter.shape) >= 2


def layer_scales(layers: Sequence[Sequence[nn.Parameter]], decay: float | None) -> dict[int, float]:
    """What each parameter's learning rate is multiplied by, by id: 1 in the head, ``decay`` more in each layer below.

    Layer-wise decay keeps what trained layers know of images in general (Clark et al. 2020; Bao et al. 2022). None
    gives the first layer a tenth of the head's rate, however many lie between.
    """
    rate = decay if decay is not None else FIRST_LAYER ** (1 / max(1, len(layers) - 1))
    return {id(p): rate ** (len(layers) - 1 - depth) for depth, layer in enumerate(layers) for p in layer}


def build(
    name: str,
    network: nn.Module,
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
    fused: bool,
    scales: Mapping[int, float] | None = None,
    spread: Map = map,
) -> list[Optimizer]:
    """One optimiser, or for ``muon`` two: Muon for the matrices, AdamW for the input, the output and the vectors.

    ``momentum`` is the first decay rate of the Adam family; ``scales`` multiplies the learning rate of a parameter, by
    its id (see :func:`layer_scales`).
    """
    matrices = decayed(network)
    chosen = {id(parameter) for parameter in matrices}
    vectors = [parameter for parameter in network.parameters() if id(parameter) not in chosen]
    grouped = functools.partial(_grouped, lr=lr, scales=scales or {})
    if name == "muon":
        outer = {id(parameter) for parameter in (*matrices[:1], *matrices[-1:])}
        inner = [parameter for parameter in matrices if id(parameter) not in outer]
        ends = [parameter for parameter in matrices if id(parameter) in outer]
        slower = grouped(ends, weight_decay, AUXILIARY) + grouped(vectors, 0.0, AUXILIARY)
        auxiliary = _eager(AdamW)(slower, lr=lr * AUXILIARY, betas=(momentum, 0.999), fused=fused)
        if not inner:
            return [auxiliary]
        muon = Muon(grouped(inner, weight_decay), lr=lr, momentum=momentum, weight_decay=weight_decay, spread=spread)
        return [muon, auxiliary]
    groups = grouped(matrices, weight_decay) + grouped(vectors, 0.0)
    match name:
        case "sgd":
            return [_eager(SGD)(groups, lr=lr, momentum=momentum, nesterov=momentum > 0, fused=fused)]
        case "adam":
            return [_eager(Adam)(groups, lr=lr, betas=(momentum, 0.999), fused=fused)]
        case "adamw":
            return [_eager(AdamW)(groups, lr=lr, betas=(momentum, 0.999), fused=fused)]
        case "rmsprop":
            return [_eager(RMSprop)(groups, lr=lr, alpha=0.99, momentum=momentum)]
    raise AssertionError(f"unknown optimizer {name!r}")


def _grouped(
    parameters: Sequence[nn.Parameter], decay: float, factor: float = 1.0, *, lr: float, scales: Mapping[int, float]
) -> list[dict[str, Any]]:
    """Groups of parameters of one scale, the smallest scale first."""
    by_scale: dict[float, list[nn.Parameter]] = {}
    for parameter in parameters:
        by_scale.setdefault(scales.get(id(parameter), 1.0), []).append(parameter)
    return [
        {"params": by_scale[scale], "weight_decay": decay, "scale": scale * factor, "lr": lr * scale * factor}
        for scale in sorted(by_scale)
    ]


def set_rates(optimizers: Iterable[Optimizer], *, lr: float, momentum: float) -> None:
    """The learning rate and the momentum of the next step, whatever the optimiser calls them."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = lr * group.get("scale", 1.0)
            if "betas" in group:
                group["betas"] = (momentum, group["betas"][1])
            else:
                group["momentum"] = momentum


class Muon(Optimizer):
    """Momentum whose matrix is replaced by the nearest orthogonal one (Jordan et al. 2024), with decoupled decay.

    Kernels [out, in, h, w] are taken as matrices [out, in h w]. torch's own takes two-dimensional parameters alone.
    """

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
        spread: Map = map,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self._spread = spread

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Updates every parameter that has a gradient."""
        assert closure is None, "Muon takes no closure"
        todo = [
            (group, parameter)
            for group in self.param_groups
            for parameter in group["params"]
            if parameter.grad is not None
        ]
        for _, parameter in todo:
            if not self.state[parameter]:
                self.state[parameter]["momentum"] = torch.zeros_like(parameter)
        # the largest first, so that none of those that work side by side is left with it at the end
        todo.sort(key=lambda each: -each[1].numel())
        for _ in self._spread(self._update, todo):
            pass

    @torch.no_grad()  # a thread's own
    def _update(self, work: tuple[dict[str, Any], Tensor]) -> None:
        group, parameter = work
        assert parameter.grad is not None
        buffer: Tensor = self.state[parameter]["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
        ahead = parameter.grad.lerp(buffer, group["momentum"])
        rows, columns = len(parameter), parameter.numel() // len(parameter)
        update = orthogonalised(ahead.reshape(rows, columns)).reshape(ahead.shape)
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(update, alpha=-group["lr"] * math.sqrt(max(1.0, rows / columns)))


def orthogonalised(matrix: Tensor, *, steps: int = 5) -> Tensor:
    """A matrix [rows, columns] with its singular values pulled near 1, by a quintic Newton-Schulz iteration."""
    a, b, c = 3.4445, -4.7750, 2.0315
    # the iteration forgives rounding; on a CPU without units for bf16 that would only be slower
    short = matrix.is_cuda or (matrix.device.type == "cpu" and torch.cpu._is_avx512_bf16_supported())
    x = matrix.bfloat16() if short else matrix.float()
    x = x / (x.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = (x.T if tall else x).to(matrix.dtype)
    return result
