"""One optimiser step, and all that carries over from one to the next: weights, moments, their average, running sums."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import torch
from torch.nn import functional

from hallmark.contracts.seeds import derive
from hallmark.learning import devices, mixing, optimizers
from hallmark.learning.distributed import ProcessGroup
from hallmark.learning.ema import Ema
from hallmark.learning.freezing import Freezing
from hallmark.learning.replicas import Replicas
from hallmark.learning.validation import on_device
from hallmark.models import transfer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn
    from torch.optim import Optimizer

    from hallmark.learning.batches import Batch
    from hallmark.learning.devices import Machine
    from hallmark.learning.losses import Loss
    from hallmark.learning.recipe import Recipe, Resolved


@final
class TrainStep:
    """Steps of a network on a machine, to be used within :func:`devices.settled`."""

    def __init__(
        self,
        network: nn.Module,
        *,
        recipe: Recipe,
        resolved: Resolved,
        loss: Loss,
        classes: int,
        seed: int,
        machine: Machine,
        team: ProcessGroup | None = None,
    ) -> None:
        self._recipe, self._loss, self._classes, self._seed = recipe, loss, classes, seed
        self.where = where = machine.device
        self.team = team or ProcessGroup()
        self._scaler = torch.amp.GradScaler("cuda") if machine.precision == "fp16" else None
        self.fabric = devices.placing(machine, self._scaler)
        self.network = network.to(where)
        self._format = devices.memory_format(network, machine)
        self.network = self.network.to(memory_format=self._format)  # type: ignore[call-overload]
        self.matrices = optimizers.decayed(self.network)
        self.replicas = Replicas(self.network, machine.replicas, threads=machine.replica_threads)
        self._penalised = [optimizers.decayed(each) for each in self.replicas.networks] if recipe.l1 else []
        self._optimizers = optimizers.build(
            resolved.optimizer,
            self.network,
            lr=resolved.lr,
            momentum=recipe.momentum,
            weight_decay=resolved.weight_decay,
            # a fused optimiser would unscale by itself the gradients that were unscaled to clip them
            # and the fused SGD fails where of the weights of a group some had no gradient at first
            fused=self._scaler is None
            and where.type in ("cpu", "cuda")
            and not (recipe.optimizer == "sgd" and resolved.freeze > 0),
            scales=optimizers.layer_scales(transfer.layers(self.network), resolved.layer_decay)
            if resolved.layer_decay != 1.0
            else None,
            spread=self.replicas.map,
        )
        self._freezing = [Freezing(each) for each in self.replicas.networks] if resolved.freeze else []
        if recipe.compile:
            self.network.compile()  # in place: the weights keep their names
        self._wrapped = self.fabric.setup_module(self.network)
        self._average = Ema(self.network, resolved.ema) if resolved.ema else None
        # of the epoch so far: loss x images, right answers, images, gradient norms, steps
        self.sums = torch.zeros(5, dtype=torch.float32 if where.type == "mps" else torch.float64, device=where)

    @property
    def has_muon(self) -> bool:
        """Whether Muon moves any of the weights."""
        return any(isinstance(each, optimizers.Muon) for each in self._optimizers)

    def take(
        self, group: Sequence[Batch], *, step: int, rate: float, momentum: float, frozen: bool = False
    ) -> tuple[Tensor, Tensor]:
        """One step (from 0) on the gradients of all batches of ``group``; the last loss, and the norm before clipping.

        ``frozen``: the head alone learns.
        """
        recipe = self._recipe
        for each in self._freezing:
            each.apply(frozen=frozen)
        devices.reseed(self.where, derive(self._seed, "train", "step", step, *self.team.seeds()))
        optimizers.set_rates(self._optimizers, lr=rate, momentum=momentum)
        for optimizer in self._optimizers:
            optimizer.zero_grad()
        value = torch.zeros((), device=self.where)
        before = self.sums.clone() if self.team.size > 1 else None
        for part, whole in enumerate(group):
            batch, share = self.team.share(whole)
            images = on_device(batch.images, self.where)
            if self._format == torch.contiguous_format:  # of a single channel, contiguous() would keep the strides
                images = images.clone(memory_format=self._format)
            labels = batch.labels.to(self.where, non_blocking=True)
            targets = functional.one_hot(labels, self._classes).to(torch.float32)
            mixed = derive(self._seed, "train", "mix", step, part)
            weights = batch.weights.to(self.where, non_blocking=True)
            if recipe.mixup or recipe.cutmix:
                images, targets, weights = mixing.mix(
                    images, targets, weights, mixup=recipe.mixup, cutmix=recipe.cutmix, seed=mixed
                )
                labels = targets.argmax(dim=1)
            value = self._learn(images, targets, labels, weights, share=share / len(group))
        if before is not None:
            seen = self.sums[:3] - before[:3]
            self.team.add_up([seen, *(parameter.grad for parameter in self.network.parameters())])
            self.sums[:3] = before[:3] + seen
        moved = [each for each in self._optimizers if _learnt(each)]  # not where all is frozen
        if self._scaler is not None:
            for optimizer in moved:
                self._scaler.unscale_(optimizer)
        norm = self._clip(moved)
        # a scale that was too large shows as a norm that is no number: that step is left out
        self.sums[3] += norm if self._scaler is None else norm.nan_to_num(posinf=0.0)
        self.sums[4] += 1
        for optimizer in moved:
            if self._scaler is None:
                optimizer.step()
            else:
                self._scaler.step(optimizer)
        if self._scaler is not None:
            self._scaler.update()
        if self._average is not None:
            self._average.update(self.network, step)
        return value, norm

    def _learn(self, images: Tensor, targets: Tensor, labels: Tensor, weights: Tensor, *, share: float) -> Tensor:
        """Adds the gradients of ``share`` times the loss, and to the sums; the loss."""
        parts = self.replicas.parts(images, targets, labels, weights)
        whole = weights.sum().clamp_min(1e-12) if len(parts) > 1 else None

        def one(replica: int) -> tuple[Tensor, Tensor]:
            images, targets, labels, weights = parts[replica]
            network = self.replicas.networks[replica] if replica else self._wrapped
            with self.fabric.autocast():
                logits = network(images)
            value = self._loss(logits, targets, weights)
            if whole is not None:
                value = value * (weights.sum() / whole)
            penalised = value
            if self._recipe.l1:
                part = self._recipe.l1 / len(parts)
                penalised = value + part * sum(parameter.abs().sum() for parameter in self._penalised[replica])
            self.fabric.backward(penalised * share)
            return value.detach(), (logits.detach().argmax(dim=1) == labels).sum()

        values, right = zip(*self.replicas.map(one, range(len(parts))), strict=True)
        self.replicas.gather()
        value: Tensor = sum(values[1:], start=values[0])
        self.sums[0] += value * len(labels)
        self.sums[1] += sum(right[1:], start=right[0])
        self.sums[2] += len(labels)
        return value

    def _clip(self, moved: Sequence[Optimizer]) -> Tensor:
        """Clips the gradients of each optimiser as the recipe says; the norm of all before."""
        norms = []
        for optimizer in moved:
            learnt = _learnt(optimizer)
            norm = torch.nn.utils.get_total_norm([each.grad for each in learnt if each.grad is not None])
            if self._recipe.clip_norm:
                torch.nn.utils.clip_grads_with_norm_(learnt, self._recipe.clip_norm, norm)
            if self._recipe.clip_value:
                torch.nn.utils.clip_grad_value_(learnt, self._recipe.clip_value)
            norms.append(norm)
        total: Tensor = torch.linalg.vector_norm(torch.stack(norms))
        return total

    def averaged(self) -> Swapped:
        """A block in which the network has the averaged weights, if an average is kept."""
        return Swapped(self.network, self._average.state if self._average is not None else None)

    def holding(self, state: Mapping[str, Tensor]) -> Swapped:
        """A block in which the network has the weights ``state``."""
        return Swapped(self.network, state)

    def current(self) -> dict[str, Tensor]:
        """The weights that would be kept now: the average's, if one is kept. Not a copy."""
        return self._average.state if self._average is not None else self.network.state_dict()

    def state(self) -> dict[str, Any]:
        """Everything the next step depends on."""
        return {
            "network": self.network.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "average": self._average.state if self._average is not None else None,
            "scaler": self._scaler.state_dict() if self._scaler is not None else None,
            "sums": self.sums,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes up a saved state."""
        self.network.load_state_dict(state["network"])
        self.replicas.spread()
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        if self._average is not None:
            self._average.restore(state["average"])
        if self._scaler is not None:
            self._scaler.load_state_dict(state["scaler"])
        self.sums.copy_(state["sums"])


def _learnt(optimizer: Optimizer) -> list[nn.Parameter]:
    """The parameters with a gradient."""
    return [each for group in optimizer.param_groups for each in group["params"] if each.grad is not None]


@final
class Swapped:
    """Within the block the network has other weights, if any are given."""

    def __init__(self, network: nn.Module, state: Mapping[str, Tensor] | None) -> None:
        self._network, self._state = network, state
        self._live: dict[str, Tensor] = {}

    def __enter__(self) -> nn.Module:
        if self._state is not None:
            self._live = {name: value.clone() for name, value in self._network.state_dict().items()}
            self._network.load_state_dict(self._state)
        return self._network

    def __exit__(self, *_: object) -> None:
        if self._state is not None:
            self._network.load_state_dict(self._live)
