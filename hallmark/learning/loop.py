"""The training loop: the same weights, bit for bit, whatever the number of workers or of kills on the way.

Every draw follows from (seed, step), every batch from (seed, epoch, number), every rate from the step: what a resumed
run has to be given is the weights, the optimiser's moments, the average, the sums of the epoch so far, and the place.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, final

from hallmark.contracts import progress, telemetry
from hallmark.contracts.errors import InputError
from hallmark.learning import batches as loading
from hallmark.learning import checkpoints as keeping
from hallmark.learning import devices, epoch_hook, monitoring, schedules
from hallmark.learning.distributed import Order, Work, formed
from hallmark.learning.epoch import EpochRecorder, TrainingState
from hallmark.learning.image_grid import make_grid
from hallmark.learning.system_metrics import SystemMetrics
from hallmark.learning.train_step import TrainStep

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from hallmark.learning.batches import Batches
    from hallmark.learning.checkpoints import Checkpoints, Stop
    from hallmark.learning.devices import Machine
    from hallmark.learning.losses import Loss
    from hallmark.learning.recipe import Recipe, Resolved
    from hallmark.learning.validation import Validation

_log = logging.getLogger(__name__)

LOGGED = 10  # times an epoch
SURE = 2.0  # standard errors that the best epoch must be better by


class Log(Protocol):
    """Who follows a training live."""

    def metrics(self, values: Mapping[str, float], step: int) -> None: ...

    def image(self, name: str, pixels: NDArray[np.uint8], step: int) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """``state`` is the chosen weights, on the CPU; ``history`` one row per epoch; epochs count from 1.

    ``resolved`` is what was trained with; ``search`` the trial by which its learning rate was found, if it was.
    """

    state: dict[str, Tensor]
    history: list[dict[str, Any]]
    best_epoch: int
    n_parameters: int
    warnings: list[str]
    resolved: Resolved
    search: list[dict[str, float]] = field(default_factory=list)


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
        train_step = TrainStep(
            network, recipe=recipe, resolved=resolved, loss=loss, classes=classes, seed=seed, machine=machine
        )
        fitted = _Training(
            plan=Work(
                network=network,
                batches=batches,
                recipe=recipe,
                resolved=resolved,
                loss=loss,
                classes=classes,
                seed=seed,
                machine=machine,
            ),
            train_step=train_step,
            validation=validation,
            checkpoints=checkpoints,
            log=log,
            stop=stop,
        ).run()
        if stop.asked:  # since the last step
            raise SystemExit(143)
        return fitted


@final
@dataclass(kw_only=True)
class _Training:
    plan: Work
    train_step: TrainStep
    validation: Validation | None
    checkpoints: Checkpoints
    log: Log
    stop: Stop

    def __post_init__(self) -> None:
        self.steps_per_epoch = -(-self.plan.batches.per_epoch // self.plan.recipe.accumulate)
        self.total = self.steps_per_epoch * self.plan.resolved.epochs
        self.plateau = schedules.Plateau(wait=max(2, self.plan.recipe.patience // 3))
        self.place = TrainingState()
        self.best: dict[str, Tensor] | None = None
        self.trained: dict[str, Tensor] | None = None
        self.account = EpochRecorder(
            batches=self.plan.batches,
            validation=self.validation,
            loss=self.plan.loss,
            lr=self.plan.resolved.lr,
            epochs=self.plan.resolved.epochs,
            log=self.log,
        )

    # --- from start to end

    def run(self) -> Fitted:
        state = self.checkpoints.load()
        if state is not None:
            self._restore(state)
            telemetry.note(resumed_from=self.place.step)
            if self.trained is None:
                _log.info("training goes on in epoch %d of %d", len(self.place.history) + 1, self.plan.resolved.epochs)
        if self.trained is None:
            self._train()
        assert self.trained is not None
        place = self.place
        warnings = monitoring.warnings(place.history, guessing=self.plan.loss.guessing, lr=self.plan.resolved.lr)
        if self.plan.resolved.optimizer == "muon" and not self.train_step.has_muon:
            warnings.append(
                "train.optimizer is muon, but the network has no layer between its first and its last: AdamW trained "
                "it, at a tenth of the rate."
            )
        if place.diverged:
            warnings.insert(0, monitoring.lost(place.diverged, lr=self.plan.resolved.lr))
        return Fitted(
            state=self.trained,
            history=place.history,
            best_epoch=place.best_epoch,
            n_parameters=sum(parameter.numel() for parameter in self.train_step.network.parameters()),
            warnings=warnings,
            resolved=self.plan.resolved,
        )

    def _train(self) -> None:
        with formed(self.plan) as team:
            self.train_step.team = team
            self._steps()

    def _steps(self) -> None:
        self.train_step.network.train()
        waiting = loading.Waiting()
        started, shown = time.perf_counter(), 0
        self.system_metrics, self.begun = SystemMetrics(self.train_step.where), self.place.step
        epoch, done = divmod(self.place.step, self.steps_per_epoch)
        where, epochs = self.train_step.where, self.plan.resolved.epochs
        replicas = self.train_step.replicas
        processes = loading.workers(self.plan.batches, epochs=epochs - epoch, where=where, replicas=len(replicas))
        accumulate = self.plan.recipe.accumulate
        start = (epoch, done * accumulate)
        resident = self.plan.batches.resident
        self.train_step.team.same(
            {"train_step": self.train_step.state(), "start": start, "loaders": processes, "resident": resident}
        )
        stream = loading.stream(
            self.plan.batches, start=start, epochs=epochs, processes=processes, waiting=waiting, replicas=replicas
        )
        plain = self.plan.batches.plain_epochs
        pictured = plain * self.steps_per_epoch if plain < epochs else 0
        self._report()
        while self.place.step < self.total and not self._enough():
            first = self.place.step % self.steps_per_epoch * accumulate
            group = [next(stream) for _ in range(min(accumulate, self.plan.batches.per_epoch - first))]
            if self.place.step == pictured:
                self.log.image("augmented", make_grid(group[0].images.cpu().numpy()), pictured)
            self._step(group)
            shown += sum(len(batch.labels) for batch in group)
            self._report()
            if not self.place.diverged:
                self._keep()
        del stream  # ends the workers
        spent = time.perf_counter() - started
        if shown:
            telemetry.note(
                samples_per_second=round(shown / spent, 1),
                loader_wait=round(waiting.seconds / spent, 4),
                loader_workers=processes,
                augmentation=self.plan.batches.executor,
                images_on_device=resident,
                peak_device_memory=devices.peak_memory(where),
                **self.system_metrics.facts(),
            )
        chosen = self.best
        if chosen is None or (not self.place.diverged and self._last_is_kept(chosen)):
            chosen = self.train_step.current()
            self.place.best_epoch = len(self.place.history)
        self.trained = {name: value.detach().cpu().clone() for name, value in chosen.items()}
        self.checkpoints.save(self._state(), finished=True)

    def _last_is_kept(self, best: dict[str, Tensor]) -> bool:
        """What ``train.keep`` says; where it is auto, whether the best weights are not surely better than the last."""
        if self.plan.recipe.keep != "auto" or self.validation is None:
            return self.plan.recipe.keep == "last"
        if self.place.step < self.total or self.place.best_epoch == len(self.place.history):
            return False
        where, fabric, replicas = self.train_step.where, self.train_step.fabric, self.train_step.replicas
        with self.train_step.averaged() as network:
            last = self.validation.judge(network, where, fabric, replicas)
        with self.train_step.holding(best) as network:
            first = self.validation.judge(network, where, fabric, replicas)
        return first.objective - last.objective <= SURE * self.validation.difference_error(first, last)

    def _enough(self) -> bool:
        """Whether the loss is lost, or, at an epoch's end, the objective has not risen for ``patience`` epochs."""
        if self.place.diverged:
            return True
        if not self.plan.recipe.patience or self.validation is None or self.place.step % self.steps_per_epoch:
            return False
        return len(self.place.history) - self.place.risen >= self.plan.recipe.patience

    def _step(self, group: list[loading.Batch]) -> None:
        step, schedule, base = self.place.step, self.plan.resolved.schedule, self.plan.recipe.momentum
        rate = self._rate(step)
        momentum = schedules.momentum(schedule, step, total=self.total, warmup=self.plan.recipe.warmup, base=base)
        frozen = step < self.plan.resolved.freeze * self.total
        self.train_step.team.order(Order(step, len(group), rate, momentum, frozen))
        value, norm = self.train_step.take(group, step=step, rate=rate, momentum=momentum, frozen=frozen)
        self.place.step += 1
        if self.place.step % max(1, self.steps_per_epoch // LOGGED) == 0:
            seen = float(value)
            shown = (self.place.step - self.begun) * self.plan.batches.shown / self.steps_per_epoch
            told = {"loss": seen, "lr": rate, "gradient_norm": float(norm), **self.system_metrics.sample(shown)}
            self.log.metrics(told, self.place.step)
            if not math.isfinite(seen):
                self._lost()
                return
        if self.place.step % self.steps_per_epoch == 0:
            self._end_of_epoch()

    def _rate(self, step: int) -> float:
        resolved = self.plan.resolved
        factor = schedules.factor(resolved.schedule, step, total=self.total, warmup=self.plan.recipe.warmup)
        return resolved.lr * factor * (self.plateau.factor if resolved.schedule == "plateau" else 1.0)

    def _lost(self) -> None:
        """The loss is no number and will be none again: what was learnt before is kept, if it beats guessing."""
        epoch = self.place.diverged = len(self.place.history) + 1
        learnt = any(row["train_loss"] < self.plan.loss.guessing for row in self.place.history)
        if self.best is None or not learnt:
            raise InputError(
                f"train.lr is {self.plan.resolved.lr:g}: in epoch {epoch} the loss stopped being a number",
                remedy=f"give a lower one, such as {self.plan.resolved.lr / 10:g}, or set train.clip_norm to 1",
            )
        _log.warning("epoch %d: %s", epoch, monitoring.lost(epoch, lr=self.plan.resolved.lr))

    # --- the end of an epoch

    def _end_of_epoch(self) -> None:
        sums = self.train_step.sums.tolist()
        self.train_step.sums.zero_()
        if not math.isfinite(sums[0]):
            self._lost()
            return
        judged = self.account.close(self.train_step, sums, self.place, rate=self._rate(self.place.step - 1))
        if judged is not None:
            self.plateau.update(judged.objective)
            if self.place.compare(judged):
                self.best = {name: value.detach().clone() for name, value in self.train_step.current().items()}
            epoch_hook.call(len(self.place.history), self.plan.resolved.epochs, judged.objective)

    def _report(self) -> None:
        """Tells who listens how far the training is, with the figures of the last whole epoch."""
        epochs, each = self.plan.resolved.epochs, self.plan.batches.shown / self.steps_per_epoch
        figures: dict[str, str | float] = {
            "epoch": f"{min(self.place.step // self.steps_per_epoch + 1, epochs)} of {epochs}"
        }
        if self.place.history:
            row = self.place.history[-1]
            figures["loss"] = row["train_loss"]
            if row["objective"] is not None:
                figures["objective"] = row["objective"]
        done, total = round(self.place.step * each), round(self.total * each)
        progress.report("training", done, total, figures=figures, at_most=bool(self.plan.recipe.patience))

    # --- kept places

    def _keep(self) -> None:
        """Saves the place where it is time to, or where the process was asked to end, which it then does."""
        at_end = self.place.step % self.steps_per_epoch == 0
        due = self.checkpoints.due_after_epoch() if at_end else self.checkpoints.due(self.place.step)
        if due or self.stop.asked:
            self.checkpoints.save(self._state())
        if self.stop.asked:
            raise SystemExit(143)

    def _state(self) -> dict[str, Any]:
        return {
            "train_step": self.train_step.state(),
            "place": dataclasses.asdict(self.place),
            "plateau": dataclasses.asdict(self.plateau),
            "best": self.best,
            "trained": self.trained,
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.train_step.restore(state["train_step"])
        self.place = TrainingState(**state["place"])
        self.plateau = schedules.Plateau(**state["plateau"])
        best = state["best"]
        self.best = (
            {name: value.to(self.train_step.where) for name, value in best.items()} if best is not None else None
        )
        self.trained = state["trained"]
