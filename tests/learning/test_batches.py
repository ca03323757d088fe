"""A batch follows from (epoch, number): not from how many are made together, by which executor's process, or where."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING, Any

import pytest
import torch

from hallmark.learning import batches as loading
from hallmark.learning.batches import Waiting, stream, workers
from tests.learning.training import batches
from tests.learning.workspace import SHIFT

if TYPE_CHECKING:
    from pathlib import Path

    from hallmark.learning.batches import Batch

EQUALIZE = {"name": "Equalize", "p": 0.5}
POLICIES = {"none": [], "batched": [SHIFT], "mixed": [SHIFT, EQUALIZE], "per_image": [EQUALIZE]}


def same(first: list[Batch], second: list[Batch]) -> bool:
    pairs = zip(first, second, strict=True)
    return all(torch.equal(a, b) for one, other in pairs for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("policy", list(POLICIES))
def test_batches_are_the_same_for_every_loader(tmp_path: Path, policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = batches(tmp_path, transforms=POLICIES[policy], batch_size=20)
    assert data.executor == {"mixed": "batched"}.get(policy, policy)
    keys = [(epoch, number) for epoch in (0, 1) for number in range(data.per_epoch)]
    alone = [data[key] for key in keys]
    assert same(alone, data.__getitems__(keys))
    assert same(alone[3:], list(stream(data, start=(0, 3), epochs=2, processes=0, waiting=Waiting())))
    monkeypatch.setattr(loading, "TOGETHER", 3 * data.values_per_batch)
    assert same(alone, list(stream(data, start=(0, 0), epochs=2, processes=0, waiting=Waiting())))
    backwards = [data[key] for key in reversed(keys)]
    assert same(alone, backwards[::-1])
    first, second = ([batch.images for batch in alone[at : at + data.per_epoch]] for at in (0, data.per_epoch))
    assert not torch.equal(torch.cat(first), torch.cat(second))
    assert sorted(len(batch.labels) for batch in alone[: data.per_epoch]) == [19, 19, 19, 19, 20]


@pytest.mark.parametrize("policy", ["batched", "per_image"])
def test_plain_epochs_show_the_images_as_they_are(tmp_path: Path, policy: str) -> None:
    data = batches(tmp_path, transforms=POLICIES[policy], plain_epochs=2)
    keys = [(epoch, number) for epoch in range(3) for number in range(data.per_epoch)]
    together = data.__getitems__(keys)
    assert same(together, [data[key] for key in keys])
    bare, augmented = (batches(tmp_path, transforms=each) for each in ([], POLICIES[policy]))
    first = 2 * data.per_epoch
    assert same(together[:first], bare.__getitems__(keys[:first]))
    assert same(together[first:], augmented.__getitems__(keys[first:]))
    assert not same(together[first:], bare.__getitems__(keys[first:]))


@pytest.mark.parametrize("policy", ["mixed", "per_image"])
def test_workers_make_the_same_batches(tmp_path: Path, policy: str) -> None:
    data = batches(tmp_path, transforms=POLICIES[policy])
    here = list(stream(data, start=(0, 2), epochs=2, processes=0, waiting=Waiting()))
    assert same(here, list(stream(data, start=(0, 2), epochs=2, processes=2, waiting=Waiting())))


def test_workers_outlive_the_end_of_a_service_for_the_step_at_hand(tmp_path: Path) -> None:
    data = batches(tmp_path, transforms=[EQUALIZE])
    source = stream(data, start=(0, 0), epochs=4, processes=2, waiting=Waiting())
    first = next(source)
    children = multiprocessing.active_children()
    for child in children:
        child.terminate()
    here = list(stream(data, start=(0, 0), epochs=4, processes=0, waiting=Waiting()))
    assert len(children) == 2
    assert same([first, *source], here)


def test_images_kept_on_the_device_make_the_same_batches_without_workers(tmp_path: Path) -> None:
    data, resident = (batches(tmp_path, transforms=[SHIFT]) for _ in range(2))
    resident.reside(torch.device("cpu"))
    assert resident.resident
    assert not data.resident
    assert same([data[(1, 2)]], [resident[(1, 2)]])
    assert resident.cost() == 0.0
    assert workers(resident, epochs=10**6, device=torch.device("cuda")) == 0


def test_what_one_by_one_costs_decides_about_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALLMARK_WORKERS", "3")
    monkeypatch.setattr(loading.Batches, "cost", lambda _: 1e-3)
    data: Any = batches(tmp_path, transforms=[EQUALIZE])
    assert workers(data, epochs=1, device=torch.device("cpu")) == 0
    assert workers(data, epochs=1000, device=torch.device("cpu")) == 2
    assert workers(data, epochs=1000, device=torch.device("cuda")) == 3
