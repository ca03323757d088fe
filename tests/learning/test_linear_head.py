"""The head fitted to a backbone's features, and the training that starts with it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from hallmark.learning import linear_head
from hallmark.learning.checkpoints import Checkpoints
from hallmark.learning.loop import fit
from hallmark.learning.recipe import FITTED, UNDER, resolve
from hallmark.models import transfer
from hallmark.models.build import build
from tests.learning.training import RECIPE, Recorded, batches, plan, validation

if TYPE_CHECKING:
    from pathlib import Path

    from sklearn.linear_model import LogisticRegression

BUNCH = load_digits()
FEATURES, LABELS = BUNCH.data.astype(np.float32), BUNCH.target.astype(np.int64)


def fitted(count: int = 400, *, classes: int = 10, shift: Any = 0.0, scale: float = 1.0, **changes: Any) -> Any:
    rows = np.flatnonzero(LABELS < classes)[:count]
    arguments: dict[str, Any] = {"weights": np.ones(len(rows)), "seed": 0, "widths": [64], **changes}
    return linear_head.fit(FEATURES[rows] * scale, LABELS[rows], shift=np.full(classes, shift), **arguments)


def test_it_is_a_good_classifier_and_its_figures_are_those_of_the_network() -> None:
    head = fitted()
    logits = FEATURES @ head.weight.T + head.bias
    assert (logits[1000:].argmax(axis=1) == LABELS[1000:]).mean() > 0.88
    logs = torch.from_numpy(logits[:400]).log_softmax(dim=1).numpy()
    assert head.loss == pytest.approx(-logs[np.arange(400), LABELS[:400]].mean())
    assert head.accuracy == (logits[:400].argmax(axis=1) == LABELS[:400]).mean()


def test_two_classes_are_two_opposite_rows() -> None:
    head = fitted(200, classes=2)
    np.testing.assert_allclose(head.weight[0], -head.weight[1])
    logits = FEATURES[:200] @ head.weight.T + head.bias
    one = LABELS[:200] < 2
    assert (logits[one].argmax(axis=1) == LABELS[:200][one]).all()


def test_the_unit_of_the_features_does_not_matter() -> None:
    plain, scaled = fitted(), fitted(scale=1000.0)
    assert plain.strength == scaled.strength
    np.testing.assert_allclose(scaled.weight * 1000, plain.weight, rtol=1e-3, atol=1e-4)


def test_images_of_weight_zero_do_not_count() -> None:
    weights = np.ones(400)
    weights[200:] = 0
    spoilt = LABELS[:400].copy()
    spoilt[200:] = (spoilt[200:] + 1) % 10
    args: dict[str, Any] = {"widths": [64], "shift": np.zeros(10), "seed": 0}
    with_lies = linear_head.fit(FEATURES[:400], spoilt, weights, **args)
    believed = linear_head.fit(FEATURES[:400], spoilt, np.ones(400), **args)
    truth = LABELS[1000:]
    ignored, taught = (
        ((FEATURES[1000:] @ head.weight.T + head.bias).argmax(axis=1) == truth).mean() for head in (with_lies, believed)
    )
    assert ignored > 0.8
    assert taught < ignored - 0.2


def test_logit_adjustment_moves_the_bias_alone() -> None:
    shift = np.log(np.linspace(0.05, 0.15, 10))
    plain = fitted()
    moved = linear_head.fit(FEATURES[:400], LABELS[:400], np.ones(400), widths=[64], shift=shift, seed=0)
    np.testing.assert_array_equal(moved.weight, plain.weight)
    np.testing.assert_allclose(moved.bias, plain.bias - shift)


def test_the_strength_follows_the_loss_out_of_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[float] = []
    original = linear_head._fitted

    def counted(values: Any, labels: Any, weights: Any, strength: float) -> LogisticRegression:
        tried.append(strength)
        return original(values, labels, weights, strength)

    monkeypatch.setattr(linear_head, "_fitted", counted)
    head = fitted(60)
    assert set(tried) == set(linear_head.STRENGTHS)
    assert tried[-1] == head.strength
    tried.clear()
    # a class of one image cannot be divided
    rows = np.append(np.flatnonzero(LABELS < 2)[:40], np.flatnonzero(LABELS == 2)[:1])
    linear_head.fit(FEATURES[rows], LABELS[rows], np.ones(41), widths=[64], shift=np.zeros(3), seed=0)
    assert tried == [linear_head.STRENGTHS[len(linear_head.STRENGTHS) // 2]]


def start(root: Path) -> Any:
    """A cnn under a head fitted to its features of the training images of ``batches``, and the head."""
    network = build("cnn", classes=10, height=8, width=8, channels=1, mean=[0.3], std=[0.4], units=8, depth=2).eval()
    without = build("cnn", classes=10, height=8, width=8, channels=1, mean=[0.3], std=[0.4], units=8, depth=2).eval()
    transfer.without_head(without)
    pixels = torch.from_numpy(np.array(batches(root).pixels)).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        features = without(pixels).numpy()
    head = linear_head.fit(features, LABELS[:96], np.ones(96), widths=[16], shift=np.zeros(10), seed=0)
    head.onto(network)
    return network, head


def run(root: Path, recipe: Any, *, network: Any, head: Any) -> Any:
    return fit(
        network,
        replace(plan(batches(root), recipe), head=head),
        validation=validation(),
        checkpoints=Checkpoints(root / "checkpoints", "key"),
        log=Recorded(),
    )


def test_the_row_of_epoch_0_is_the_fitted_head(tmp_path: Path) -> None:
    network, head = start(tmp_path)
    result = run(tmp_path, replace(RECIPE, max_epochs=2, batch_size=16), network=network, head=head)
    assert result.start is not None
    assert [row["epoch"] for row in result.rows] == [0, 1, 2]
    assert result.start["train_loss"] == head.loss
    network, _ = start(tmp_path)
    judged = validation().judge(network, torch.device("cpu"))
    assert (result.start["objective"], result.start["val_loss"]) == (judged.objective, pytest.approx(judged.loss))


@pytest.mark.parametrize("keep", ["best", "auto"])
def test_fine_tuning_that_spoils_is_not_kept(tmp_path: Path, keep: str) -> None:
    network, head = start(tmp_path)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    spoiling = replace(RECIPE, max_epochs=2, batch_size=16, optimizer="sgd", lr=1.0, clip_norm=0.0, keep=keep)
    result = run(tmp_path, spoiling, network=network, head=head)
    assert result.best_epoch == 0
    assert result.best is result.start
    assert all(torch.equal(result.state[name], value) for name, value in before.items())


def test_the_last_weights_are_kept_where_that_is_asked_for(tmp_path: Path) -> None:
    network, head = start(tmp_path)
    spoiling = replace(RECIPE, max_epochs=2, batch_size=16, optimizer="sgd", lr=1.0, clip_norm=0.0, keep="last")
    assert run(tmp_path, spoiling, network=network, head=head).best_epoch == 2


def test_fine_tuning_that_helps_is_kept(tmp_path: Path) -> None:
    network, head = start(tmp_path)
    replace(head, weight=np.zeros_like(head.weight)).onto(network)  # one answer, which any training beats
    learning = replace(RECIPE, max_epochs=12, batch_size=16, lr=0.01)
    result = run(tmp_path, learning, network=network, head=head)
    assert result.best_epoch > 0
    assert result.start is not None
    assert result.best["objective"] > result.start["objective"]


def test_a_resumed_training_keeps_its_first_row(tmp_path: Path) -> None:
    network, head = start(tmp_path)
    recipe = replace(RECIPE, max_epochs=2, batch_size=16)
    whole = run(tmp_path, recipe, network=network, head=head)
    network, head = start(tmp_path)
    again = run(tmp_path, recipe, network=network, head=head)  # from the finished checkpoint
    assert again.start == whole.start
    assert all(torch.equal(again.state[name], value) for name, value in whole.state.items())


def test_automatic_values_under_a_fitted_head() -> None:
    drawn, under = (resolve(RECIPE, images=500, network="cnn", weights=each) for each in (UNDER, FITTED))
    assert (drawn.freeze, drawn.frozen_layers, drawn.freeze_norms) == (0.1, 0.0, False)
    assert under.lr == pytest.approx(drawn.lr)
    assert (under.freeze, under.frozen_layers, under.freeze_norms) == (0.0, 0.4, True)
    assert {resolve(RECIPE, images=n, network="cnn", weights=FITTED).epochs for n in (100, 1500, 40_000)} == {4}
    asked = replace(RECIPE, frozen_layers=1.0, freeze_norms=False)
    assert resolve(asked, images=500, network="cnn", weights=FITTED).frozen_layers == 1.0
    assert not resolve(asked, images=500, network="cnn", weights=FITTED).freeze_norms
