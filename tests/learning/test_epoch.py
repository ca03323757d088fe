"""What a training tells of itself: pictures, curves, the use of its machine, and words where it goes wrong."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from hallmark.contracts import telemetry
from hallmark.contracts.errors import InputError
from hallmark.learning import devices, epoch, record
from hallmark.learning.system_metrics import SystemMetrics
from hallmark.learning.validation import Validated
from tests.learning.training import CPU, RECIPE, Recorded, batches, run, validation

if TYPE_CHECKING:
    from pathlib import Path

SHORT = replace(RECIPE, max_epochs=4, batch_size=16)


def test_the_worst_mistakes_of_epochs_are_pictured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Recorded()
    run(tmp_path, SHORT, held_out=validation(), log=log)
    assert log.images[0] == ("augmented", 0)
    assert log.images[1:] == [("mistakes", number) for number in (1, 2, 3, 4)]
    monkeypatch.setattr(epoch, "PICTURED", 2)
    log, other = Recorded(), tmp_path / "other"
    other.mkdir()
    run(other, SHORT, held_out=validation(), log=log)
    assert log.images[1:] == [("mistakes", 2), ("mistakes", 4)]


@pytest.mark.parametrize(("plain", "step"), [(0, 0), (2, 4), (3, 0)])
def test_augmented_images_are_pictured_when_there_are_some(tmp_path: Path, plain: int, step: int) -> None:
    log = Recorded()
    data = batches(tmp_path, batch_size=48, plain_epochs=plain)
    run(tmp_path, replace(RECIPE, max_epochs=3, batch_size=48), data=data, log=log)
    assert log.images == [("augmented", step)]


def test_mistakes_come_the_surest_first() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.05, 0.95]])
    judged = Validated(loss=0.0, accuracy=0.25, objective=0.25, logs=np.log(probabilities))
    assert judged.mistakes(np.array([1, 1, 1, 0])).tolist() == [3, 0, 2]


def test_use_of_the_machine_is_sampled_and_summed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("hallmark.learning.system_metrics.time.perf_counter", lambda: now)
    usage = SystemMetrics(torch.device("cpu"), every=0.2)
    now += 0.1
    assert usage.sample(1) == {}
    spent = time.process_time() + 0.1
    while time.process_time() < spent:
        math.sqrt(2)
    now += 0.3
    metrics = usage.sample(100)
    assert set(metrics) == {
        "system/cpu_utilization_percentage", "system/process_memory_usage_megabytes", "system/samples_per_second"
    }  # fmt: skip
    assert 0 < metrics["system/cpu_utilization_percentage"]
    assert metrics["system/samples_per_second"] == pytest.approx(250)
    now += 0.1
    assert usage.sample(100) == {}
    assert 0 < float(usage.facts()["cores_busy"] or 0)
    assert "device_busy" not in usage.facts()


def test_a_training_says_how_fast_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hallmark.learning.system_metrics.EVERY", 0.0)
    log = Recorded()
    with telemetry.collect() as notes:
        run(tmp_path, SHORT, held_out=validation(), log=log)
    assert {"samples_per_second", "loader_wait", "loader_workers", "peak_device_memory", "cores_busy"} <= set(notes)
    assert {"loss", "lr", "gradient_norm"} <= set(log.steps[0][1])


@pytest.mark.parametrize(("ema", "capped"), [(0.999, True), (0.3, False), ("auto", False)])
def test_an_average_longer_than_a_twentieth_of_the_steps_is_warned_of(tmp_path: Path, ema: Any, capped: bool) -> None:
    warnings = run(tmp_path, replace(SHORT, ema=ema)).warnings
    message = "train.ema is 0.999, but the average reaches back over a twentieth of the steps at most: in this training"
    assert any(f"{message} of 24 steps the decay was at most 0.5581" in warning for warning in warnings) == capped
    assert any("train.ema" in warning for warning in warnings) == capped


def test_curves_are_drawn_with_gaps_where_nothing_is_known(tmp_path: Path) -> None:
    fitted = run(tmp_path, SHORT)
    assert fitted.history[0]["val_loss"] is None
    figure = record.curves(fitted)
    names = [line.get_label() for axes in figure.axes for line in axes.get_lines() if line.get_label()[0] != "_"]
    assert names == ["train loss", "train accuracy"]


def test_fp32_means_fp32_and_only_within_the_training() -> None:
    def flags() -> tuple[bool, bool]:
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32

    before = flags()
    with devices.settled(CPU, deterministic=True):
        assert flags() == (False, False)
    with devices.settled(replace(CPU, precision="tf32"), deterministic=True):
        assert flags() == (True, True)
    assert flags() == before
    with pytest.raises(InputError, match=r"^precision: only recent NVIDIA GPUs have tf32"):
        devices.select_precision("tf32", torch.device("cpu"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"optimizer": "sgd", "lr": 10.0, "clip_norm": 0.0, "schedule": "constant", "warmup": 0.0}, "train.lr"),
        ({"lr": 1e-9, "schedule": "constant"}, "hardly learns"),
        ({"lr": 10.0, "clip_norm": 0.0, "schedule": "step", "max_epochs": 3, "warmup": 0.0}, "never came below"),
    ],
)
def test_a_training_that_goes_wrong_is_reported_in_words(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    """Real trainings, not made-up histories: too long and too short steps."""
    recipe = replace(SHORT, **{"max_epochs": 6, "ema": 0.0, **changes})
    try:
        text = " ".join(run(tmp_path, recipe, held_out=validation()).warnings)
    except InputError as error:
        text = str(error)
    assert words in text
