"""The training loop: the same weights, bit for bit, whatever the number of workers or of kills on the way.

Every draw follows from (seed, step), every batch from (seed, epoch, number), every rate from the step: what a resumed
run needs is the weights, the optimiser's moments, the average, the sums of the epoch so far, and the training state.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from hallmark.contracts import telemetry
from hallmark.contracts.errors import InputError
from hallmark.learning import batches as loading
from hallmark.learning import checkpoints as keeping
from hallmark.learning import devices, epoch_hook, monitoring, schedules, selection
from hallmark.learning.distributed import Command, Start, launched
from hallmark.learning.epoch import EpochRecorder, report_progress
from hallmark.learning.fitted import Fitted
from hallmark.learning.image_grid import make_grid
from hallmark.learning.selection import LIKELY, SURE
from hallmark.learning.system_metrics import SystemMetrics
from hallmark.learning.train_step import TrainStep
from hallmark.learning.training_state import TrainingState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor, nn

    from hallmark.learning.batches import Batch
    from hallmark.learning.checkpoints import Checkpoints, Stop
    from hallmark.learning.epoch import Log
    from hallmark.learning.plan import TrainingPlan
    from hallmark.learning.validation import Validation

_log = logging.getLogger(__name__)

LOGGED = 10  # times an epoch


def fit(
    network: nn.Module, plan: TrainingPlan, *, validation: Validation | None, checkpoints: Checkpoints, log: Log
) -> Fitted:
    """Trains the network and gives its best weights by the objective, or the last where ``recipe.keep`` says so.

    ``validation`` None means there are no images to choose by: the last weights are taken. Takes up what
    ``checkpoints`` holds. On SIGTERM it saves a checkpoint and raises SystemExit(143). Raises InputError where the loss
    is no longer a number before anything was learnt.
    """
    settled = devices.settled(plan.machine, deterministic=plan.recipe.deterministic)
    with settled, keeping.on_termination() as stop:
        fitted = _Training(
            plan=plan,
            train_step=TrainStep(network, plan),
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
    plan: TrainingPlan
    train_step: TrainStep
    validation: Validation | None
    checkpoints: Checkpoints
    log: Log
    stop: Stop

    def __post_init__(self) -> None:
        self.steps_per_epoch, self.total = self.plan.steps_per_epoch, self.plan.steps
        self.plateau = schedules.Plateau(wait=max(2, self.plan.recipe.patience // 3))
        self.state = TrainingState()
        self.best: dict[str, Tensor] | None = None
        self.trained: dict[str, Tensor] | None = None
        self.recorder = EpochRecorder(self.plan, validation=self.validation, log=self.log)
        network = self.train_step.network
        self.first = None if self.plan.head is None else {n: v.clone() for n, v in network.state_dict().items()}

    def run(self) -> Fitted:
        saved = self.checkpoints.load()
        if saved is not None:
            self._restore(saved)
            telemetry.note(resumed_from=self.state.step)
            if self.trained is None:
                _log.info("training goes on in epoch %d of %d", len(self.state.history) + 1, self.plan.resolved.epochs)
        if self.trained is None:
            with launched(self.train_step, self.plan):
                self._train()
        assert self.trained is not None
        return Fitted(
            state=self.trained,
            history=self.state.history,
            best_epoch=self.state.best_epoch,
            start=self.state.start,
            n_parameters=sum(parameter.numel() for parameter in self.train_step.network.parameters()),
            warnings=self._warnings(),
            resolved=self.plan.resolved,
        )

    def _warnings(self) -> list[str]:
        resolved, diverged = self.plan.resolved, self.state.diverged
        warnings = [
            *monitoring.warnings(self.state.history, guessing=self.plan.loss.guessing, lr=resolved.lr).values(),
            *monitoring.without_effect(resolved, steps=self.total, has_muon=self.train_step.has_muon),
        ]
        return [monitoring.lost(diverged, lr=resolved.lr), *warnings] if diverged else warnings

    def _train(self) -> None:
        self.train_step.network.train()
        waiting = loading.Waiting()
        started, n_images = time.perf_counter(), 0
        self.system_metrics, self.begun = SystemMetrics(self.train_step.device), self.state.step
        loaders = self._loaders()
        stream = self._stream(loaders, waiting)
        plain, epochs = self.plan.batches.plain_epochs, self.plan.resolved.epochs
        augmented = plain * self.steps_per_epoch if plain < epochs else 0
        if self.plan.head is not None and not self.state.step:
            self.state.start = self.recorder.start(self.plan.head, self.train_step)
        report_progress(self.state, self.plan)
        while self.state.step < self.total and not self._is_over():
            batches = self._next(stream)
            if self.state.step == augmented:
                self.log.image("augmented", make_grid(batches[0].images.cpu().numpy()), augmented)
            self._step(batches)
            n_images += sum(len(batch.labels) for batch in batches)
            report_progress(self.state, self.plan)
            if not self.state.diverged:
                self._checkpoint()
        del stream  # ends the workers
        if n_images:
            self._note_speed(n_images, time.perf_counter() - started, waiting, loaders)
        self._finish()

    def _loaders(self) -> int:
        """Processes that load batches."""
        left = self.plan.resolved.epochs - self.state.step // self.steps_per_epoch
        replicas = len(self.train_step.replicas)
        return loading.workers(self.plan.batches, epochs=left, device=self.train_step.device, replicas=replicas)

    def _stream(self, loaders: int, waiting: loading.Waiting) -> Iterator[Batch]:
        """The batches to come, here and in the other processes."""
        batches = self.plan.batches
        epoch, done = divmod(self.state.step, self.steps_per_epoch)
        position = (epoch, done * self.plan.recipe.accumulate)
        if self.plan.machine.processes > 1:
            self.train_step.fabric.broadcast(Start(self.train_step.state(), position, loaders, batches.resident))
        return loading.stream(
            batches,
            start=position,
            epochs=self.plan.resolved.epochs,
            processes=loaders,
            waiting=waiting,
            replicas=self.train_step.replicas,
        )

    def _next(self, stream: Iterator[Batch]) -> list[Batch]:
        """The batches of a step: fewer at the end of an epoch."""
        accumulate = self.plan.recipe.accumulate
        first = self.state.step % self.steps_per_epoch * accumulate
        return [next(stream) for _ in range(min(accumulate, self.plan.batches.per_epoch - first))]

    def _note_speed(self, n_images: int, seconds: float, waiting: loading.Waiting, loaders: int) -> None:
        telemetry.note(
            samples_per_second=round(n_images / seconds, 1),
            loader_wait=round(waiting.seconds / seconds, 4),
            loader_workers=loaders,
            augmentation=self.plan.batches.executor,
            images_on_device=self.plan.batches.resident,
            peak_device_memory=devices.peak_memory(self.train_step.device),
            **self.system_metrics.facts(),
        )

    def _finish(self) -> None:
        chosen = self.best
        if chosen is None or (not self.state.diverged and self._last_is_kept(chosen)):
            chosen = self.train_step.current()
            self.state.best_epoch = len(self.state.history)
        if self.first is not None and not self._beats(self.first, chosen):
            chosen, self.state.best_epoch = self.first, 0
        self.trained = {name: value.detach().cpu().clone() for name, value in chosen.items()}
        self.checkpoints.save(self._saved(), finished=True)

    def _last_is_kept(self, best: dict[str, Tensor]) -> bool:
        """What ``train.keep`` says; where it is auto, whether the best weights are not surely better than the last."""
        if self.plan.recipe.keep != "auto" or self.validation is None:
            return self.plan.recipe.keep == "last"
        if self.state.step < self.total or self.state.best_epoch == len(self.state.history):
            return False
        last, step = self.train_step.current(), self.train_step
        return not selection.is_better(best, last, by=SURE, train_step=step, validation=self.validation)

    def _beats(self, first: dict[str, Tensor], tuned: dict[str, Tensor]) -> bool:
        """Whether the fine-tuned network is likely better than the fitted head; yes where nothing tells them apart."""
        if self.validation is None or self.plan.recipe.keep == "last":
            return True
        step = self.train_step
        return selection.is_better(tuned, first, by=LIKELY, train_step=step, validation=self.validation)

    def _is_over(self) -> bool:
        """Whether the loss is lost, or, at an epoch's end, the objective has not risen for ``patience`` epochs."""
        if self.state.diverged:
            return True
        patience = self.plan.recipe.patience
        if not patience or self.validation is None or self.state.step % self.steps_per_epoch:
            return False
        return len(self.state.history) - self.state.improved >= patience

    # --- a step

    def _step(self, batches: list[Batch]) -> None:
        step, resolved, recipe = self.state.step, self.plan.resolved, self.plan.recipe
        momentum = schedules.momentum(
            resolved.schedule, step, total=self.total, warmup=recipe.warmup, base=recipe.momentum
        )
        command = Command(step, len(batches), self._lr(step), momentum, step < resolved.freeze * self.total)
        if self.plan.machine.processes > 1:
            self.train_step.fabric.broadcast(command)
        value, norm = self.train_step.run(batches, step=step, lr=command.lr, momentum=momentum, frozen=command.frozen)
        self.state.step += 1
        if self.state.step % max(1, self.steps_per_epoch // LOGGED) == 0:
            loss = float(value)
            n_images = (self.state.step - self.begun) * self.plan.batches.images_per_epoch / self.steps_per_epoch
            metrics = {"loss": loss, "lr": command.lr, "gradient_norm": float(norm)}
            self.log.metrics({**metrics, **self.system_metrics.sample(n_images)}, self.state.step)
            if not math.isfinite(loss):
                self._lost()
                return
        if self.state.step % self.steps_per_epoch == 0:
            self._end_epoch()

    def _lr(self, step: int) -> float:
        resolved = self.plan.resolved
        factor = schedules.factor(resolved.schedule, step, total=self.total, warmup=self.plan.recipe.warmup)
        return resolved.lr * factor * (self.plateau.factor if resolved.schedule == "plateau" else 1.0)

    def _lost(self) -> None:
        """The loss is not finite and cannot recover: keeps weights that beat guessing, else raises InputError."""
        lr = self.plan.resolved.lr
        epoch = self.state.diverged = len(self.state.history) + 1
        learnt = any(row["train_loss"] < self.plan.loss.guessing for row in self.state.history)
        if self.best is None or not learnt:
            raise InputError(
                f"with {lr:g} the loss is not finite in epoch {epoch}",
                remedy=f"give a lower rate, such as {lr / 10:g}, or set {{clip_norm}} to 1",
                field="lr",
                siblings=["clip_norm"],
            )
        _log.warning("epoch %d: %s", epoch, monitoring.lost(epoch, lr=lr))

    def _end_epoch(self) -> None:
        sums = self.train_step.sums.tolist()
        self.train_step.sums.zero_()
        if not math.isfinite(sums[0]):
            self._lost()
            return
        validated = self.recorder.close(self.train_step, sums, self.state, lr=self._lr(self.state.step - 1))
        if validated is not None:
            self.plateau.update(validated.objective)
            if self.state.compare(validated):
                self.best = {name: value.detach().clone() for name, value in self.train_step.current().items()}
            epoch_hook.call(len(self.state.history), self.plan.resolved.epochs, validated.objective)

    # --- checkpoints

    def _checkpoint(self) -> None:
        """Saves the state when a checkpoint is due; after SIGTERM it saves and exits."""
        at_end = self.state.step % self.steps_per_epoch == 0
        due = self.checkpoints.due_after_epoch() if at_end else self.checkpoints.due(self.state.step)
        if due or self.stop.asked:
            self.checkpoints.save(self._saved())
        if self.stop.asked:
            raise SystemExit(143)

    def _saved(self) -> dict[str, Any]:
        return {
            "train_step": self.train_step.state(),
            "state": dataclasses.asdict(self.state),
            "plateau": dataclasses.asdict(self.plateau),
            "best": self.best,
            "trained": self.trained,
        }

    def _restore(self, saved: Mapping[str, Any]) -> None:
        self.train_step.restore(saved["train_step"])
        self.state = TrainingState(**saved["state"])
        self.plateau = schedules.Plateau(**saved["plateau"])
        best, device = saved["best"], self.train_step.device
        self.best = {name: value.to(device) for name, value in best.items()} if best is not None else None
        self.trained = saved["trained"]
