"""Gate (d): is a model better for having seen the images?

A small convolutional network is trained with and without them, several times, each pair from one seed; both see each
class equally often and each image through the audited augmentation policy, so that what is measured is what the images
add to balancing and augmenting. Judged on validation images: balanced accuracy, and recall of the classes meant.
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

VIEWS = 4  # of each image: itself, and as the policy changes it
MOST = 10_000  # real images, the first: where there are more, the caller's order has the classes in turn
BATCH = 64
UNITS = 16
LEARNING_RATE = 2e-2  # high, so that few steps come near the end of training; with fewer, images added only delay it
MADE_WEIGHT = 0.5  # a generated image is drawn this often for each time a real one of its class is
SIDE = 32  # pixels of the longer side at which the networks look


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A pair of trainings from one seed: recall of each class [classes] without and with, NaN where there is none."""

    without: NDArray[np.float64]
    with_them: NDArray[np.float64]


def trials(
    real: Images, labels: Labels, made: Images, asked: Labels, held_out: Images, truth: Labels, *,
    policy: Policy, classes: int, pairs: int, steps: int, seed: int,
) -> list[Trial]:  # fmt: skip
    """Trains ``pairs`` pairs for ``steps`` steps each; images uint8 [n, height, width, channels]."""
    real, labels = real[:MOST], labels[:MOST]
    views_real = _views(real, policy, seed=derive(seed, "synthesize", "views", "real"))
    views_made = _views(made, policy, seed=derive(seed, "synthesize", "views", "made"))
    both, both_labels = torch.cat([views_real, views_made], dim=1), np.concatenate([labels, asked])
    asked_of = _pixels(held_out)
    where = machine()
    arms = ((views_real, labels), (both, both_labels))
    with devices.settled(where, deterministic=True):
        starts = []
        for pair in range(pairs):
            # torch draws first weights from its global generator: in turn, not in threads
            devices.reseed(where.device, derive(seed, "synthesize", "utility", pair, "weights"))
            network = _network(views_real, classes=classes)
            starts += [(pair, arm, copy.deepcopy(network)) for arm in range(2)]

        def recalls(start: tuple[int, int, nn.Module]) -> NDArray[np.float64]:
            pair, arm, network = start
            views, numbers = arms[arm]
            of = derive(seed, "synthesize", "utility", pair, "draws")
            _train(
                network.to(where.device), views, numbers, real=len(labels), classes=classes, steps=steps, seed=of,
                device=where.device,
            )  # fmt: skip
            return _recalls(network, asked_of, truth, classes=classes, device=where.device)

        with mapping(where, parts=len(starts)) as over:
            found = list(progress.counted(over(recalls, starts), "trying them out", len(starts), unit="trainings"))
    return [Trial(without=found[at], with_them=found[at + 1]) for at in range(0, len(found), 2)]


def gate(
    done: Sequence[Trial], *, meant: Sequence[int], names: Sequence[str], max_loss: float, min_gain: float
) -> Gate:
    """Refuses where balanced accuracy surely or on average falls, or the classes meant gain nothing.

    Without a validation image nothing is known, and the set is refused. The interval is Student's t over the pairs.
    ``max_loss`` bounds how far the mean difference of balanced accuracy may be below 0; ``min_gain`` is the least mean
    gain in recall of the classes meant.
    """
    without, with_them = (np.stack([getattr(trial, arm) for trial in done]) for arm in ("without", "with_them"))
    if np.isnan(without).all():
        return Gate(name="utility", passed=False, reason="no validation image to try them on", figures={})
    difference = np.nanmean(with_them, axis=1) - np.nanmean(without, axis=1)
    low, high = _interval(difference)
    seen = [label for label in meant if not np.isnan(without[0, label])]
    gained = (with_them - without)[:, seen].mean(axis=1) if seen else np.zeros(len(done))
    gain_low, gain_high = _interval(gained)
    mean, gain = float(difference.mean()), float(gained.mean())
    figures: dict[str, Any] = {
        "pairs": len(done),
        "balanced_accuracy_without": rounded(float(np.nanmean(without))),
        "balanced_accuracy_with": rounded(float(np.nanmean(with_them))),
        "difference": {"value": rounded(mean), "ci95": [rounded(low), rounded(high)]},
        "recall_gain_of_classes_meant": {"value": rounded(gain), "ci95": [rounded(gain_low), rounded(gain_high)]},
        "classes": [
            {
                "label": names[label],
                "recall_without": rounded(float(without[:, label].mean())),
                "recall_with": rounded(float(with_them[:, label].mean())),
            }
            for label in seen
        ],
        "max_loss": max_loss,
        "min_gain": min_gain,
    }
    told = (
        f"balanced accuracy {100 * mean:+.2f} points (95 % interval {100 * low:+.2f} to {100 * high:+.2f}), "
        f"recall of the classes meant {100 * gain:+.2f}"
    )
    if mean < -max_loss or high < 0:
        return Gate(name="utility", passed=False, reason=f"a model loses by them: {told}", figures=figures)
    if gain < min_gain:
        return Gate(
            name="utility", passed=False, reason=f"the classes meant do not gain enough: {told}", figures=figures
        )
    told += "" if low > 0 else "; no loss and no sure gain"
    return Gate(name="utility", passed=True, reason=told, figures=figures)


def _views(images: Images, policy: Policy, *, seed: int) -> Tensor:
    """Float [views, n, channels, height, width] in [0, 1]: the images themselves, then as the policy changes them."""
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
    """Trains on views [views, n, channels, height, width], each class drawn equally often.

    The first ``real`` images are real, the others generated.
    """
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.2)
    random = torch.Generator().manual_seed(seed)
    known = torch.from_numpy(labels)
    shares = torch.ones(len(known), dtype=torch.float64)
    shares[real:] = MADE_WEIGHT
    shares /= torch.zeros(classes, dtype=torch.float64).index_add_(0, known, shares)[known]
    network.train()
    for _ in range(steps):
        picked = torch.multinomial(shares, BATCH, replacement=True, generator=random)
        view = torch.randint(len(views), (BATCH,), generator=random)
        logits = network(views[view, picked].to(device) - 0.5)
        value = torch.nn.functional.cross_entropy(logits, known[picked].to(device))
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
