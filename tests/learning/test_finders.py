"""The searches of the learning rate and of the batch size."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from hallmark.contracts.errors import InputError, MachineError
from hallmark.learning import batch_size_finder, devices, lr_finder
from hallmark.learning.checkpoints import Checkpoints
from hallmark.models.build import build
from tests.learning.training import CPU, RECIPE, batches, plan

if TYPE_CHECKING:
    from pathlib import Path

SMALL: dict[str, Any] = {"classes": 10, "height": 8, "width": 8, "channels": 1, "mean": [0.3], "std": [0.4]}


def searched(root: Path, network: nn.Module, optimizer: str = "adamw") -> tuple[float, list[dict[str, float]]]:
    data = batches(root)
    recipe = replace(RECIPE, optimizer=optimizer, lr="find")
    return lr_finder.search(network, plan(data, recipe))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_rate_is_below_where_the_loss_is_least(tmp_path: Path, optimizer: str) -> None:
    network = build("cnn", units=8, depth=2, **SMALL)
    before = copy.deepcopy(network.state_dict())
    rate, curve = searched(tmp_path, network, optimizer)
    least = min(curve, key=lambda row: row["loss"])
    assert rate == pytest.approx(least["lr"] / 10, rel=0.05)
    assert 1e-4 < rate < 0.2
    rates = [row["lr"] for row in curve]
    assert rates == sorted(rates)
    assert least["loss"] < 0.9 * curve[0]["loss"]
    # the trial was another network's, and comes out the same again
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert searched(tmp_path, network, optimizer) == (rate, curve)


def test_labels_that_nothing_explains_are_reported(tmp_path: Path) -> None:
    class Deaf(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(1, 10)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.layer(images.mean(dim=(1, 2, 3)).view(-1, 1))
            return 0 * logits

    with pytest.raises(InputError, match=r"^lr: find fails, because no rate .* lowers the loss; set lr to auto"):
        searched(tmp_path, Deaf())


def test_the_batch_size_follows_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build("cnn", units=16, depth=2, **SMALL)
    found = {}
    for mib in (1, 8, 64):
        monkeypatch.setattr(devices, "free_memory", lambda _, mib=mib: mib * 2**20)
        found[mib] = batch_size_finder.search(network, (1, 8, 8), images=10**6, machine=CPU, classes=10)
        assert math.log2(found[mib]).is_integer()
    assert found[1] < found[8] < found[64]
    assert batch_size_finder.search(network, (1, 8, 8), images=100, machine=CPU, classes=10) == 8
    assert batch_size_finder.search(network, (1, 8, 8), images=31, machine=CPU, classes=10) == 8
    monkeypatch.setattr(devices, "free_memory", lambda _: 1000)
    with pytest.raises(MachineError, match=r"^batch_size: find fails, because not even a batch of two"):
        batch_size_finder.search(network, (1, 8, 8), images=10**6, machine=CPU, classes=10)


def test_what_is_predicted_for_a_step_covers_what_it_takes() -> None:
    """The tensors that autograd keeps for a batch of 256 are no more than predicted from a batch of 4."""
    network = build("cnn", units=16, depth=2, **SMALL).train()
    each, _ = batch_size_finder._cost(network, (1, 8, 8), CPU, 10)
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        batch_size_finder._step(network, (1, 8, 8), 256, CPU, 10)
    assert 0.3 * each * 256 < sum(kept.values()) <= each * 256


def test_free_memory_is_that_of_this_machine() -> None:
    import psutil

    assert 0 < devices.free_memory(torch.device("cpu")) <= psutil.virtual_memory().total


def test_a_search_runs_once_per_training(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path, "key")
    assert kept.once("lr", lambda: [0.1, [{"lr": 0.5}]]) == [0.1, [{"lr": 0.5}]]
    assert Checkpoints(tmp_path, "key").once("lr", lambda: pytest.fail("searched again")) == [0.1, [{"lr": 0.5}]]
