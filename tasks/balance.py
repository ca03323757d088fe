"""balance: plans how often each training image is shown, against class imbalance. No image is copied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hallmark.contracts import require
from hallmark.contracts.errors import GateRefused
from hallmark.sampling.names import SCHEMES, STRATEGIES

if TYPE_CHECKING:
    from pathlib import Path

DOUBTS = ("label_issue", "conflicting_duplicate")  # reasons of clean and split that doubt a label


@dataclass(frozen=True, kw_only=True)
class Params:
    """The section ``balance`` of params.yaml, and the shared seed."""

    seed: int
    strategy: str
    weight_scheme: str
    beta: float
    max_repeats: int
    min_images: int
    repeat_threshold: float | None
    sampler_power: float
    adjustment_tau: float
    focal_gamma: float
    auto_mild: float
    auto_severe: float

    def __post_init__(self) -> None:
        require.one_of(STRATEGIES, strategy=self.strategy)
        require.one_of(SCHEMES, weight_scheme=self.weight_scheme)
        require.in_range(0.0, 1.0, beta=self.beta, sampler_power=self.sampler_power)
        require.at_least(1, max_repeats=self.max_repeats, min_images=self.min_images)
        require.in_range(0.0, 1.0, repeat_threshold=self.repeat_threshold)
        require.positive(adjustment_tau=self.adjustment_tau)
        require.at_least(0.0, focal_gamma=self.focal_gamma)
        require.at_least(1.0, auto_mild=self.auto_mild)
        require.that(
            self.auto_severe >= self.auto_mild,  # nan is no bound either
            f"is {self.auto_severe:g}, below {{auto_mild}} ({self.auto_mild:g})",
            remedy="raise {auto_severe} or lower {auto_mild}",
            field="auto_severe",
            siblings=["auto_mild", "auto_severe"],
        )


@dataclass(frozen=True, kw_only=True)
class Report:
    """reports/balance.json."""

    strategy: str  # the one applied
    requested: str  # balance.strategy
    reason: str
    sampler: str
    loss: str
    n_images: int  # training images, the rows of the plan
    n_shown: int  # images an epoch shows
    imbalance_before: float  # images of the largest class per image of the smallest
    imbalance_after: float  # the same for an epoch; loss weights are in `classes`
    down_weighted: int  # images whose loss clean had lowered
    doubted: int  # images whose label clean doubts: not shown, drawn or weighed more than one of the largest class
    classes: list[dict[str, Any]]  # label, before, after, left_out, weight, share


def run(params: Params, *, split: Path, clean: Path, balance: Path) -> Report:
    """Writes plan.parquet and plan.json. Raises GateRefused if fewer than two classes are left."""
    from hallmark.contracts.reasons import having
    from hallmark.contracts.tables import DECISIONS, SPLIT, read_table
    from hallmark.sampling.plan import make

    table = read_table(split / "split.parquet", SPLIT)
    decisions = read_table(clean / "decisions.parquet", DECISIONS)
    in_train = set(table.loc[table["split"] == "train", "path"])
    images = decisions[decisions["path"].isin(in_train) & (decisions["fate"] != "removed")]
    if images["label"].nunique() < 2:
        names = ", ".join(sorted(images["label"].unique())) or "none"
        raise GateRefused(
            f"balance: {len(images)} training images of fewer than two classes are left ({names})",
            remedy="add images per class, or loosen the section clean of params.yaml",
            story={"training_images": len(images), "classes": sorted(images["label"].unique())},
        )
    undecided = images[images["fate"] != "relabelled"]
    doubted = set(undecided["path"][having(undecided["reasons"], DOUBTS)])
    plan = make(
        images[["path", "label", "weight"]],
        strategy=params.strategy,
        scheme=params.weight_scheme,
        beta=params.beta,
        max_repeats=params.max_repeats,
        min_images=params.min_images,
        repeat_threshold=params.repeat_threshold,
        sampler_power=params.sampler_power,
        adjustment_tau=params.adjustment_tau,
        focal_gamma=params.focal_gamma,
        auto_mild=params.auto_mild,
        auto_severe=params.auto_severe,
        seed=params.seed,
        doubted=doubted,
    )
    plan.write(balance)

    epoch_size = int(plan.table["repeats"].sum())
    before = plan.table.groupby("label").size()
    left_out = plan.table["repeats"].eq(0).groupby(plan.table["label"]).sum()
    classes = [
        {
            "label": label,
            "before": int(before[label]),
            "after": round(share * epoch_size),
            "left_out": int(left_out[label]),
            "weight": plan.class_weights[label],
            "share": share,
        }
        for label, share in plan.class_priors.items()
    ]
    shares = plan.class_priors.values()
    return Report(
        strategy=plan.strategy,
        requested=params.strategy,
        reason=plan.reason,
        sampler=plan.sampler,
        loss=plan.loss,
        n_images=len(plan.table),
        n_shown=epoch_size,
        imbalance_before=float(before.max() / before.min()),
        imbalance_after=max(shares) / min(shares),
        down_weighted=int((images["weight"] < 1.0).sum()),
        doubted=len(doubted),
        classes=classes,
    )
