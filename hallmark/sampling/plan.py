"""The sampling plan: one row per training image, and the parameters of the loss.

``weight`` is an image's whole loss weight: clean's weight times its class's weight. ``class_weights`` gives the latter
per class for images without a row here (synthetic ones); multiplying both would count the class twice.
``class_priors`` are the class shares of an epoch, the priors that logit adjustment needs.

An image with a doubted label is never repeated, drawn or weighted more than an image of the largest class. Rare classes
have few images: a wrong label among them, repeated until the class is as large as the others, would teach the error as
strongly as the class.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hallmark.contracts.tables import PLAN, conform, read_table, write_table
from hallmark.sampling import strategies

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Plan:
    """``table`` has the columns of :data:`hallmark.contracts.tables.PLAN`, sorted by path."""

    table: pd.DataFrame
    strategy: str  # the one applied, never "auto"
    reason: str
    sampler: str  # sequential, weighted
    loss: str  # cross_entropy, focal, logit_adjusted
    class_weights: dict[str, float]  # label to loss weight
    class_priors: dict[str, float]  # label to share of an epoch, sums to 1
    focal_gamma: float  # for the loss focal
    adjustment_tau: float  # for the loss logit_adjusted

    def settings(self) -> dict[str, Any]:
        """The content of plan.json: everything but the table."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "table"}

    def write(self, folder: Path) -> None:
        """Writes plan.parquet and plan.json; equal plans give equal bytes."""
        write_table(self.table, PLAN, folder / "plan.parquet")
        text = json.dumps(self.settings(), indent=2, sort_keys=True, ensure_ascii=False)
        (folder / "plan.json").write_text(text + "\n", encoding="utf-8")


def read(folder: Path) -> Plan:
    """The plan that :meth:`Plan.write` wrote into data/balance/."""
    settings = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    return Plan(table=read_table(folder / "plan.parquet", PLAN), **settings)


def rows(planned: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Rows of a plan for ``images`` (``path label``), in their order, of which ``planned`` holds only some.

    The others take the mean weight, repeats and probability of their class; those of a class without a row in
    ``planned`` are left out. The probabilities sum to 1.
    """
    values = ["repeats", "weight", "probability"]
    table = images[["path", "label"]].merge(planned[["path", *values]], on="path", how="left", validate="one_to_one")
    means = planned.assign(label=planned["label"].astype(str)).groupby("label")[values].mean()
    for name in values:
        table[name] = table[name].astype("float64").fillna(table["label"].astype(str).map(means[name]))
    # a class without a row in the plan: train has no image of it
    table = table.dropna().assign(repeats=lambda rows: rows["repeats"].round().clip(lower=1).astype("int32"))
    table["probability"] /= table["probability"].sum()
    return table.reset_index(drop=True)


def make(
    images: pd.DataFrame,
    *,
    strategy: str,
    scheme: str,
    beta: float,
    max_repeats: int,
    min_images: int,
    repeat_threshold: float | None,
    sampler_power: float,
    adjustment_tau: float,
    focal_gamma: float,
    auto_mild: float,
    auto_severe: float,
    seed: int,
    doubted: AbstractSet[str] = frozenset(),
) -> Plan:
    """A plan for training images: columns ``path``, ``label``, ``weight`` (clean's loss weight), at least one row.

    ``doubted`` holds the paths of images whose label may be wrong.

    Raises AssertionError for an unknown strategy or no images: params and the stage reject both before.
    """
    assert len(images) > 0, "no training images to plan for"
    images = images.sort_values("path", kind="stable", ignore_index=True)
    labels, paths = images["label"].astype(str).tolist(), images["path"].astype(str).tolist()
    doubt = images["path"].isin(doubted).to_numpy(dtype=bool)
    counts = dict(sorted(Counter(labels).items()))
    reason = "chosen by balance.strategy"
    if strategy == "auto":
        strategy, reason = strategies.decide(counts, mild=auto_mild, severe=auto_severe)

    repeats = np.ones(len(images), dtype=np.int32)
    weights = dict.fromkeys(counts, 1.0)
    sampler, loss, probability = "sequential", "cross_entropy", None
    match strategy:
        case "none":
            pass
        case "class_weights":
            weights = strategies.class_weights(counts, scheme=scheme, beta=beta)
        case "oversample":
            targets = strategies.oversampled(counts, max_repeats=max_repeats)
            repeats = strategies.repeats_to(labels, paths, targets, seed=seed, once=doubt)
        case "undersample":
            repeats = strategies.repeats_to(
                labels, paths, strategies.undersampled(counts, min_images=min_images), seed=seed
            )
        case "weighted_sampler":
            sampler = "weighted"
            probability = strategies.probabilities(labels, counts, power=sampler_power, doubt=doubt)
        case "repeat_factor":
            factors = strategies.repeat_factors(counts, threshold=repeat_threshold, max_repeats=max_repeats)
            targets = {label: round(factors[label] * count) for label, count in counts.items()}
            repeats = strategies.repeats_to(labels, paths, targets, seed=seed, once=doubt)
        case "logit_adjustment":
            loss = "logit_adjusted"
        case "focal":
            loss = "focal"
        case _:
            raise AssertionError(f"unknown strategy {strategy!r}")
    if probability is None:
        probability = repeats / repeats.sum()

    by_class = np.array([weights[label] for label in labels])
    by_class[doubt] = np.minimum(by_class[doubt], min(weights.values()))
    table = conform(
        pd.DataFrame(
            {
                "path": paths,
                "label": labels,
                "repeats": repeats,
                "weight": images["weight"].to_numpy(dtype=np.float64) * by_class,
                "probability": probability,
            }
        ),
        PLAN,
    )
    priors = table.groupby("label")["probability"].sum()
    return Plan(
        table=table,
        strategy=strategy,
        reason=reason,
        sampler=sampler,
        loss=loss,
        class_weights=weights,
        class_priors={label: float(priors[label]) for label in counts},
        focal_gamma=focal_gamma,
        adjustment_tau=adjustment_tau,
    )
