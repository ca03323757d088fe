"""Gate (d): do the images improve a model?

A small convolutional network is trained with and without them, several times, each pair with one seed. Both arms sample
classes uniformly and use the audited augmentation policy, so the difference is the gain over balancing and augmenting.
It is measured on validation images: balanced accuracy, and recall of the targeted classes.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from einops import rearrange

from hallmark.contracts import progress
from hallmark.contracts.seeds import derive
from hallmark.learning import devices
from hallmark.models.cnn import cnn
from hallmark.statistics.intervals import student
from hallmark.synthesis.gate import Gate, rounded
from hallmark.synthesis.parallel import machine, mapping

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from hallmark.synthesis.generator import Images, Labels
    from hallmark.transforms.policy import Policy

VIEWS = 4  # per image: the original and augmented versions
MOST = 10_000  # real images, the first: where there are more, the caller's order has the classes in turn
BATCH = 64
UNITS = 16
LEARNING_RATE = 2e-2  # high, so that training nearly converges in few steps; else added images only delay it
MADE_WEIGHT = 0.5  # sampling weight of a generated image relative to a real one of its class
SIDE = 32  # longer side of the networks' input in pixels


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A pair of runs with one seed: recall [classes] without and with the images, NaN without validation images."""

    without: NDArray[np.float64]
    with_them: NDArray[np.float64]


def trials(
    real: Images, labels: Labels, images: Images, targets: Labels, held_out: Images, truth: Labels, *,
    policy: Policy, classes: int, pairs: int, steps: int, seed: int,
) -> list[Trial]:  # fmt: skip
    """Trains ``pairs`` pairs for ``steps`` steps each; images uint8 [n, height, width, channels]."""
    real, labels = real[:MOST], labels[:MOST]
    views_real = _views(real, policy, seed=derive(seed, "synthesize", "views", "real"))
    views_made = _views(images, policy, seed=derive(seed, "synthesize", "views", "made"))
    both, both_labels = torch.cat([views_real, views_made], dim=1), np.concatenate([labels, targets])
    asked_of = _pixels(held_out)
    hardware = machine()
    arms = ((views_real, labels), (both, both_labels))
    with devices.settled(hardware, deterministic=True):
        starts = []
        for pair in range(pairs):
            # torch draws initial weights from its global generator: sequentially, not in threads
            devices.reseed(hardware.device, derive(seed, "synthesize", "utility", pair, "weights"))
            network = _network(views_real, classes=classes)
            starts += [(pair, arm, copy.deepcopy(network)) for arm in range(2)]

        def recalls(start: tuple[int, int, nn.Module]) -> NDArray[np.float64]:
            pair, arm, network = start
            views, numbers = arms[arm]
            of = derive(seed, "synthesize", "utility", pair, "draws")
            _train(
                network.to(hardware.device), views, numbers, real=len(labels), classes=classes, steps=steps, seed=of,
                device=hardware.device,
            )  # fmt: skip
            return _recalls(network, asked_of, truth, classes=classes, device=hardware.device)

        with mapping(hardware, parts=len(starts)) as over:
            results = list(
                progress.counted(
                    over(recalls, starts), "training with and without synthetic images", len(starts), unit="trainings"
                )
            )
    return [Trial(without=results[at], with_them=results[at + 1]) for at in range(0, len(results), 2)]


def gate(
    done: Sequence[Trial], *, meant: Sequence[int], names: Sequence[str], max_loss: float, min_gain: float
) -> Gate:
    """Refuses the set if balanced accuracy falls significantly or on average, or the targeted classes gain too little.

    Refuses the set if no validation image shows a targeted class: nothing is known about their gain. The interval is
    Student's t over the pairs. ``max_loss`` is the largest allowed mean loss of balanced accuracy; ``min_gain`` is the
    least mean gain in recall of the targeted classes.
    """
    without, with_them = (np.stack([getattr(trial, arm) for trial in done]) for arm in ("without", "with_them"))
    if np.isnan(without).all():
        return Gate(name="utility", passed=False, reason="there is no validation image to measure them on", figures={})
    difference = np.nanmean(with_them, axis=1) - np.nanmean(without, axis=1)
    low, high = _interval(difference)
    measured = [label for label in meant if not np.isnan(without[0, label])]
    gained = (with_them - without)[:, measured].mean(axis=1) if measured else np.full(len(done), np.nan)
    gain_low, gain_high = _interval(gained)
    mean, gain = float(difference.mean()), float(gained.mean())
    figures: dict[str, Any] = {
        "pairs": len(done),
        "balanced_accuracy_without": rounded(float(np.nanmean(without))),
        "balanced_accuracy_with": rounded(float(np.nanmean(with_them))),
        "difference": {"value": rounded(mean), "ci95": [rounded(low), rounded(high)]},
        "recall_gain_of_classes_meant": {"value": rounded(gain), "ci95": [rounded(gain_low), rounded(gain_high)]},
        "classes": [_recall(names[label], without[:, label], with_them[:, label]) for label in measured],
        "max_loss": max_loss,
        "min_gain": min_gain,
    }
    summary = f"balanced accuracy {100 * mean:+.2f} points (95 % interval {100 * low:+.2f} to {100 * high:+.2f})"
    summary += f", recall of the targeted classes {100 * gain:+.2f}" if measured else ""
    refusal = None
    if mean < -max_loss or high < 0:
        refusal = "they make a model worse"
    elif not measured:
        missing = ", ".join(names[label] for label in meant)
        refusal = f"no validation image shows a targeted class ({missing}), so that their gain is unknown"
    elif gain < min_gain:
        refusal = "the targeted classes do not gain enough"
    if refusal is not None:
        return Gate(name="utility", passed=False, reason=f"{refusal}: {summary}", figures=figures)
    summary += "" if low > 0 else "; no loss and no significant gain"
    return Gate(name="utility", passed=True, reason=summary, figures=figures)


def _recall(name: str, without: NDArray[np.float64], with_them: NDArray[np.float64]) -> dict[str, Any]:
    return {
        "label": name,
        "recall_without": rounded(float(without.mean())),
        "recall_with": rounded(float(with_them.mean())),
    }


def _views(images: Images, policy: Policy, *, seed: int) -> Tensor:
    """Float [views, n, channels, height, width] in [0, 1]: the originals, then augmented versions."""
    changed = [
        np.stack([policy(image, derive(seed, view, number)) for number, image in enumerate(images)])
        for view in range(1, VIEWS)
    ]
    return torch.stack([_pixels(each) for each in [images, *changed]])


def _pixels(images: Images) -> Tensor:
    """Float [n, channels, height, width] in [0, 1], the longer side at most SIDE pixels."""
    pixels = rearrange(torch.from_numpy(np.ascontiguousarray(images)).float() / 255, "n h w c -> n c h w")
    longer = max(pixels.shape[2:])
    if longer > SIDE:
        size = tuple(max(1, round(side * SIDE / longer)) for side in pixels.shape[2:])
        pixels = torch.nn.functional.interpolate(pixels, size=size, mode="area")
    return pixels


def _network(views: Tensor, *, classes: int) -> nn.Module:
    channels, height, width = views.shape[2:]
    return cnn(classes=classes, height=height, width=width, channels=channels, units=UNITS, depth=2)


def _train(
    network: nn.Module, views: Tensor, labels: Labels, *, real: int, classes: int, steps: int, seed: int,
    device: torch.device,
) -> None:  # fmt: skip
    """Trains on views [views, n, channels, height, width] with uniform class sampling.

    The first ``real`` images are real, the others generated.
    """
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.2)
    random = torch.Generator().manual_seed(seed)
    targets = torch.from_numpy(labels)
    shares = torch.ones(len(targets), dtype=torch.float64)
    shares[real:] = MADE_WEIGHT
    shares /= torch.zeros(classes, dtype=torch.float64).index_add_(0, targets, shares)[targets]
    network.train()
    for _ in range(steps):
        picked = torch.multinomial(shares, BATCH, replacement=True, generator=random)
        view = torch.randint(len(views), (BATCH,), generator=random)
        logits = network(views[view, picked].to(device) - 0.5)
        value = torch.nn.functional.cross_entropy(logits, targets[picked].to(device))
        optimizer.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    network.eval()


@torch.no_grad()
def _recalls(
    network: nn.Module, images: Tensor, truth: Labels, *, classes: int, device: torch.device
) -> NDArray[np.float64]:
    guessed = torch.cat(
        [network(part.to(device) - 0.5).argmax(dim=1).cpu() for part in torch.split(images, 512)]
    ).numpy()
    out = np.full(classes, np.nan)
    for label in np.unique(truth):
        out[label] = (guessed[truth == label] == label).mean()
    return out


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """A 95 % interval of the mean."""
    half = student(values)
    return float(values.mean()) - half, float(values.mean()) + half
