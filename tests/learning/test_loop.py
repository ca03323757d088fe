"""The training loop: it learns, and gives the same bits whatever happens on the way."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from hallmark.contracts import telemetry
from hallmark.contracts.errors import InputError
from hallmark.learning import schedules
from hallmark.learning.batches import Waiting, stream, workers
from hallmark.learning.checkpoints import Checkpoints
from hallmark.models.build import build
from tests.learning import training
from tests.learning.training import CPU, RECIPE, Recorded, batches, run, same, validation
from tests.learning.workspace import SHIFT

if TYPE_CHECKING:
    from hallmark.learning.recipe import Recipe

SHORT = replace(RECIPE, max_epochs=3, mixup=0.2, batch_size=16)
VARIED = [
    SHORT,
    replace(SHORT, optimizer="sgd", schedule="plateau", ema=0.0, accumulate=4),
    replace(SHORT, optimizer="muon", schedule="cosine", l1=1e-5, cutmix=1.0, keep="auto"),
    replace(SHORT, optimizer="rmsprop", schedule="step", clip_norm=0.0, clip_value=0.1, keep="last"),
]


class Killed(BaseException):
    """Stands in for a kill: nothing in the code under test may catch it."""


class Dying(Checkpoints):
    """Checkpoints of a process that dies after a step, having saved every fourth step."""

    def __init__(self, folder: Path, *, at: int) -> None:
        super().__init__(folder, "key", steps=4, spare=0.0)
        self._at = at

    def due(self, step: int) -> bool:
        if step == self._at:
            raise Killed
        return super().due(step)


@pytest.mark.parametrize("recipe", VARIED, ids=lambda recipe: recipe.optimizer)
@pytest.mark.parametrize("at", [(1,), (5,), (8, 9, 15)])
def test_killed_and_taken_up_gives_the_same_bits(tmp_path: Path, recipe: Recipe, at: tuple[int, ...]) -> None:
    (tmp_path / "whole").mkdir()
    whole = run(tmp_path / "whole", recipe, held_out=validation())
    per_epoch = -(-6 // recipe.accumulate)
    killed = 0
    for step in at:
        if step > 3 * per_epoch or step % per_epoch == 0:
            continue
        with pytest.raises(Killed):
            run(tmp_path, recipe, held_out=validation(), checkpoints=Dying(tmp_path / "kept", at=step))
        killed += 1
    assert killed or recipe.accumulate > 1
    with telemetry.collect() as notes:
        resumed = run(tmp_path, recipe, held_out=validation(), checkpoints=Dying(tmp_path / "kept", at=-1))
    assert ("resumed_from" in notes) == (max(at) > 4 and killed > 0)
    assert same(whole, resumed)


def test_sigterm_keeps_the_training_state(tmp_path: Path) -> None:
    class Asked(Checkpoints):
        def due(self, step: int) -> bool:
            if step == 9:
                signal.raise_signal(signal.SIGTERM)
            return False

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit, match="143"):
        run(tmp_path, SHORT, held_out=validation(), checkpoints=Asked(tmp_path / "kept", "key", spare=1e9))
    assert signal.getsignal(signal.SIGTERM) == before
    with telemetry.collect() as notes:
        resumed = run(tmp_path, SHORT, held_out=validation(), checkpoints=Checkpoints(tmp_path / "kept", "key"))
    assert notes["resumed_from"] == 9
    (tmp_path / "whole").mkdir()
    assert same(resumed, run(tmp_path / "whole", SHORT, held_out=validation()))


def test_sigterm_after_the_last_step_ends_it_with_all_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Asked(Checkpoints):
        def save(self, state: Any, *, finished: bool = False) -> None:
            if finished:
                signal.raise_signal(signal.SIGTERM)
            super().save(state, finished=finished)

    with pytest.raises(SystemExit, match="143"):
        run(tmp_path, SHORT, held_out=validation(), checkpoints=Asked(tmp_path / "kept", "key"))
    monkeypatch.setattr("hallmark.learning.train_step.TrainStep.run", lambda *_, **__: pytest.fail("a step was run"))
    assert run(tmp_path, SHORT, held_out=validation(), checkpoints=Checkpoints(tmp_path / "kept", "key")).history


@pytest.mark.parametrize(
    "recipe",
    [
        SHORT,
        replace(SHORT, optimizer="muon", clip_norm=0.0),
        replace(SHORT, optimizer="muon", clip_norm=0.0, clip_value=0.1, freeze=0.5, accumulate=2),
    ],
    ids=["adamw", "muon", "frozen"],
)
def test_fp16_scales_its_losses_and_learns_as_fp32_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: Any
) -> None:
    """With CUDA's classes on the CPU: Fabric's precision, torch's scaler."""
    (tmp_path / "fp16").mkdir()
    whole = run(tmp_path, recipe, held_out=validation())
    scaler = torch.amp.GradScaler
    monkeypatch.setattr(torch.amp, "GradScaler", lambda _: scaler("cpu"))
    half = run(tmp_path / "fp16", recipe, held_out=validation(), machine=replace(CPU, precision="fp16"))
    for first, second in zip(whole.history, half.history, strict=True):
        assert second["train_loss"] == pytest.approx(first["train_loss"], rel=0.1)
        assert second["gradient_norm"] == pytest.approx(first["gradient_norm"], rel=0.2)
    assert half.warnings == whole.warnings


NARROW = """
import tempfile
from pathlib import Path
import torch
from hallmark.learning import devices
from hallmark.learning.batches import Batch
from hallmark.learning.train_step import TrainStep
from hallmark.models.build import build
from tests.learning.training import CPU, RECIPE, batches, plan

network = build(
    "resnet", classes=10, height=224, width=224, channels=1, mean=[0.3], std=[0.4], units=8, depth=1, stem="imagenet"
)
batch = Batch(torch.zeros(32, 224, 224, 1, dtype=torch.uint8), torch.arange(32) % 10, torch.ones(32))
with tempfile.TemporaryDirectory() as folder, devices.settled(CPU, deterministic=True):
    train_step = TrainStep(network, plan(batches(Path(folder)), RECIPE, name="resnet"))
    for step in range(3):
        train_step.run([batch], step=step, lr=0.001, momentum=0.9)
"""


def test_muon_without_matrices_to_train_is_reported(tmp_path: Path) -> None:
    for name, warned in (("perceptron", True), ("cnn", False)):
        root = tmp_path / name
        root.mkdir()
        recipe = replace(RECIPE, optimizer="muon", max_epochs=1)
        fitted = run(root, recipe, name=name, arguments={} if warned else {"units": 8, "depth": 2})
        assert any("AdamW trained it" in warning for warning in fitted.warnings) == warned


def test_narrow_strided_convolutions_are_trained_in_a_layout_that_torch_can() -> None:
    """In a process of its own, which torch ends by a segmentation fault where channels come last."""
    done = subprocess.run(
        [sys.executable, "-c", NARROW], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_group_norm_sees_the_image_at_any_width(tmp_path: Path) -> None:
    for units in (4, 8, 32):
        root = tmp_path / str(units)
        root.mkdir()
        recipe = replace(RECIPE, max_epochs=20, lr=0.01)
        fitted = run(root, recipe, name="mlp", arguments={"units": units, "depth": 1, "norm": "group"})
        assert fitted.history[-1]["train_accuracy"] > 0.3


def test_a_finished_training_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(tmp_path, SHORT, held_out=validation())
    monkeypatch.setattr("hallmark.learning.train_step.TrainStep.run", lambda *_, **__: pytest.fail("a step was run"))
    assert same(first, run(tmp_path, SHORT, held_out=validation()))


def test_any_number_of_workers_gives_the_same_batches(tmp_path: Path) -> None:
    data = batches(tmp_path, transforms=[SHIFT])
    collected = []
    for processes in (0, 1, 3):
        source = stream(data, start=(0, 4), epochs=2, processes=processes, waiting=Waiting())
        collected.append([batch.images.clone() for batch in source])
    assert len(collected[0]) == 8
    for other in collected[1:]:
        assert all(torch.equal(a, b) for a, b in zip(collected[0], other, strict=True))
    assert not torch.equal(data[(0, 0)].images.sum(), data[(1, 0)].images.sum())


def test_workers_are_used_where_they_pay_and_change_no_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = batches(tmp_path, transforms=[SHIFT])
    assert workers(batches(tmp_path), epochs=1000, device=torch.device("cpu")) == 0
    monkeypatch.setenv("HALLMARK_WORKERS", "3")
    assert workers(data, epochs=1, device=torch.device("cpu")) == 0
    results = []
    for worth, expected in ((1e9, 0), (0.0, 2)):
        monkeypatch.setattr("hallmark.learning.batches.WORTH_WORKERS", worth)
        root = tmp_path / str(expected)
        root.mkdir()
        with telemetry.collect() as notes:
            results.append(run(root, SHORT, data=data, held_out=validation()))
        assert notes["loader_workers"] == expected
    assert same(*results)


@pytest.mark.parametrize("name", ["perceptron", "mlp", "cnn", "resnet", "convnext", "vit"])
def test_every_model_learns_a_few_images_by_heart(tmp_path: Path, name: str) -> None:
    arguments: dict[str, Any] = {
        "cnn": {"units": 16, "depth": 2},
        "resnet": {"units": 8, "depth": 1, "stages": 2},
        "convnext": {"units": 16, "depth": 1},
        "vit": {"units": 32, "depth": 2, "patch": 2},
    }.get(name, {})
    recipe = replace(RECIPE, max_epochs=60, batch_size=16, weight_decay=0.0, lr=0.005)
    fitted = run(tmp_path, recipe, name=name, arguments=arguments, data=batches(tmp_path, count=32))
    assert fitted.history[-1]["train_accuracy"] == 1.0


@pytest.mark.parametrize("loss", ["cross_entropy", "focal", "logit_adjusted"])
@pytest.mark.parametrize("schedule", ["constant", "step", "cosine", "one_cycle", "warm_restart", "plateau"])
def test_every_loss_and_schedule_learns(tmp_path: Path, loss: str, schedule: str) -> None:
    recipe = replace(RECIPE, loss=loss, schedule=schedule, max_epochs=12, lr=0.01)
    fitted = run(tmp_path, recipe, held_out=validation())
    objective = fitted.history[fitted.best_epoch - 1]["objective"]
    assert objective > 0.6
    assert objective == max(row["objective"] for row in fitted.history)


def test_the_best_weights_are_those_of_the_best_epoch(tmp_path: Path) -> None:
    held_out = validation()
    fitted = run(tmp_path, replace(RECIPE, max_epochs=6), held_out=held_out)
    network = build("cnn", classes=10, height=8, width=8, channels=1, mean=[0.3], std=[0.4], units=8, depth=2)
    network.load_state_dict(fitted.state)
    row = fitted.history[fitted.best_epoch - 1]
    judged = held_out.judge(network, torch.device("cpu"))
    assert judged.objective == row["objective"]
    assert judged.loss == pytest.approx(row["val_loss"], abs=1e-6)


def test_the_last_weights_are_kept_unless_the_best_are_surely_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, held_out = replace(RECIPE, max_epochs=8, lr=0.01, ema=0.0), validation()
    for name in ("best", "kept", "spoilt"):
        (tmp_path / name).mkdir()
    best = run(tmp_path / "best", recipe, held_out=held_out)
    assert best.best_epoch < 8, "the best epoch is the last: there is nothing to choose"
    kept = run(tmp_path / "kept", replace(recipe, keep="auto"), held_out=held_out)
    assert kept.best_epoch == 8
    assert kept.history == best.history
    network = build("cnn", classes=10, height=8, width=8, channels=1, mean=[0.3], std=[0.4], units=8, depth=2)
    network.load_state_dict(kept.state)
    assert held_out.judge(network, torch.device("cpu")).objective == kept.history[-1]["objective"]

    # in the last epoch the rate becomes so high that what was learnt is lost
    factor = schedules.factor

    def spoiling(schedule: str, step: int, *, total: int, warmup: float) -> float:
        return 1e3 if step >= total * 7 / 8 else factor(schedule, step, total=total, warmup=warmup)

    monkeypatch.setattr(schedules, "factor", spoiling)
    spoilt = run(tmp_path / "spoilt", replace(recipe, keep="auto"), held_out=held_out)
    assert len(spoilt.history) == 8 > spoilt.best_epoch
    assert spoilt.history[-1]["objective"] < spoilt.history[spoilt.best_epoch - 1]["objective"] - 0.2


def test_it_stops_early(tmp_path: Path) -> None:
    recipe = replace(RECIPE, max_epochs=40, patience=3, lr=1e-9, schedule="constant", ema=0.0)
    fitted = run(tmp_path, recipe, held_out=validation(), arguments={"units": 8, "depth": 2, "norm": "group"})
    objectives = [row["objective"] for row in fitted.history]
    assert objectives.index(max(objectives)) + 1 + 3 == len(objectives) < 40


def test_without_validation_images_the_last_weights_are_kept(tmp_path: Path) -> None:
    fitted = run(tmp_path, replace(SHORT, patience=1), held_out=None)
    assert fitted.best_epoch == len(fitted.history) == 3
    assert fitted.history[-1]["objective"] is None


def test_a_loss_that_is_no_number_names_the_learning_rate(tmp_path: Path) -> None:
    recipe = replace(RECIPE, optimizer="sgd", lr=10.0, clip_norm=0.0, schedule="constant", warmup=0.0, max_epochs=5)
    arguments = {"units": 16, "depth": 3, "norm": "none"}
    message = r"^lr: with 10 the loss is not finite in epoch [12]; give a lower rate, such as 1, or set clip_norm to 1$"
    with pytest.raises(InputError, match=message):
        run(tmp_path, recipe, held_out=validation(), arguments=arguments)


def test_what_was_learnt_before_the_loss_was_lost_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rate becomes absurd after the fourth epoch."""
    recipe = replace(RECIPE, optimizer="sgd", clip_norm=0.0, max_epochs=8, ema=0.0, keep="last", batch_size=16)
    arguments = {"units": 16, "depth": 2, "norm": "none"}

    def factor(schedule: str, step: int, *, total: int, warmup: float) -> float:
        return 1.0 if step < 24 else 1e30

    monkeypatch.setattr("hallmark.learning.schedules.factor", factor)
    fitted = run(tmp_path, recipe, held_out=validation(), arguments=arguments)
    assert len(fitted.history) in (4, 5)
    assert "in epoch" in fitted.warnings[0]
    assert "the best weights from before are kept" in fitted.warnings[0]
    assert all(torch.isfinite(value).all() for value in fitted.state.values())


def test_it_leaves_torch_as_it_was_and_logs(tmp_path: Path) -> None:
    state, threads, log = torch.get_rng_state(), torch.get_num_threads(), Recorded()
    with telemetry.collect() as notes:
        run(tmp_path, SHORT, held_out=validation(), log=log)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.get_num_threads() == threads
    assert ("augmented", 0) in log.images
    assert {"loss", "lr", "gradient_norm"} <= set(log.steps[0][1])
    assert [step for step, values in log.steps if "epoch/objective" in values] == [1, 2, 3]
    assert notes["samples_per_second"]


def test_half_precision_trains(tmp_path: Path) -> None:
    machine = replace(training.CPU, precision="bf16")
    fitted = run(tmp_path, replace(RECIPE, max_epochs=12, lr=0.01), held_out=validation(), machine=machine)
    assert fitted.history[fitted.best_epoch - 1]["objective"] > 0.6
    assert {value.dtype for value in fitted.state.values()} == {torch.float32, torch.int64}
