"""Optimisers, schedules, losses, mixing, averaging."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from hallmark.contracts.errors import InputError
from hallmark.learning import losses, mixing, optimizers, schedules
from hallmark.learning.ema import Ema
from hallmark.learning.recipe import DEFAULTS, DRAWN, SCHEDULES, UNDER, Recipe, resolve
from hallmark.models.build import build
from tests.learning.training import RECIPE


def network() -> nn.Module:
    return build("cnn", classes=3, height=8, width=8, channels=1, mean=[0.5], std=[0.5], seed=0, units=8, depth=2)


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(24, 1, 8, 8, generator=generator), torch.arange(24) % 3


@pytest.mark.parametrize("name", list(DEFAULTS))
def test_every_optimizer_learns_a_batch_by_heart(name: str) -> None:
    model, (images, labels) = network(), batch()
    resolved = resolve(replace(RECIPE, optimizer=name), images=1000, network="cnn")
    made = optimizers.build(name, model, lr=resolved.lr, momentum=0.9, weight_decay=0.0, fused=True)
    for _ in range(60):
        optimizers.set_rates(made, lr=resolved.lr, momentum=0.9)
        for optimizer in made:
            optimizer.zero_grad()
        torch.autograd.backward(functional.cross_entropy(model(images), labels))
        for optimizer in made:
            optimizer.step()
    assert float(functional.cross_entropy(model(images), labels).detach()) < 0.2


@pytest.mark.parametrize("name", list(DEFAULTS))
def test_each_parameter_is_given_once_and_only_matrices_decay(name: str) -> None:
    model = network()
    made = optimizers.build(name, model, lr=0.1, momentum=0.9, weight_decay=0.5, fused=False)
    given = [(p, group["weight_decay"]) for each in made for group in each.param_groups for p in group["params"]]
    assert sorted(id(p) for p, _ in given) == sorted(id(p) for p in model.parameters())
    assert {decay for p, decay in given if p.ndim == 1} == {0.0}
    assert {decay for p, decay in given if p.ndim > 1} == {0.5}


def test_rates_reach_every_group_and_muons_companion_is_slower() -> None:
    made = optimizers.build("muon", network(), lr=1.0, momentum=0.9, weight_decay=0.1, fused=False)
    optimizers.set_rates(made, lr=0.5, momentum=0.8)
    assert {group["lr"] for group in made[0].param_groups} == {0.5}
    assert {group["lr"] for group in made[1].param_groups} == {0.05}
    assert made[0].param_groups[0]["momentum"] == 0.8
    assert made[1].param_groups[0]["betas"] == (0.8, 0.999)


def test_orthogonalised_pulls_singular_values_near_one() -> None:
    matrix = torch.randn(20, 7, generator=torch.Generator().manual_seed(0)) * 50
    singular = torch.linalg.svdvals(optimizers.orthogonalised(matrix))
    assert singular.min() > 0.5
    assert singular.max() < 1.4


@pytest.mark.parametrize("name", [name for name in SCHEDULES if name != "auto"])
def test_schedules_stay_between_nothing_and_their_peak(name: str) -> None:
    factors = [schedules.factor(name, step, total=100, warmup=0.1) for step in range(100)]
    assert max(factors) == pytest.approx(1.0)
    assert min(factors) > 0
    if name != "warm_restart":
        assert factors[:10] == sorted(factors[:10])
    if name in ("cosine", "one_cycle", "step"):
        assert factors[10:] == sorted(factors[10:], reverse=True)
        assert factors[-1] < 0.02


def test_a_warm_restart_is_a_short_cycle_and_a_long_one() -> None:
    def rates(name: str, total: int) -> list[float]:
        return [schedules.factor(name, step, total=total, warmup=0.2) for step in range(total)]

    found = rates("warm_restart", 360)
    assert found[30:] == rates("one_cycle", 330)
    assert found[:3] == pytest.approx([1 / 3, 2 / 3, 1.0])
    falls = {round(before - after, 9) for before, after in itertools.pairwise(found[2:30])}
    assert len(falls) == 1
    assert 0 < found[29] < 0.04
    momenta = [schedules.momentum("warm_restart", step, total=360, warmup=0.2, base=0.9) for step in range(360)]
    assert min(momenta[:30]) == min(momenta[30:]) == pytest.approx(0.8)


def test_one_cycle_moves_momentum_against_the_rate() -> None:
    momenta = [schedules.momentum("one_cycle", step, total=50, warmup=0.2, base=0.9) for step in range(50)]
    assert min(momenta) == momenta[9] == pytest.approx(0.8)
    assert momenta[-1] == pytest.approx(0.9, abs=1e-3)
    assert schedules.momentum("cosine", 3, total=50, warmup=0.2, base=0.9) == 0.9


def test_plateau_waits_then_lowers() -> None:
    plateau = schedules.Plateau(wait=2)
    for value in (0.5, 0.6, 0.6):
        plateau.update(value)
    assert plateau.factor == 1.0
    plateau.update(0.55)
    assert plateau.factor == pytest.approx(1 / 3)


def loss(name: str, *, smoothing: float = 0.0, gamma: float = 2.0, tau: float = 1.0) -> losses.Loss:
    return losses.build(
        name, priors=[0.7, 0.2, 0.1], label_smoothing=smoothing, focal_gamma=gamma, adjustment_tau=tau
    )  # fmt: skip


def test_losses_agree_with_their_definitions() -> None:
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    targets, ones = functional.one_hot(labels, 3).float(), torch.ones(6)
    reference = functional.cross_entropy(logits, labels)
    torch.testing.assert_close(loss("cross_entropy")(logits, targets, ones), reference)
    smoothed = functional.cross_entropy(logits, labels, label_smoothing=0.1)
    torch.testing.assert_close(loss("cross_entropy", smoothing=0.1)(logits, targets, ones), smoothed)
    torch.testing.assert_close(loss("focal", gamma=0.0)(logits, targets, ones), reference)
    p = logits.softmax(1)[torch.arange(6), labels]
    torch.testing.assert_close(loss("focal")(logits, targets, ones), (-((1 - p) ** 2) * p.log()).mean())
    shifted = functional.cross_entropy(logits + torch.tensor([0.7, 0.2, 0.1]).log(), labels)
    torch.testing.assert_close(loss("logit_adjusted")(logits, targets, ones), shifted)


def test_logits_are_adjusted_for_what_the_weights_leave() -> None:
    """Where class weights even the classes out, the best answer to images that tell nothing is even, adjusted once."""
    priors, even = [0.7, 0.2, 0.1], [1 / 0.7, 1 / 0.2, 1 / 0.1]
    made = losses.build(
        "logit_adjusted", priors=priors, weights=even, label_smoothing=0.0, focal_gamma=2.0, adjustment_tau=1.0
    )
    logits, targets = torch.randn(3, 3, generator=torch.Generator().manual_seed(0)), torch.eye(3)
    torch.testing.assert_close(
        made(logits, targets, torch.tensor(even)), loss("cross_entropy")(logits, targets, torch.tensor(even))
    )


@pytest.mark.parametrize("base", [0.0, 0.05, 0.1, 0.9])
@pytest.mark.parametrize("warmup", [0.01, 0.2])
def test_rmsprop_has_a_buffer_for_its_momentum(base: float, warmup: float) -> None:
    model = network()
    made = optimizers.build("rmsprop", model, lr=0.01, momentum=base, weight_decay=0.0, fused=False)
    for step in range(6):
        rate = schedules.momentum("one_cycle", step, total=6, warmup=warmup, base=base)
        optimizers.set_rates(made, lr=0.01, momentum=rate)
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        made[0].step()


def test_muon_without_a_matrix_is_adamw() -> None:
    (made,) = optimizers.build("muon", torch.nn.BatchNorm1d(3), lr=0.01, momentum=0.9, weight_decay=0.0, fused=False)
    assert isinstance(made, torch.optim.AdamW)


def test_weights_count_images() -> None:
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    targets = functional.one_hot(torch.tensor([0, 1, 2, 0]), 3).float()
    value = loss("cross_entropy")(logits, targets, torch.tensor([1.0, 0.0, 2.0, 0.0]))
    each = -(targets * logits.log_softmax(1)).sum(1)
    torch.testing.assert_close(value, (each[0] + 2 * each[2]) / 3)
    assert float(loss("cross_entropy")(logits, targets, torch.zeros(4))) == 0.0


def test_a_sure_image_has_a_gradient_under_any_focus() -> None:
    for gamma in (0.3, 1.0, 2.0):
        logits = torch.tensor([[30.0, 0.0, 0.0]], requires_grad=True)
        loss("focal", gamma=gamma)(logits, torch.tensor([[1.0, 0.0, 0.0]]), torch.ones(1)).backward()  # type: ignore[no-untyped-call]
        assert logits.grad is not None
        assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", ["cross_entropy", "focal", "logit_adjusted"])
@pytest.mark.parametrize("weights", [None, [1.0, 3.5, 7.0]], ids=["alike", "weighed"])
def test_guessing_is_the_least_loss_without_looking(name: str, weights: list[float] | None) -> None:
    priors = torch.tensor([0.7, 0.2, 0.1])
    made = losses.build(
        name, priors=priors.tolist(), weights=weights, label_smoothing=0.0, focal_gamma=2.0, adjustment_tau=1.0
    )
    weighed = priors if weights is None else priors * torch.tensor(weights)
    answers = torch.cartesian_prod(*[torch.linspace(-2.5, 2.5, 51)] * 2)
    tried = [float(made(torch.tensor([*answer, 0.0]).expand(3, 3), torch.eye(3), weighed)) for answer in answers]
    assert made.guessing <= min(tried)
    assert made.guessing == pytest.approx(min(tried), rel=0.01)
    if name == "cross_entropy" and weights is None:
        assert made.guessing == pytest.approx(float(-(priors * priors.log()).sum()))


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.4, 0.0), (0.0, 1.0), (0.4, 1.0)])
def test_mixing_blends_images_as_it_blends_targets(mixup: float, cutmix: float) -> None:
    """Constant images: an image's mean says how much of it is its own."""
    images = torch.arange(8.0).view(8, 1, 1, 1).expand(8, 1, 16, 16)
    targets = torch.eye(8)
    mixed, blended, weights = mixing.mix(images, targets, torch.ones(8), mixup=mixup, cutmix=cutmix, seed=3)
    assert not torch.equal(blended, targets)
    torch.testing.assert_close(weights, torch.ones(8))
    torch.testing.assert_close(blended.sum(1), torch.ones(8))
    torch.testing.assert_close(mixed.mean(dim=(1, 2, 3)), blended @ torch.arange(8.0))
    again, *_ = mixing.mix(images, targets, torch.ones(8), mixup=mixup, cutmix=cutmix, seed=3)
    assert torch.equal(mixed, again)


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.4, 0.0), (0.0, 1.0)])
def test_mixing_keeps_each_images_weight(mixup: float, cutmix: float) -> None:
    targets, weights = torch.eye(4), torch.tensor([9.0, 1.0, 0.5, 0.0])
    parts = torch.zeros(4)
    for seed in range(20):
        _, blended, each = mixing.mix(torch.rand(4, 1, 8, 8), targets, weights, mixup=mixup, cutmix=cutmix, seed=seed)
        parts += (blended * each[:, None]).sum(dim=0) / 20
    torch.testing.assert_close(parts, weights)


def test_the_average_lags_and_counters_are_copied() -> None:
    model = nn.BatchNorm1d(2)
    average = Ema(model, 0.5)
    with torch.no_grad():
        model.load_state_dict(
            {**model.state_dict(), "weight": torch.full((2,), 3.0), "num_batches_tracked": torch.tensor(7)}
        )
    average.update(model, step=1000)
    assert average.state["weight"].tolist() == [2.0, 2.0]
    assert int(average.state["num_batches_tracked"]) == 7


def test_automatic_values_follow_the_data() -> None:
    auto = replace(RECIPE, schedule="auto")
    small, large = (resolve(auto, images=images, network="cnn") for images in (1000, 60_000))
    assert (small.batch_size, small.epochs) == (32, 40)
    assert (large.batch_size, large.epochs, large.schedule) == (128, 24, "warm_restart")  # its optimiser is adamw
    huge, photos = resolve(auto, images=10**6, network="cnn"), resolve(auto, images=60_000, network="resnet")
    assert (huge.epochs, photos.epochs, small.schedule) == (12, 12, "one_cycle")
    assert resolve(auto, images=60_000, network="cnn", weights=UNDER).schedule == "one_cycle"
    assert 0.9 < small.ema < large.ema < 1
    assert (small.plain_epochs, large.plain_epochs) == (0, 2)
    assert resolve(replace(auto, augment_after=0.25), images=60_000, network="cnn").plain_epochs == 6
    assert resolve(replace(auto, augment_after=0.0), images=60_000, network="cnn").plain_epochs == 0
    asked = resolve(replace(RECIPE, lr=0.5, ema=0.0, batch_size=7, max_epochs=3), images=1000, network="vit")
    assert (asked.lr, asked.ema, asked.batch_size, asked.epochs) == (0.5, 0.0, 7, 3)
    assert resolve(RECIPE, images=5, network="cnn").batch_size == 5


def test_the_automatic_optimizer_follows_images_and_network() -> None:
    auto = replace(RECIPE, optimizer="auto")
    chosen = {
        (images, network): resolve(auto, images=images, network=network).optimizer
        for images in (1000, 10_000)
        for network in ("cnn", "vit")
    }
    assert chosen == {
        (1000, "cnn"): "adamw", (1000, "vit"): "adamw", (10_000, "cnn"): "muon", (10_000, "vit"): "adamw"
    }  # fmt: skip
    assert (
        resolve(auto, images=10_000, network="cnn").lr
        == resolve(replace(RECIPE, optimizer="muon"), images=10_000, network="cnn").lr
    )
    assert resolve(RECIPE, images=10_000, network="cnn").optimizer == RECIPE.optimizer


def test_many_small_images_come_in_large_batches_at_a_higher_rate() -> None:
    auto = replace(RECIPE, optimizer="auto", batch_size="auto", lr="auto")

    def chosen(recipe: Recipe, images: int, network: str = "cnn", weights: str = DRAWN) -> tuple[int, float]:
        made = resolve(recipe, images=images, network=network, weights=weights)
        return made.batch_size, made.lr

    assert chosen(auto, 60_000) == (384, 0.06)
    assert chosen(auto, 10_000) == chosen(auto, 60_000, "resnet") == (128, 0.02)
    assert chosen(auto, 60_000, weights=UNDER)[0] == chosen(replace(auto, optimizer="sgd"), 60_000)[0] == 128
    assert chosen(replace(auto, batch_size=64), 60_000) == (64, 0.02)
    assert chosen(replace(auto, batch_size=64, accumulate=4), 60_000) == (64, 0.04)
    assert chosen(replace(auto, batch_size=4096), 60_000) == (4096, 0.06)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("lr", -1.0, "lr is -1.0"),
        ("lr", math.nan, "lr is nan"),
        ("lr", 1e-300, "lr is 1e-300, outside"),
        ("optimizer", "adamm", "optimizer is 'adamm'; did you mean 'adam"),
        ("schedule", "linear", "schedule is 'linear'"),
        ("batch_size", 0, "batch_size is 0"),
        ("max_epochs", -1, "max_epochs is -1"),
        ("patience", 2, "patience is 2: training would end before"),
        ("label_smoothing", 0.9, "label_smoothing is 0.9"),
        ("clip_value", 1.0, "clip_norm and clip_value are both set"),
    ],
)
def test_wrong_values_are_refused(name: str, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(RECIPE, **{"schedule": "plateau", name: value})


def test_numpy_is_left_alone() -> None:
    before = np.random.get_state()[1].copy()  # type: ignore[index]
    mixing.mix(torch.rand(4, 1, 2, 2), torch.eye(4), torch.ones(4), mixup=0.2, cutmix=0.2, seed=0)
    assert (np.random.get_state()[1] == before).all()  # type: ignore[index]
