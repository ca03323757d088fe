"""The device, precision and threads of a training; what its start does not import."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from hallmark.contracts.errors import InputError, MachineError
from hallmark.learning import devices
from hallmark.models.build import build


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
    with pytest.raises(InputError, match=r"^precision: fp16 needs a CUDA device"):
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
