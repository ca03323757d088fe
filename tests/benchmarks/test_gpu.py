"""The benchmark for a borrowed GPU, which nobody can try before it is there: what of it needs none."""

from __future__ import annotations

import gzip
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks import gpu

if TYPE_CHECKING:
    from pathlib import Path

LACKING = ("pandas", "pyarrow", "mlflow", "prefect", "dvc", "great_expectations", "sklearn", "matplotlib")


def test_it_needs_little_beside_torch() -> None:
    code = f"import sys; sys.modules.update(dict.fromkeys({LACKING})); import benchmarks.gpu"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_the_time_to_an_accuracy(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for part, count in (("train", 96), ("t10k", 32)):
        images = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % gpu.CLASSES).astype(np.uint8)
        for name, data in ((f"{part}-images-idx3-ubyte", bytes(16) + images.tobytes()),
                           (f"{part}-labels-idx1-ubyte", bytes(8) + labels.tobytes())):  # fmt: skip
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(data))
    curve = gpu.to_accuracy(tmp_path, device=torch.device("cpu"), images=96, epochs=2)
    assert len(curve) == 2
    assert 0 < curve[0][0] < curve[1][0]
    assert all(0 <= accuracy <= 1 for _, accuracy in curve)
