"""Gate (d): is a model better for having seen the images?

A small convolutional network is trained with and without them, several times, each pair from one seed; both see each
class equally often and each image through the audited augmentation policy, so that what is measured is what the images
add to balancing and augmenting. Judged on validation images: balanced accuracy, and recall of the classes meant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from einops import rearrange

from hallmark.contracts.seeds import derive
from hallmark.learning import devices
from hallmark.models.cnn import cnn
from hallmark.synthesis.gate import Gate, rounded
from hallmark.synthesis.progress import bar
from hallmark.synthesis.training import machine_for

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
    machine = machine_for(*asked_of.shape[2:])
    done: list[Trial] = []
    with devices.settled(machine, deterministic=True), bar(2 * pairs, "utility") as advance:
        for pair in range(pairs):
            of = derive(seed, "synthesize", "utility", pair)
            recalls = []
            for images, numbers in ((views_real, labels), (both, both_labels)):
                network = _trained(
                    images, numbers, real=len(labels), classes=classes, steps=steps, seed=of, device=machine.device
                )
                recalls.append(_recalls(network, asked_of, truth, classes=classes, device=machine.device))
                advance(2 * pair + len(recalls))
            done.append(Trial(without=recalls[0], with_them=recalls[1]))
    return done


def gate(
    done: Sequence[Trial], *, meant: Sequence[int], names: Sequence[str], max_loss: float, min_gain: float
) -> Gate:
    """Refuses where balanced accuracy surely or on average falls, or the classes meant gain nothing.

    The interval is Student's t over the pairs. ``max_loss`` is how far the mean difference of balanced accuracy may be
    below 0; ``min_gain`` is how much recall the classes meant have to gain on average.
    """
    without, with_them = (np.stack([getattr(trial, arm) for trial in done]) for arm in ("without", "with_them"))
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


def _trained(
    views: Tensor, labels: Labels, *, real: int, classes: int, steps: int, seed: int, device: torch.device
) -> nn.Module:
    """A network trained on views [views, n, channels, height, width], each class drawn equally often.

    The first ``real`` images are real, the others generated.
    """
    channels, height, width = views.shape[2:]
    devices.reseed(device, derive(seed, "weights"))
    network = cnn(classes=classes, height=height, width=width, channels=channels, units=UNITS, depth=2).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.2)
    random = torch.Generator().manual_seed(derive(seed, "draws"))
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
    return network.eval()


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
    """A 95 % interval of the mean, by Student's t."""
    from scipy.stats import t

    half = float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return float(values.mean()) - half, float(values.mean()) + half
