"""Parts of a batch side by side: the weights of one, the same again, and no replica where something is drawn."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from hallmark.learning import devices
from hallmark.learning.batches import Waiting, stream, workers
from hallmark.learning.checkpoints import Checkpoints
from hallmark.learning.replicas import Replicas
from hallmark.models.build import build
from hallmark.transforms import presets
from tests.learning.training import CPU, RECIPE, Recorded, batches, run, same, validation

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TWO = replace(CPU, replicas=2, replica_threads=2)
SHORT = replace(RECIPE, max_epochs=2, batch_size=16)
GROUPED: dict[str, Any] = {"units": 8, "depth": 2, "norm": "group", "dropout": 0.0}
BATCHED: dict[str, Any] = {"units": 8, "depth": 2, "norm": "batch", "dropout": 0.0}


@pytest.mark.parametrize(
    "recipe",
    [
        replace(SHORT, optimizer="sgd", l1=1e-3, clip_norm=0.0),
        replace(SHORT, optimizer="sgd", accumulate=4, clip_norm=0.0, clip_value=0.1, freeze=0.5),
        replace(SHORT, optimizer="sgd", mixup=0.2, cutmix=1.0),
    ],
    ids=["l1", "accumulated", "mixed"],
)
def test_lanes_give_the_weights_of_a_whole_batch_where_no_norm_sees_it(tmp_path: Path, recipe: Any) -> None:
    whole = run(tmp_path / "a", recipe, arguments=GROUPED, data=batches(tmp_path), held_out=validation())
    data, held_out = batches(tmp_path), validation()
    for replicas in (2, 3):
        machine, root = replace(CPU, replicas=replicas, replica_threads=replicas), tmp_path / str(replicas)
        shared = run(root, recipe, arguments=GROUPED, data=data, held_out=held_out, machine=machine)
        for name, value in whole.state.items():
            torch.testing.assert_close(shared.state[name], value, rtol=1e-3, atol=1e-5)
        for row, other in zip(whole.history, shared.history, strict=True):
            assert row["train_loss"] == pytest.approx(other["train_loss"], rel=1e-4)
            assert row["train_accuracy"] == pytest.approx(other["train_accuracy"], abs=0.02)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_lanes_give_the_same_weights_again_also_after_a_kill(tmp_path: Path, optimizer: str) -> None:
    """Which thread is sooner changes nothing, and running statistics are the network's own."""
    recipe, policy = replace(SHORT, optimizer=optimizer, max_epochs=3), presets.resolve("standard", field="preset")

    def train(name: str, log: Recorded | None = None, machine: devices.Machine = TWO) -> Any:
        return run(
            tmp_path / name, recipe, arguments=BATCHED, data=batches(tmp_path, transforms=policy),
            held_out=validation(), machine=machine, log=log,
            checkpoints=Checkpoints(tmp_path / f"{name}-kept", "key", every=1e-9),
        )  # fmt: skip

    class Killed(Recorded):
        def metrics(self, values: Mapping[str, float], step: int) -> None:
            super().metrics(values, step)
            if step == 9:
                raise KeyboardInterrupt

    first = train("first")
    assert same(first, train("again"))
    assert same(first, train("in turn", machine=replace(TWO, replica_threads=1)))
    with pytest.raises(KeyboardInterrupt):
        train("killed", Killed())
    assert same(first, train("killed"))


def test_batch_norms_of_all_lanes_count() -> None:
    network = torch.nn.BatchNorm2d(1)
    replicas = Replicas(network, 2, threads=2)
    images = torch.cat([torch.zeros(4, 1, 2, 2), torch.full((4, 1, 2, 2), 10.0)])
    for number, (part,) in enumerate(replicas.parts(images)):
        replicas.networks[number](part).sum().backward()
    replicas.gather()
    for each in replicas.networks:
        assert each.state_dict()["running_mean"].item() == pytest.approx(0.5)  # a tenth of the mean of 0 and 10
    assert network.bias.grad is not None
    assert network.bias.grad.item() == pytest.approx(32.0)
    assert [each.grad for each in replicas.networks[1].parameters()] == [None, None]
    with torch.no_grad():
        network.weight.fill_(7)
    assert [each.item() for each in replicas.networks[1].parameters()] == [7, 0]


def test_lanes_make_the_batches_that_a_training_alone_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = batches(tmp_path, transforms=presets.resolve("light", field="preset"))
    monkeypatch.setattr("hallmark.learning.batches.TOGETHER", 2048)
    alone = stream(data, start=(0, 2), epochs=2, processes=0, waiting=Waiting())
    replicas = Replicas(torch.nn.Linear(1, 1), 3, threads=3)
    shared = stream(data, start=(0, 2), epochs=2, processes=0, waiting=Waiting(), replicas=replicas)
    count = 0
    for one, other in zip(alone, shared, strict=True):
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))
        count += 1
    assert count == 2 * data.per_epoch - 2
    monkeypatch.setattr("hallmark.learning.batches.WORTH_WORKERS", 0.0)
    monkeypatch.setenv("HALLMARK_WORKERS", "3")
    assert workers(data, epochs=2, device=torch.device("cpu"), replicas=3) == 0
    assert workers(data, epochs=2, device=torch.device("cpu")) == 2


def test_a_machine_has_lanes_for_large_batches_of_networks_that_draw_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALLMARK_DEVICE", "cpu")
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    monkeypatch.setattr(devices, "WORTH_THREADS", 1000)

    def machine(name: str, batch: int, *, compiled: bool = False, **arguments: Any) -> devices.Machine:
        network = build(name, classes=2, height=16, width=16, channels=1, mean=[0], std=[1], **arguments)
        return devices.machine("fp32", network, (batch, 1, 16, 16), compiled=compiled)

    assert (machine("cnn", 96).replicas, machine("cnn", 96).threads) == (2, 3)
    assert (machine("cnn", 32).replicas, machine("cnn", 32).threads) == (2, 3)
    assert (machine("cnn", 31).replicas, machine("cnn", 31).threads) == (1, 6)
    drawing = [
        machine("cnn", 96, dropout=0.1),
        machine("vit", 96, dropout=0.1),
        machine("resnet", 96, stochastic_depth=0.1),
        machine("cnn", 96, compiled=True),
    ]
    assert [each.replicas for each in drawing] == [1] * 4
    assert machine("vit", 96).replicas == machine("resnet", 96).replicas == 2
    assert "replicas" not in machine("cnn", 16).facts()
    assert machine("cnn", 96).facts()["replicas"] == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # the same network on a machine of one core learns the same
    assert (machine("cnn", 96).replicas, machine("cnn", 96).replica_threads) == (2, 1)
    monkeypatch.setattr(devices, "WORTH_THREADS", 10**12)
    assert machine("cnn", 96).replicas == 1
