"""CPU, memory and GPU use of a training, sampled while it runs, for MLflow's system metrics and run.json."""

from __future__ import annotations

import importlib.util
import time
from typing import TYPE_CHECKING, Any, final

import psutil
import torch

if TYPE_CHECKING:
    from hallmark.contracts.telemetry import Fact

EVERY = 2.0  # seconds between samples
MIB = 2**20


@final
class SystemMetrics:
    """Samples in the training's own thread, no oftener than every :data:`EVERY` seconds.

    ``system/`` and the names behind it are MLflow's own. How busy a GPU is comes from NVIDIA's library, if the package
    nvidia-ml-py is installed; its memory comes from torch.
    """

    def __init__(self, device: torch.device, *, every: float = EVERY) -> None:
        self._device, self._every = device, every
        self._process = psutil.Process()
        self._busy = device.type == "cuda" and importlib.util.find_spec("pynvml") is not None
        self._at, self._cpu, self._shown = time.perf_counter(), self._spent(), 0.0
        self._begun, self._begun_cpu = self._at, self._cpu
        self._seen: list[float] = []

    def _spent(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def sample(self, shown: float) -> dict[str, float]:
        """Metrics since the last sample, nothing if that was only just; ``shown``: images trained on so far."""
        now = time.perf_counter()
        seconds = now - self._at
        if seconds < self._every:
            return {}
        cpu = self._spent()
        values = {
            "system/cpu_utilization_percentage": 100 * (cpu - self._cpu) / seconds,
            "system/process_memory_usage_megabytes": self._process.memory_info().rss / MIB,
            "system/samples_per_second": (shown - self._shown) / seconds,
        }
        if self._device.type == "cuda":
            number = self._device.index
            values[f"system/gpu_{number}_memory_usage_megabytes"] = torch.cuda.memory_reserved(self._device) / MIB
            if self._busy:
                self._seen.append(float(torch.cuda.utilization(self._device)))
                values[f"system/gpu_{number}_utilization_percentage"] = self._seen[-1]
        self._at, self._cpu, self._shown = now, cpu, shown
        return values

    def facts(self) -> dict[str, Fact]:
        """For run.json: cores kept busy on average, and how busy the GPU was, in [0, 1], where the device tells it."""
        facts: dict[str, Any] = {
            "cores_busy": round((self._spent() - self._begun_cpu) / max(1e-9, time.perf_counter() - self._begun), 2)
        }
        if self._device.type != "cpu":
            busy = sum(self._seen) / len(self._seen) / 100 if self._seen else None
            facts["device_busy"] = round(busy, 3) if busy is not None else None
        return facts
