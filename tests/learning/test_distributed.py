"""Several processes that train one network: the weights of one, a place to take up, an end for every process."""

from __future__ import annotations

import multiprocessing
import os
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from hallmark.contracts import telemetry
from hallmark.contracts.errors import InputError, MachineError
from hallmark.learning import devices
from hallmark.learning.batches import Batch
from hallmark.learning.checkpoints import Checkpoints
from hallmark.learning.loop import fit
from hallmark.learning.train_step import TrainStep, shard
from hallmark.models.build import build
from tests.learning.training import CPU, RECIPE, Recorded, batches, plan, run, same, validation

if TYPE_CHECKING:
    from pathlib import Path

TWO = replace(CPU, processes=2)
SHORT = replace(RECIPE, max_epochs=2, batch_size=16)
# no batch norm and no dropout: nothing that sees how a batch is shared
ARGUMENTS: dict[str, Any] = {"units": 8, "depth": 2, "norm": "group", "dropout": 0.0}


@pytest.mark.pipeline
@pytest.mark.parametrize(
    "recipe",
    [
        replace(SHORT, optimizer="sgd", l1=1e-4),
        replace(SHORT, optimizer="sgd", accumulate=4, clip_norm=0.0, clip_value=0.1, freeze=0.5),
    ],
    ids=["l1", "accumulated"],
)
def test_two_processes_give_the_weights_of_one(tmp_path: Path, recipe: Any) -> None:
    (tmp_path / "two").mkdir()
    one = run(tmp_path, recipe, arguments=ARGUMENTS, held_out=validation())
    two = run(tmp_path / "two", recipe, arguments=ARGUMENTS, held_out=validation(), machine=TWO)
    for name, value in one.state.items():
        torch.testing.assert_close(two.state[name], value, rtol=1e-3, atol=1e-4)
    for first, second in zip(one.history, two.history, strict=True):
        assert second["train_loss"] == pytest.approx(first["train_loss"], rel=1e-3)
        assert second["train_accuracy"] == pytest.approx(first["train_accuracy"], abs=0.02)
        assert second["gradient_norm"] == pytest.approx(first["gradient_norm"], rel=1e-2)
    assert multiprocessing.active_children() == []


@pytest.mark.pipeline
@pytest.mark.parametrize("l1", [0.0, 1e-4])
def test_weights_without_effect_on_the_logits_do_not_stop_several_processes(tmp_path: Path, l1: float) -> None:
    states = []
    for name, machine in (("one", CPU), ("two", TWO)):
        (tmp_path / name).mkdir()
        network = build("cnn", classes=10, height=8, width=8, channels=1, mean=[0.3], std=[0.4], **ARGUMENTS)
        for size in ((3, 3), (3,)):
            network.register_parameter(f"unused_{len(size)}", nn.Parameter(torch.ones(size)))
        recipe = replace(SHORT, optimizer="sgd", l1=l1)
        fitted = fit(
            network, plan(batches(tmp_path / name), recipe, machine=machine), validation=validation(),
            checkpoints=Checkpoints(tmp_path / name / "checkpoints", "key"), log=Recorded(),
        )  # fmt: skip
        states.append(fitted.state)
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.pipeline
def test_a_team_is_taken_up_with_the_same_bits_after_sigterm(tmp_path: Path) -> None:
    class Asked(Checkpoints):
        def due(self, step: int) -> bool:
            if step == 9:
                signal.raise_signal(signal.SIGTERM)
            return False

    recipe = replace(SHORT, mixup=0.2)
    with pytest.raises(SystemExit, match="143"):
        run(
            tmp_path, recipe, held_out=validation(), checkpoints=Asked(tmp_path / "kept", "key", spare=1e9), machine=TWO
        )
    assert multiprocessing.active_children() == []
    with telemetry.collect() as notes:
        resumed = run(
            tmp_path, recipe, held_out=validation(), checkpoints=Checkpoints(tmp_path / "kept", "key"), machine=TWO
        )
    assert notes["resumed_from"] == 9
    (tmp_path / "whole").mkdir()
    assert same(resumed, run(tmp_path / "whole", recipe, held_out=validation(), machine=TWO))


@pytest.mark.pipeline
def test_images_on_the_device_are_taken_there_by_every_process(tmp_path: Path) -> None:
    results = []
    for name in ("host", "device"):
        root = tmp_path / name
        root.mkdir()
        data = batches(root)
        if name == "device":
            data.reside(torch.device("cpu"))
        results.append(run(root, SHORT, data=data, held_out=validation(), machine=TWO))
    assert same(*results)


@pytest.mark.pipeline
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_end_of_the_others_while_a_step_is_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    run_step = TrainStep.run

    def struck(self: TrainStep, group: Any, *, step: int, **rest: Any) -> Any:
        if step == 9:
            for process in multiprocessing.active_children():
                assert process.pid is not None
                os.kill(process.pid, number)
            if number == signal.SIGTERM:  # as where a service is ended
                signal.raise_signal(number)
        return run_step(self, group, step=step, **rest)

    monkeypatch.setattr(TrainStep, "run", struck)
    kept = Checkpoints(tmp_path / "kept", "key", spare=1e9)
    if number == signal.SIGTERM:
        with pytest.raises(SystemExit, match="143"):
            run(tmp_path, SHORT, held_out=validation(), checkpoints=kept, machine=TWO)
        state = Checkpoints(tmp_path / "kept", "key").load()
        assert state is not None
        assert state["state"]["step"] == 10
    else:
        with pytest.raises(MachineError, match="another process of the training is gone"):
            run(tmp_path, SHORT, held_out=validation(), checkpoints=kept, machine=TWO)
    assert multiprocessing.active_children() == []


class _Deadly(nn.Flatten):
    """Ends the process that unpickles it."""

    def __reduce__(self) -> Any:
        return os._exit, (7,)


@pytest.mark.pipeline
def test_a_process_that_ends_at_its_start_is_reported_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = batches(tmp_path)
    monkeypatch.setattr(data, "_augment", _Deadly())
    monkeypatch.setattr(type(data), "__getstate__", lambda self: self.__dict__)
    with pytest.raises(MachineError, match="it ended at its start with exit code 7"):
        run(tmp_path, SHORT, data=data, machine=TWO)


def test_shares_make_up_the_batch() -> None:
    batch = Batch(torch.arange(7), torch.arange(7), torch.tensor([1.0, 0, 2, 1, 1, 0, 1]))
    parts = [shard(batch, rank, 3) for rank in range(3)]
    assert sorted(torch.cat([part.images for part, _ in parts]).tolist()) == list(range(7))
    assert sum(share for _, share in parts) == pytest.approx(3)  # DistributedDataParallel takes the mean
    assert parts[0][1] == pytest.approx(3 * 3 / 6)
    assert shard(batch, 0, 1) == (batch, 1.0)


def test_what_cannot_be_shared_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"^batch_size is 3: batches of 3 images cannot be shared among 2 processes"):
        run(tmp_path, replace(SHORT, batch_size=3), machine=TWO)
    network = build("perceptron", classes=2, height=2, width=2, channels=1, mean=[0.0], std=[1.0])
    monkeypatch.setenv("HALLMARK_PROCESSES", "2")
    monkeypatch.setenv("HALLMARK_DEVICE", "cpu")
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    machine = devices.machine("fp32", network, (4, 1, 2, 2))
    assert (machine.processes, machine.threads, machine.facts()["processes"]) == (2, 2, 2)
    monkeypatch.setenv("HALLMARK_PROCESSES", "none")
    with pytest.raises(InputError, match="HALLMARK_PROCESSES is 'none'"):
        devices.machine("fp32", network, (4, 1, 2, 2))
    monkeypatch.setenv("HALLMARK_PROCESSES", "2")
    monkeypatch.setattr(devices, "select_device", lambda: torch.device("mps"))
    with pytest.raises(MachineError, match="each process needs a device of its own, and there are 1"):
        devices.machine("fp32", network, (4, 1, 2, 2))
