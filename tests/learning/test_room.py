"""Checkpoints, devices, pixels and warnings."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

from hallmark.contracts import processes
from hallmark.contracts.errors import InputError, MachineError
from hallmark.images import shards
from hallmark.images.decoding import prepare
from hallmark.learning import devices, monitoring, pixels
from hallmark.learning.checkpoints import FILE, KEEP, Checkpoints, key_of
from hallmark.learning.monitoring import Warned
from hallmark.learning.pixels import Item
from hallmark.models.build import build
from tests.learning.workspace import png

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import ProcessPoolExecutor
    from pathlib import Path


def test_checkpoints_come_back_and_others_finished_ones_go(tmp_path: Path) -> None:
    done = Checkpoints(tmp_path, "done")
    done.save({"x": torch.arange(3)}, finished=True)
    half = Checkpoints(tmp_path, "half")
    assert not (tmp_path / "done").exists()
    half.save({"x": torch.arange(4), "y": [1.5, None], "z": {"a": "b"}})
    state = Checkpoints(tmp_path, "half").load()
    assert state is not None
    assert torch.equal(state["x"], torch.arange(4))
    assert (state["y"], state["z"]) == ([1.5, None], {"a": "b"})
    assert sorted(path.name for path in (tmp_path / "half").iterdir()) == [FILE]
    for number in range(KEEP + 3):
        Checkpoints(tmp_path, f"n{number}").save({})
    Checkpoints(tmp_path, "new")
    assert len(list(tmp_path.iterdir())) == KEEP


def test_a_torn_checkpoint_is_told_and_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = Checkpoints(tmp_path, "key")
    kept.save({"x": torch.arange(1000)})
    path = tmp_path / "key" / FILE
    path.write_bytes(path.read_bytes()[:500])
    with caplog.at_level(logging.WARNING):
        assert kept.load() is None
    assert "cannot be read" in caplog.text


def test_the_key_follows_values_files_and_code(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("one")
    first = key_of({"lr": 1}, [file], code="x")
    assert first == key_of({"lr": 1}, [file], code="x")
    assert len({first, key_of({"lr": 2}, [file], code="x"), key_of({"lr": 1}, [file], code="y")}) == 3
    file.write_text("two")
    assert first != key_of({"lr": 1}, [file], code="x")


def test_devices_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALLMARK_DEVICE", "cpu")
    assert devices.select_device() == torch.device("cpu")
    monkeypatch.setenv("HALLMARK_DEVICE", "tpu9")
    with pytest.raises(InputError, match="HALLMARK_DEVICE is 'tpu9'"):
        devices.select_device()
    if not torch.backends.mps.is_available():
        monkeypatch.setenv("HALLMARK_DEVICE", "mps")
        with pytest.raises(MachineError, match="there is no such device here"):
            devices.select_device()
    with pytest.raises(InputError, match=r"train.precision is fp16"):
        devices.select_precision("fp16", torch.device("cpu"))


def test_small_networks_take_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    network = build("mlp", classes=10, height=8, width=8, channels=1, mean=[0], std=[1], units=32, depth=1)
    assert devices.multiplications(network, (5, 1, 8, 8)) == 5 * (64 * 32 + 32 * 10)
    assert devices.threads(network, (5, 1, 8, 8)) == 1
    monkeypatch.setattr(devices, "WORTH_THREADS", 10)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})
    assert devices.threads(network, (5, 1, 8, 8)) == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert devices.threads(network, (5, 1, 8, 8)) == 2


@pytest.mark.parametrize(("amx", "short"), [(True, False), (False, True), (False, False)])
def test_half_precision_is_taken_where_the_cpu_multiplies_it_faster(
    monkeypatch: pytest.MonkeyPatch, amx: bool, short: bool
) -> None:
    monkeypatch.setenv("HALLMARK_DEVICE", "cpu")
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: short)
    network = build("cnn", classes=10, height=8, width=8, channels=1, mean=[0], std=[1], units=8, depth=1)
    assert devices.machine("auto", network, (1, 1, 8, 8)).precision == "fp32"
    expected = "bf16" if amx or short else "fp32"
    assert devices.machine("auto", network, (100_000, 1, 8, 8)).precision == expected
    assert devices.machine("bf16", network, (1, 1, 8, 8)).precision == "bf16"


def test_one_cpu_trains_without_fabric() -> None:
    code = (
        "import sys, torch\n"
        "from hallmark.learning import devices, fabric, loop\n"
        "machine = devices.Machine(device=torch.device('cpu'), precision='fp32', threads=1)\n"
        "assert isinstance(fabric.build(machine), fabric.SingleCpu)\n"
        "assert 'lightning_fabric' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def stored(folder: Path, images: list[np.ndarray[Any, Any]]) -> list[Item]:
    folder.mkdir()
    encoded = [png(image) for image in images]
    places = shards.write(folder, [(f"{number}.png", data) for number, data in enumerate(encoded)])
    return [Item(folder, place.shard, place.row, str(hash(data)), f"{n}.png")
            for n, (place, data) in enumerate(zip(places, encoded, strict=True))]  # fmt: skip


# a thread, threads, processes
@pytest.mark.parametrize(("side", "worth_processes"), [(10, 6), (90, 6), (10, 5)])
def test_pixels_are_prepared_once_in_the_order_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int, worth_processes: int
) -> None:
    monkeypatch.setenv("HALLMARK_WORKERS", "2")
    monkeypatch.setattr(pixels, "WORTH_PROCESSES", worth_processes)
    monkeypatch.setattr(pixels, "CHUNK", 2)
    started = []
    pool = processes.pool

    def counted(workers: int) -> ProcessPoolExecutor:
        started.append(workers)
        return pool(workers)

    monkeypatch.setattr(processes, "pool", counted)
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 256, (side, side + 2), dtype=np.uint8) for _ in range(5)]
    items = stored(tmp_path / "shards", images)[::-1]
    path = pixels.prepared(items, height=6, width=6, channels=1, bits=16, cache=tmp_path / "cache")
    array = pixels.opened(path)
    for image, row in zip(images[::-1], array, strict=True):
        np.testing.assert_array_equal(row, prepare(png(image), 6, 6, 1))
    monkeypatch.setattr(pixels, "_decoded", lambda *_: pytest.fail("decoded again"))
    assert pixels.prepared(items, height=6, width=6, channels=1, bits=16, cache=tmp_path / "cache") == path
    assert [file.name for file in (tmp_path / "cache").iterdir()] == [path.name]
    assert started == [2] * (worth_processes == 5)


@pytest.mark.parametrize(("side", "worth_processes"), [(10, 6), (90, 6), (10, 5)])
def test_an_image_that_turned_bad_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int, worth_processes: int
) -> None:
    monkeypatch.setattr(pixels, "WORTH_PROCESSES", worth_processes)
    whole = [png(np.random.default_rng(0).integers(0, 256, (side, side), dtype=np.uint8))] * 4
    places = shards.write(tmp_path, [(str(number), data) for number, data in enumerate([*whole, whole[0][:-30]])])
    items = [Item(tmp_path, place.shard, place.row, str(n), f"{n}.png") for n, place in enumerate(places)]
    with pytest.raises(InputError, match=r"'4\.png' cannot be decoded \(truncated"):
        pixels.prepared(items, height=6, width=6, channels=1, bits=16, cache=tmp_path / "cache")


def test_a_decoding_process_that_is_killed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "WORTH_PROCESSES", 1)
    monkeypatch.setattr(pixels, "_attempted", _killed)
    items = stored(tmp_path / "shards", [np.zeros((9, 9), np.uint8)])
    with pytest.raises(MachineError, match="a process that decodes images was ended"):
        pixels.survey(items)


def _killed(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("size", [10, pixels.WORTH_THREADS])  # a thread, threads
def test_few_encoded_images_are_held_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    held: list[int] = [0]

    class Encoded(bytes):
        def __del__(self) -> None:
            held[0] -= 1

    def encoded(items: list[Item]) -> Iterator[tuple[Item, bytes]]:
        for item in items:
            held[0] += 1
            yield item, Encoded(size)

    monkeypatch.setenv("HALLMARK_WORKERS", "2")
    monkeypatch.setattr(pixels, "_encoded", encoded)
    items = [Item(tmp_path, 0, row, "", "") for row in range(100)]
    seen = [held[0] for _ in pixels._decoded(items, lambda _: np.zeros(1))]
    assert len(seen) == 100
    assert max(seen) <= pixels.PEEKED + 2
    assert max(seen[pixels.PEEKED :]) <= 8


def test_a_survey_sees_sides_and_colour(tmp_path: Path) -> None:
    grey = np.zeros((9, 20, 3), np.uint8)
    items = stored(tmp_path / "grey", [grey, np.zeros((30, 30), np.uint8), grey])
    assert pixels.survey(items) == pixels.Survey(side=9, grey=True, bits=16)
    coloured = grey.copy()
    coloured[0, 0, 1] = 9
    assert not pixels.survey(stored(tmp_path / "colour", [grey, coloured])).grey


def test_statistics_are_those_of_all_pixels() -> None:
    images = np.random.default_rng(0).integers(0, 256, (300, 5, 4, 3), dtype=np.uint8)
    mean, std = pixels.statistics(images)
    scaled = images.reshape(-1, 3) / 255
    np.testing.assert_allclose(mean, scaled.mean(axis=0))
    np.testing.assert_allclose(std, scaled.std(axis=0))
    assert pixels.statistics(np.full((2, 3, 3, 1), 7, np.uint8)) == ([7 / 255], [1.0])
    assert pixels.scaling("unit", images) == ([0.0] * 3, [1.0] * 3)
    assert pixels.scaling("symmetric", images) == ([0.5] * 3, [0.5] * 3)
    assert pixels.scaling("standard", images) == (mean, std)


@pytest.mark.parametrize("channels", [1, 3])
def test_statistics_are_counted_exactly_and_in_little_memory(channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 255, 257, channels), dtype=np.uint8)
    images[:30] = 255  # the largest sums
    tracemalloc.start()
    mean, std = pixels.statistics(images)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < images.nbytes / 4
    count = images.size // channels
    for channel in range(channels):
        values = images[..., channel].astype(np.int64)
        total, squares = int(values.sum()), int((values**2).sum())
        assert mean[channel] == total / count / 255
        assert std[channel] == (count * squares - total * total) ** 0.5 / count / 255


def row(**changes: Any) -> dict[str, Any]:
    usual = {
        "train_loss": 0.3, "train_accuracy": 0.95, "val_loss": 0.4, "val_accuracy": 0.93, "gradient_norm": 1.0,
        "gradient_balance": 0.5, "inactive_units": 0.01,
    }  # fmt: skip
    return usual | changes


@pytest.mark.parametrize(
    ("history", "kind", "words"),
    [
        ([row(), row(train_loss=1.2)], Warned.DIVERGENCE, "Divergence: the training loss rose from 0.3 to 1.2"),
        ([row(train_loss=2.3)] * 6, Warned.NOT_LEARNING, "hardly learns"),
        ([row(inactive_units=0.7)], Warned.DEAD_ACTIVATIONS, "Dead activations: 70%"),
        ([row(gradient_balance=1e-6)] * 3, Warned.VANISHING_GRADIENTS, "Vanishing gradients"),
        ([row(gradient_norm=5e4)], Warned.EXPLODING_GRADIENTS, "Exploding gradients"),
        ([row(train_accuracy=1.0, val_accuracy=0.6)], Warned.OVERFITTING, "Overfitting: 100% of the training images"),
    ],
)
def test_each_fault_has_a_kind_and_words(history: list[dict[str, Any]], kind: Warned, words: str) -> None:
    ((only, warning),) = monitoring.warnings(history, guessing=2.303, lr=0.1).items()
    assert only == kind
    assert words in warning


def test_a_good_training_is_not_warned_of() -> None:
    assert monitoring.warnings([row(), row(train_loss=0.2)], guessing=2.303, lr=0.1) == {}


def test_stuck_units_are_counted() -> None:
    layer = nn.Linear(4, 10)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.copy_(torch.tensor([-1.0] * 4 + [1.0] * 6))
    x = torch.rand(5, 4)
    assert monitoring.inactive_units(nn.Sequential(layer, nn.ReLU()), x) == pytest.approx(0.4)
    with torch.no_grad():
        layer.bias.mul_(9)
    assert monitoring.inactive_units(nn.Sequential(layer, nn.Sigmoid()), x) == pytest.approx(1.0)
    assert monitoring.inactive_units(nn.Sequential(layer, nn.GELU()), x) is None


def test_optimisers_do_not_import_the_compiler() -> None:
    """That would be more than a second of every start."""
    code = (
        "import sys, torch\n"
        "from hallmark.learning import optimizers\n"
        "for name in ('sgd', 'adam', 'adamw', 'rmsprop', 'muon'):\n"
        "    network = torch.nn.Sequential(*[torch.nn.Linear(3, 3) for _ in range(4)])\n"
        "    network(torch.ones(1, 3)).sum().backward()\n"
        "    before = [each.detach().clone() for each in network.parameters()]\n"
        "    for each in optimizers.build(name, network, lr=0.1, momentum=0.9, weight_decay=0.1, fused=True):\n"
        "        each.zero_grad(set_to_none=False)\n"
        "        for parameter in network.parameters(): parameter.grad.fill_(1)\n"
        "        each.step()\n"
        "        each.load_state_dict(each.state_dict())\n"
        "    assert all(not torch.equal(b, p) for b, p in zip(before, network.parameters())), name\n"
        "assert 'torch._dynamo' not in sys.modules\n"
        "assert 'lightning_fabric' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
