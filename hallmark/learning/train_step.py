"""One optimiser step, and all that carries over from one to the next: weights, moments, their average, running sums."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from torch.nn import functional

from hallmark.contracts.seeds import derive
from hallmark.learning import devices, fabric, mixing, optimizers
from hallmark.learning.batches import Batch
from hallmark.learning.ema import Ema
from hallmark.learning.freezing import Freezing
from hallmark.learning.replicas import Replicas
from hallmark.learning.validation import on_device
from hallmark.models import transfer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn
    from torch.optim import Optimizer

    from hallmark.learning.plan import TrainingPlan


@final
class TrainStep:
    """Steps of a network on a machine, to be used within :func:`devices.settled`.

    A single process trains until :meth:`connect`. ``sums`` are those of the epoch so far: loss x images, right answers,
    images, gradient norms, steps.
    """

    def __init__(self, network: nn.Module, plan: TrainingPlan) -> None:
        self._plan, resolved, machine = plan, plan.resolved, plan.machine
        self.device = device = machine.device
        self._scaler = torch.amp.GradScaler("cuda") if machine.precision == "fp16" else None
        self._format = devices.memory_format(network, machine)
        self.network = network.to(device).to(memory_format=self._format)  # type: ignore[call-overload]
        self.matrices = optimizers.decayed(self.network)
        self.replicas = Replicas(self.network, machine.replicas, threads=machine.replica_threads)
        self._penalised = [optimizers.decayed(each) for each in self.replicas.networks] if plan.recipe.l1 else []
        self._freezing = self._new_freezing()
        self._optimizers = self._new_optimizers()
        self._frozen = False
        if plan.recipe.compile:
            self.network.compile()  # in place: the weights keep their names
        self._ema = Ema(self.network, resolved.ema) if resolved.ema else None
        self.sums = torch.zeros(5, dtype=torch.float32 if device.type == "mps" else torch.float64, device=device)
        self.connect(fabric.build(machine, self._scaler))

    def _new_freezing(self) -> list[Freezing]:
        """One for each replica; none where everything learns in every step."""
        resolved = self._plan.resolved
        if not (resolved.freeze or resolved.frozen_layers or resolved.freeze_norms):
            return []
        layers = round(resolved.frozen_layers * (len(transfer.layers(self.network)) - 1))
        return [Freezing(each, layers=layers, norms=resolved.freeze_norms) for each in self.replicas.networks]

    def _new_optimizers(self) -> list[Optimizer]:
        recipe, resolved = self._plan.recipe, self._plan.resolved
        scales = None
        if resolved.layer_decay != 1.0:
            scales = optimizers.layer_scales(transfer.layers(self.network), resolved.layer_decay)
        return optimizers.build(
            resolved.optimizer,
            self.network,
            lr=resolved.lr,
            momentum=recipe.momentum,
            weight_decay=resolved.weight_decay,
            # a fused optimiser would unscale by itself the gradients that were unscaled to clip them
            # and the fused SGD fails where of the weights of a group some had no gradient at first
            fused=self._scaler is None
            and self.device.type in ("cpu", "cuda")
            and not (recipe.optimizer == "sgd" and self._freezing),
            scales=scales,
            spread=self.replicas.map,
        )

    def connect(self, processes: Any) -> None:
        """Trains from now on through ``processes``, a Fabric; its precision is that of the plan's machine."""
        self.fabric = processes
        self._wrapped = processes.setup_module(self.network)

    def join(self, rank: int) -> None:
        """Trains from now on as process ``rank`` of the machine's, whose process group is initialised."""
        from hallmark.learning.ddp import leave_out_unused

        image = torch.from_numpy(np.array(self._plan.batches.pixels[:1]))
        leave_out_unused(self.network, self._inputs(image), penalised=self._penalised[0] if self._penalised else ())
        self.connect(fabric.join(self._plan.machine, rank, self._scaler))

    @property
    def has_muon(self) -> bool:
        """Whether Muon moves any of the weights."""
        return any(isinstance(each, optimizers.Muon) for each in self._optimizers)

    def run(
        self, batches: Sequence[Batch], *, step: int, lr: float, momentum: float, frozen: bool = False
    ) -> tuple[Tensor, Tensor]:
        """One step (from 0) on the gradients of all batches; the last loss, and the gradients' norm before clipping.

        ``frozen``: the head alone learns.
        """
        self._freeze(frozen)
        seed, rank = self._plan.seed, self.fabric.global_rank
        # rank 0 draws dropout as a single process does
        devices.reseed(self.device, derive(seed, "train", "step", step, *((rank,) if rank else ())))
        optimizers.set_rates(self._optimizers, lr=lr, momentum=momentum)
        for optimizer in self._optimizers:
            optimizer.zero_grad()
        value = torch.zeros((), device=self.device)
        before = self.sums[:3].clone() if self.fabric.world_size > 1 else None
        for part, whole in enumerate(batches):
            batch, share = shard(whole, rank, self.fabric.world_size)
            mixed = self._mixed(batch, derive(seed, "train", "mix", step, part))
            with self._synchronised(last=part == len(batches) - 1):
                value = self._learn(*mixed, share=share / len(batches))
        if before is not None:
            self.sums[:3] = before + self.fabric.all_reduce(self.sums[:3] - before, reduce_op="sum")
        norm = self._update()
        if self._ema is not None:
            self._ema.update(self.network, step)
        return value, norm

    def _freeze(self, frozen: bool) -> None:
        for each in self._freezing:
            each.apply(frozen=frozen)
        if self._freezing and frozen != self._frozen:
            self._frozen = frozen
            # DistributedDataParallel waits for the gradients of the weights that learnt when it was made
            self._wrapped = self.fabric.setup_module(self.network)

    def _synchronised(self, *, last: bool) -> Any:
        """A block whose gradients stay in the process, except those of a step's last batch: with them go all."""
        return self.fabric.no_backward_sync(self._wrapped, enabled=self.fabric.world_size > 1 and not last)

    def _mixed(self, batch: Batch, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Images, targets, labels and weights of a batch on the device, after mixup and cutmix."""
        recipe, device = self._plan.recipe, self.device
        images = self._inputs(batch.images)
        labels = batch.labels.to(device, non_blocking=True)
        targets = functional.one_hot(labels, self._plan.classes).to(torch.float32)
        weights = batch.weights.to(device, non_blocking=True)
        if recipe.mixup or recipe.cutmix:
            images, targets, weights = mixing.mix(
                images, targets, weights, mixup=recipe.mixup, cutmix=recipe.cutmix, seed=seed
            )
            labels = targets.argmax(dim=1)
        return images, targets, labels, weights

    def _inputs(self, images: Tensor) -> Tensor:
        """Images uint8 [b, h, w, c] on the device as the network takes them."""
        inputs = on_device(images, self.device)
        # of a single channel, contiguous() would keep the strides
        return inputs.clone(memory_format=self._format) if self._format == torch.contiguous_format else inputs

    def _learn(self, images: Tensor, targets: Tensor, labels: Tensor, weights: Tensor, *, share: float) -> Tensor:
        """Adds the gradients of ``share`` times the loss, and to the sums; the loss."""
        parts, l1 = self.replicas.parts(images, targets, labels, weights), self._plan.recipe.l1
        whole = weights.sum().clamp_min(1e-12) if len(parts) > 1 else None

        def learn_part(replica: int) -> tuple[Tensor, Tensor]:
            images, targets, labels, weights = parts[replica]
            network = self.replicas.networks[replica] if replica else self._wrapped
            with self.fabric.autocast():
                logits = network(images)
            value = self._plan.loss(logits, targets, weights)
            if whole is not None:
                value = value * (weights.sum() / whole)
            penalised = value
            if l1:
                norm = sum(parameter.abs().sum() for parameter in self._penalised[replica])
                penalised = value + l1 / len(parts) * norm
            self.fabric.backward(penalised * share)
            return value.detach(), (logits.detach().argmax(dim=1) == labels).sum()

        values, right = zip(*self.replicas.map(learn_part, range(len(parts))), strict=True)
        self.replicas.gather()
        value: Tensor = sum(values[1:], start=values[0])
        self.sums[0] += value * len(labels)
        self.sums[1] += sum(right[1:], start=right[0])
        self.sums[2] += len(labels)
        return value

    def _update(self) -> Tensor:
        """Moves the weights by their gradients; the gradients' norm before clipping."""
        moved = [each for each in self._optimizers if _with_gradients(each)]  # not where all is frozen
        # Fabric's optimizer updates the scale with every optimizer's step, which two optimizers cannot share
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
        return norm

    def _clip(self, moved: Sequence[Optimizer]) -> Tensor:
        """Clips the gradients of each optimiser as the recipe says; the norm of all before."""
        recipe, norms = self._plan.recipe, []
        for optimizer in moved:
            parameters = _with_gradients(optimizer)
            norm = torch.nn.utils.get_total_norm([each.grad for each in parameters if each.grad is not None])
            if recipe.clip_norm:
                torch.nn.utils.clip_grads_with_norm_(parameters, recipe.clip_norm, norm)
            if recipe.clip_value:
                torch.nn.utils.clip_grad_value_(parameters, recipe.clip_value)
            norms.append(norm)
        total: Tensor = torch.linalg.vector_norm(torch.stack(norms))
        return total

    def averaged(self) -> Swapped:
        """A block in which the network has the averaged weights, if an average is kept."""
        return Swapped(self.network, self._ema.state if self._ema is not None else None)

    def holding(self, state: Mapping[str, Tensor]) -> Swapped:
        """A block in which the network has the weights ``state``."""
        return Swapped(self.network, state)

    def current(self) -> dict[str, Tensor]:
        """The weights that would be kept now: the average's, if one is kept. Not a copy."""
        return self._ema.state if self._ema is not None else self.network.state_dict()

    def state(self) -> dict[str, Any]:
        """Everything the next step depends on."""
        return {
            "network": self.network.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "ema": self._ema.state if self._ema is not None else None,
            "scaler": self._scaler.state_dict() if self._scaler is not None else None,
            "sums": self.sums,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restores a saved state."""
        self.network.load_state_dict(state["network"])
        self.replicas.spread()
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        if self._ema is not None:
            self._ema.restore(state["ema"])
        if self._scaler is not None:
            self._scaler.load_state_dict(state["scaler"])
        self.sums.copy_(state["sums"])


def shard(batch: Batch, rank: int, size: int) -> tuple[Batch, float]:
    """The rows of process ``rank`` of ``size``, and what their mean loss counts in the mean over the processes."""
    if size == 1:
        return batch, 1.0
    rows = Batch(*(part[rank::size] for part in batch))
    return rows, size * float(rows.weights.sum() / batch.weights.sum().clamp_min(1e-12))


def _with_gradients(optimizer: Optimizer) -> list[nn.Parameter]:
    return [each for group in optimizer.param_groups for each in group["params"] if each.grad is not None]


@final
class Swapped:
    """A block in which the network has the weights ``state``, if not None."""

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
