"""Accuracy on photographs, from few images of each class: Hallmark's defaults against two ways by hand.

    .venv/bin/python -m benchmarks.photographs --data PATH_OF_trash.zip --draws 5

Each draw takes the same ``--per-class`` images of each class for all contenders, and judges them on all other images:

- ``hallmark``: ``hallmark init`` and ``hallmark run`` with the defaults; 70 % of the images train, the rest validate
  and test. Its seconds are those of the whole run, report included.
- ``linear``: logistic regression (scikit-learn, C = 1) on the features of the same pretrained network, of all images.
- ``tuned``: the same network under that head, all layers trained for ten epochs with AdamW (peak rate 1e-3, a tenth of
  it at the first layer), flips and crops, batch norms frozen, on all images; the last weights count.

Differences to ``hallmark`` are paired by draw, with a 95 % t interval.
"""

from __future__ import annotations

import argparse
import math
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import stats
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional

from hallmark.images.decoding import prepare
from hallmark.models import shipped, transfer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

NETWORK = shipped.read("efficientnet-lite0")
EPOCHS, BATCH, LR = 10, 32, 1e-3


def main() -> None:
    """Prints a line per contender and draw, then the means and paired differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder or .zip of class folders")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--per-class", type=int, default=60)
    parser.add_argument("--override", action="append", default=[], help="of hallmark's run, such as train.refit=false")
    parser.add_argument("--contenders", nargs="+", default=list(CONTENDERS), choices=list(CONTENDERS))
    options = parser.parse_args()
    scores: dict[str, list[float]] = {name: [] for name in options.contenders}
    with tempfile.TemporaryDirectory() as scratch:
        files = _files(options.data, Path(scratch))
        for draw in range(options.draws):
            train, test = _divided(files, options.per_class, np.random.default_rng(draw))
            for name in options.contenders:
                begun = time.perf_counter()
                answers = CONTENDERS[name](train, test, Path(scratch) / f"{name}-{draw}", options.override)
                seconds = time.perf_counter() - begun
                right = float(np.mean([each.parent.name == answer for each, answer in zip(test, answers, strict=True)]))
                scores[name].append(right)
                print(f"draw {draw}: {name:8s} {right:.4f} of {len(test)} in {seconds:.0f} s", flush=True)
    for name, values in scores.items():
        print(f"{name:8s} mean {np.mean(values):.4f}", _difference(scores, name))


def _difference(scores: dict[str, list[float]], name: str) -> str:
    ours = scores.get("hallmark")
    if ours is None or name == "hallmark" or len(ours) < 2:
        return ""
    gaps = np.subtract(ours, scores[name])
    half = stats.t.ppf(0.975, len(gaps) - 1) * gaps.std(ddof=1) / math.sqrt(len(gaps))
    return f"hallmark is better by {gaps.mean():+.4f} [{gaps.mean() - half:+.4f}, {gaps.mean() + half:+.4f}]"


def _files(data: Path, scratch: Path) -> list[Path]:
    if data.is_file():
        with zipfile.ZipFile(data) as archive:
            archive.extractall(scratch / "data")
        data = scratch / "data"
    return sorted(path for path in data.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))


def _divided(files: Sequence[Path], per_class: int, random: np.random.Generator) -> tuple[list[Path], list[Path]]:
    labels = np.array([path.parent.name for path in files])
    chosen = {
        int(row)
        for label in np.unique(labels)
        for row in random.permutation(np.flatnonzero(labels == label))[:per_class]
    }
    train = [path for row, path in enumerate(files) if row in chosen]
    return train, [path for row, path in enumerate(files) if row not in chosen]


def _hallmark(train: list[Path], test: list[Path], folder: Path, overrides: list[str]) -> list[str]:
    import hallmark

    source = folder / "source"
    for path in train:
        (source / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, source / path.parent.name)
    command = [sys.executable, "-m", "flows.cli"]
    subprocess.run(
        [*command, "init", str(folder / "workspace"), "--source", str(source)], check=True, capture_output=True
    )
    done = subprocess.run(
        [*command, "run", *overrides], cwd=folder / "workspace", capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 3):  # 3: the gate refused to promote; the model is there
        sys.exit(done.stdout + done.stderr)
    model = hallmark.load(str(folder / "workspace" / "data" / "train"), workspace=folder / "workspace")
    return [str(label) for label in model.predict(test)["label"]]


def _pixels(paths: Sequence[Path]) -> Pixels:
    return np.stack([prepare(path.read_bytes(), NETWORK.side, NETWORK.side, 3) for path in paths])


def _planes(pixels: Pixels) -> torch.Tensor:
    planes = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    return planes.contiguous(memory_format=torch.channels_last)


def _network(classes: Sequence[str]) -> nn.Module:
    side = {"height": NETWORK.side, "width": NETWORK.side, "channels": 3}
    assert NETWORK.description is not None
    description: dict[str, Any] = {
        "name": NETWORK.description["name"],
        "classes": list(classes),
        "arguments": NETWORK.description["arguments"],
        "input": {**side, "mean": list(NETWORK.mean), "std": list(NETWORK.std)},
    }
    return transfer.initial(NETWORK, description, seed=0)


def _outputs(network: nn.Module, pixels: Pixels) -> NDArray[np.float32]:
    network.eval()
    with torch.inference_mode():
        parts = [network(_planes(pixels[row : row + BATCH])).numpy() for row in range(0, len(pixels), BATCH)]
    return np.concatenate(parts)


def _head(train: list[Path]) -> tuple[LogisticRegression, nn.Module, Pixels]:
    """Logistic regression on the features of the training images, the network that gave them, and their pixels."""
    body = _network(["one", "two"])
    transfer.without_head(body)
    pixels = _pixels(train)
    model = LogisticRegression(C=1.0, max_iter=2000)
    return model.fit(_outputs(body, pixels), [path.parent.name for path in train]), body, pixels


def _linear(train: list[Path], test: list[Path], folder: Path, overrides: list[str]) -> list[str]:
    model, body, _ = _head(train)
    return list(model.predict(_outputs(body, _pixels(test))))


def _tuned(train: list[Path], test: list[Path], folder: Path, overrides: list[str]) -> list[str]:
    model, _, pixels = _head(train)
    classes = list(model.classes_)
    network = _network(classes)
    head = transfer.head(network)
    assert isinstance(head, nn.Linear)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(model.coef_))
        head.bias.copy_(torch.from_numpy(model.intercept_))
    layers = transfer.layers(network)
    scales = [0.1 ** ((len(layers) - 1 - depth) / (len(layers) - 1)) for depth in range(len(layers))]
    groups = [{"params": layer, "scale": scale} for layer, scale in zip(layers, scales, strict=True)]
    optimizer = torch.optim.AdamW(groups, lr=LR, weight_decay=0.05)
    labels = torch.tensor([classes.index(path.parent.name) for path in train])
    generator = torch.Generator().manual_seed(0)
    total, step = EPOCHS * math.ceil(len(train) / BATCH), 0
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(train), generator=generator).split(BATCH):  # type: ignore[no-untyped-call]
            network.train()
            for module in network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
            factor = min(1.0, (step + 1) / (0.1 * total)) * 0.5 * (1 + math.cos(math.pi * step / total))
            for group in optimizer.param_groups:
                group["lr"] = LR * factor * group["scale"]
            images = _cropped(_planes(pixels[rows.numpy()]), generator)
            loss = functional.cross_entropy(network(images), labels[rows], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            step += 1
    return [classes[number] for number in _outputs(network, _pixels(test)).argmax(axis=1)]


def _cropped(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each image flipped with probability one half, and cropped to 50 to 100 % of its area."""
    flipped = torch.rand(len(images), generator=generator) < 0.5
    images[flipped] = images[flipped].flip(3)
    side = torch.empty(len(images)).uniform_(0.5, 1, generator=generator).sqrt()
    theta = torch.zeros(len(images), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = side
    theta[:, :, 2] = (torch.rand(len(images), 2, generator=generator) * 2 - 1) * (1 - side)[:, None]
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    cropped = functional.grid_sample(images, grid, align_corners=False)
    return cropped.contiguous(memory_format=torch.channels_last)


CONTENDERS: dict[str, Callable[[list[Path], list[Path], Path, list[str]], list[str]]] = {
    "hallmark": _hallmark,
    "linear": _linear,
    "tuned": _tuned,
}

if __name__ == "__main__":
    main()
