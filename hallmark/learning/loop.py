"""The training loop: the same weights, bit for bit, whatever the number of workers or of kills on the way.

Every draw follows from (seed, step), every batch from (seed, epoch, number), every rate from the step: what a resumed
run has to be given is the weights, the optimiser's moments, the average, the sums of the epoch so far, and the place.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, final

import torch
from torch.nn import functional

from hallmark.contracts.errors import InputError
from hallmark.contracts.seeds import derive
from hallmark.learning import batches as loading
from hallmark.learning import checkpoints as keeping
from hallmark.learning import devices, mixing, monitoring, optimizers, progress, schedules
from hallmark.learning.averaging import Average
from hallmark.learning.sheets import sheet
from hallmark.learning.validation import on_device
from hallmark.pipeline import telemetry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from hallmark.learning.batches import Batch, Batches
    from hallmark.learning.checkpoints import Checkpoints, Stop
    from hallmark.learning.devices import Machine
    from hallmark.learning.losses import Loss
    from hallmark.learning.recipe import Recipe, Resolved
    from hallmark.learning.validation import Validation

_log = logging.getLogger(__name__)

LOGGED = 10  # times an epoch


class Log(Protocol):
    """Who follows a training live."""

    def metrics(self, values: Mapping[str, float], step: int) -> None: ...

    def image(self, name: str, pixels: NDArray[np.uint8], step: int) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """``state`` is the chosen weights, on the CPU; ``history`` one row per epoch; epochs count from 1."""

    state: dict[str, Tensor]
    history: list[dict[str, Any]]
    best_epoch: int
    n_parameters: int
    warnings: list[str]


def fit(
    network: nn.Module,
    *,
    batches: Batches,
    validation: Validation | None,
    recipe: Recipe,
    resolved: Resolved,
    loss: Loss,
    classes: int,
    seed: int,
    machine: Machine,
    checkpoints: Checkpoints,
    log: Log,
) -> Fitted:
    """Trains the network and gives its best weights by the objective, or the last where ``recipe.keep`` says so.

    ``validation`` None means there are no images to choose by: the last weights are taken. Takes up what
    ``checkpoints`` holds. On SIGTERM it keeps its place and raises SystemExit(143). Raises InputError where the loss
    is no longer a number before anything was learnt.
    """
    with devices.settled(machine, deterministic=recipe.deterministic), keeping.on_termination() as stop:
        training = _Training(
            network,
            batches,
            validation,
            recipe,
            resolved,
            loss,
            classes,
            seed,
            machine,
            checkpoints,
            log,
            stop,
        )
        return training.run()


@final
class _Training:
    def __init__(
        self,
        network: nn.Module,
        batches: Batches,
        validation: Validation | None,
        recipe: Recipe,
        resolved: Resolved,
        loss: Loss,
        classes: int,
        seed: int,
        machine: Machine,
        checkpoints: Checkpoints,
        log: Log,
        stop: Stop,
    ) -> None:
        self.batches, self.validation, self.recipe, self.resolved = batches, validation, recipe, resolved
        self.loss, self.classes, self.seed, self.where = loss, classes, seed, machine.device
        self.checkpoints, self.log, self.stop = checkpoints, log, stop
        self.steps_per_epoch = -(-batches.per_epoch // recipe.accumulate)
        self.total = self.steps_per_epoch * resolved.epochs

        self.scaler = torch.amp.GradScaler("cuda") if machine.precision == "fp16" else None
        self.fabric = devices.fabric(machine, self.scaler)
        where = machine.device
        self.network = network.to(where)
        if where.type != "mps":
            self.network = self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.matrices = optimizers.decayed(self.network)
        self.optimizers = optimizers.build(
            recipe.optimizer,
            self.network,
            lr=resolved.lr,
            momentum=recipe.momentum,
            weight_decay=resolved.weight_decay,
            # Fabric clips what GradScaler unscales, which fused optimisers do themselves
            fused=self.scaler is None and where.type in ("cpu", "cuda"),
        )
        self.wrapped, *rest = self.fabric.setup(self.network, *self.optimizers)
        self.stepping: list[Any] = rest
        self.average = Average(self.network, resolved.ema) if resolved.ema else None
        self.plateau = schedules.Plateau(wait=max(2, recipe.patience // 3))

        self.step = 0
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Tensor] | None = None
        self.best_score = (-math.inf, -math.inf)
        self.best_epoch = 0
        self.risen = 0  # the epoch in which the objective rose last
        self.diverged = 0  # the epoch in which the loss stopped being a number
        self.trained: dict[str, Tensor] | None = None
        self.told: set[str] = set()
        # of the epoch so far: loss x images, right answers, images, gradient norms, steps
        self.sums = torch.zeros(5, dtype=torch.float32 if where.type == "mps" else torch.float64, device=where)

    # --- from start to end

    def run(self) -> Fitted:
        state = self.checkpoints.load()
        if state is not None:
            self._restore(state)
            telemetry.note(resumed_from=self.step)
        if self.trained is None:
            self._train()
        assert self.trained is not None
        warnings = monitoring.warnings(self.history, classes=self.classes, lr=self.resolved.lr)
        if self.diverged:
            warnings.insert(0, monitoring.lost(self.diverged, lr=self.resolved.lr))
        return Fitted(
            state=self.trained,
            history=self.history,
            best_epoch=self.best_epoch,
            n_parameters=sum(parameter.numel() for parameter in self.network.parameters()),
            warnings=warnings,
        )

    def _train(self) -> None:
        self.network.train()
        epoch, done = divmod(self.step, self.steps_per_epoch)
        waiting = loading.Waiting()
        started, shown = time.perf_counter(), 0
        processes = loading.workers(self.batches, epochs=self.resolved.epochs - epoch, where=self.where)
        position = (epoch, done * self.recipe.accumulate)
        stream = loading.stream(
            self.batches, start=position, epochs=self.resolved.epochs, processes=processes, waiting=waiting
        )
        with progress.bar(self.total) as advance:
            while self.step < self.total and not self._enough():
                done = self.step % self.steps_per_epoch
                first = done * self.recipe.accumulate
                count = min(self.recipe.accumulate, self.batches.per_epoch - first)
                group = [next(stream) for _ in range(count)]
                if self.step == 0:
                    self.log.image("augmented", sheet(group[0].images.numpy()), 0)
                self._one_step(group)
                shown += sum(len(batch.labels) for batch in group)
                advance(self.step, self._words())
                if self.diverged:
                    break
                if self.step % self.steps_per_epoch == 0:
                    self._end_of_epoch()
                    if self.checkpoints.due_after_epoch():
                        self.checkpoints.save(self._state())
                elif self.checkpoints.due(self.step):
                    self.checkpoints.save(self._state())
                if self.stop.asked:
                    self.checkpoints.save(self._state())
                    raise SystemExit(143)
        del stream  # ends the workers
        spent = time.perf_counter() - started
        if shown:
            telemetry.note(
                samples_per_second=round(shown / spent, 1),
                loader_wait=round(waiting.seconds / spent, 4),
                loader_workers=processes,
                peak_device_memory=devices.peak_memory(self.where),
            )
        last = self.recipe.keep == "last" and not self.diverged
        chosen = self._current() if last or self.best is None else self.best
        if chosen is not self.best:
            self.best_epoch = len(self.history)
        self.trained = {name: value.detach().cpu().clone() for name, value in chosen.items()}
        self.checkpoints.save(self._state(), finished=True)

    def _enough(self) -> bool:
        """Whether the loss is lost, or, at an epoch's end, the objective has not risen for ``patience`` epochs."""
        if self.diverged:
            return True
        if not self.recipe.patience or self.validation is None or self.step % self.steps_per_epoch:
            return False
        return len(self.history) - self.risen >= self.recipe.patience

    # --- one step

    def _one_step(self, group: Sequence[Batch]) -> None:
        recipe, step = self.recipe, self.step
        devices.reseed(self.where, derive(self.seed, "train", "step", step))
        rate = self._rate(step)
        warm = {"total": self.total, "warmup": recipe.warmup}
        momentum = schedules.momentum(recipe.schedule, step, base=recipe.momentum, **warm)  # type: ignore[arg-type]
        optimizers.set_rates(self.optimizers, lr=rate, momentum=momentum)
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        value = torch.zeros((), device=self.where)
        for part, batch in enumerate(group):
            images = on_device(batch.images, self.where)
            labels = batch.labels.to(self.where, non_blocking=True)
            targets = functional.one_hot(labels, self.classes).to(torch.float32)
            images, targets = mixing.mix(
                images,
                targets,
                mixup=recipe.mixup,
                cutmix=recipe.cutmix,
                seed=derive(self.seed, "train", "mix", step, part),
            )
            logits = self.wrapped(images)
            value = self.loss(logits, targets, batch.weights.to(self.where, non_blocking=True))
            penalised = value
            if recipe.l1:
                penalised = value + recipe.l1 * sum(parameter.abs().sum() for parameter in self.matrices)
            self.fabric.backward(penalised / len(group))
            value = value.detach()
            self.sums[0] += value * len(labels)
            self.sums[1] += (logits.detach().argmax(dim=1) == labels).sum()
            self.sums[2] += len(labels)
        norm = self._clip()
        self.sums[3] += norm
        self.sums[4] += 1
        for optimizer in self.stepping:
            optimizer.step()
        if self.scaler is not None:
            self.scaler.update()
        if self.average is not None:
            self.average.update(self.network, step)
        self.step += 1
        if self.step % max(1, self.steps_per_epoch // LOGGED) == 0:
            seen = float(value)
            self.log.metrics({"loss": seen, "lr": rate, "gradient_norm": float(norm)}, self.step)
            if not math.isfinite(seen):
                self._lost()

    def _rate(self, step: int) -> float:
        factor = schedules.factor(self.recipe.schedule, step, total=self.total, warmup=self.recipe.warmup)
        return self.resolved.lr * factor * (self.plateau.factor if self.recipe.schedule == "plateau" else 1.0)

    def _clip(self) -> Tensor:
        """Clips as the recipe says; the gradients' norm before."""
        recipe = self.recipe
        if recipe.clip_norm:
            norms = [
                self.fabric.clip_gradients(self.wrapped, each, max_norm=recipe.clip_norm, error_if_nonfinite=False)
                for each in self.stepping
            ]
            total: Tensor = torch.linalg.vector_norm(torch.stack(norms))
            return total
        grads = [parameter.grad for parameter in self.network.parameters() if parameter.grad is not None]
        norm: Tensor = torch.nn.utils.get_total_norm(grads)
        if recipe.clip_value:
            for each in self.stepping:
                self.fabric.clip_gradients(self.wrapped, each, clip_val=recipe.clip_value)
        return norm

    def _lost(self) -> None:
        """The loss is no number and will be none again: what was learnt before is kept, if it beats guessing."""
        self.diverged = len(self.history) + 1
        learnt = [row for row in self.history if row["train_loss"] < math.log(self.classes)]
        if self.best is None or not learnt:
            raise InputError(
                f"train.lr is {self.resolved.lr:g}: in epoch {self.diverged} the loss stopped being a number",
                remedy=f"give a lower one, such as {self.resolved.lr / 10:g}, or set train.clip_norm to 1",
            )
        _log.warning("epoch %d: %s", self.diverged, monitoring.lost(self.diverged, lr=self.resolved.lr))

    # --- the end of an epoch

    def _end_of_epoch(self) -> None:
        loss, right, images, norms, steps = self.sums.tolist()
        self.sums.zero_()
        epoch = len(self.history) + 1
        if not math.isfinite(loss):
            self._lost()
            return
        balance = monitoring.gradient_balance(self.matrices)
        with self._averaged() as network:
            probe = on_device(torch.from_numpy(self._probe()), self.where)
            with self.fabric.autocast():
                stuck = monitoring.inactive_units(network, probe)
            judged = self.validation.judge(network, self.where, self.fabric) if self.validation is not None else None
        row: dict[str, Any] = {
            "epoch": epoch,
            "train_loss": loss / images,
            "train_accuracy": right / images,
            "val_loss": judged.loss if judged else None,
            "val_accuracy": judged.accuracy if judged else None,
            "objective": judged.objective if judged else None,
            "lr": self._rate(self.step - 1),
            "gradient_norm": norms / steps,
            "gradient_balance": balance,
            "inactive_units": stuck,
        }
        self.history.append(row)
        if judged is not None:
            self.plateau.update(judged.objective)
            if judged.objective > self.best_score[0]:
                self.risen = epoch
            score = (judged.objective, -judged.loss)
            if score > self.best_score:
                self.best_score, self.best_epoch = score, epoch
                self.best = {name: value.detach().clone() for name, value in self._current().items()}
        shown = {name: value for name, value in row.items() if isinstance(value, float) and math.isfinite(value)}
        self.log.metrics({f"epoch/{name}": value for name, value in shown.items()}, epoch)
        for warning in monitoring.warnings(self.history, classes=self.classes, lr=self.resolved.lr):
            kind = warning.split(":")[0]
            if kind not in self.told:
                self.told.add(kind)
                _log.warning("epoch %d: %s", epoch, warning)

    def _probe(self) -> NDArray[np.uint8]:
        """A few images as they are."""
        pixels = self.validation.images if self.validation is not None else self.batches.pixels
        return pixels[:64].copy()

    def _averaged(self) -> _Swapped:
        return _Swapped(self.network, self.average)

    def _current(self) -> dict[str, Tensor]:
        return self.average.state if self.average is not None else self.network.state_dict()

    def _words(self) -> str:
        if not self.history:
            return ""
        row = self.history[-1]
        objective = "" if row["objective"] is None else f" objective {row['objective']:.4f}"
        return f"epoch {row['epoch']} loss {row['train_loss']:.3f}{objective}"

    # --- kept places

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "network": self.network.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "average": self.average.state if self.average is not None else None,
            "scaler": self.scaler.state_dict() if self.scaler is not None else None,
            "plateau": dataclasses.asdict(self.plateau),
            "sums": self.sums,
            "history": self.history,
            "best": self.best,
            "best_score": list(self.best_score),
            "best_epoch": self.best_epoch,
            "risen": self.risen,
            "diverged": self.diverged,
            "trained": self.trained,
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.step = state["step"]
        self.network.load_state_dict(state["network"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        if self.average is not None:
            self.average.restore(state["average"])
        if self.scaler is not None:
            self.scaler.load_state_dict(state["scaler"])
        self.plateau = schedules.Plateau(**state["plateau"])
        self.sums.copy_(state["sums"])
        self.history = state["history"]
        self.best = state["best"] and {name: value.to(self.where) for name, value in state["best"].items()}
        first, second = state["best_score"]
        self.best_score = (first, second)
        self.best_epoch, self.risen, self.diverged = state["best_epoch"], state["risen"], state["diverged"]
        self.trained = state["trained"]


@final
class _Swapped:
    """Within the block the network has the averaged weights."""

    def __init__(self, network: nn.Module, average: Average | None) -> None:
        self._network, self._average = network, average
        self._live: dict[str, Tensor] = {}

    def __enter__(self) -> nn.Module:
        if self._average is not None:
            self._live = {name: value.clone() for name, value in self._network.state_dict().items()}
            self._network.load_state_dict(self._average.state)
        return self._network

    def __exit__(self, *_: object) -> None:
        if self._average is not None:
            self._network.load_state_dict(self._live)
