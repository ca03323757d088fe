"""The ``privacy`` section: whether training is private, and its budget.

>>> off = Privacy(mechanism="none", epsilon=3.0, delta="auto", unit="image", group_cap=8, route="auto", clip=0.1,
...               batch_size="auto", steps="auto", bandwidth="auto", micro_batch_mib=512, accept_unaccounted=[],
...               fixed_seed=None)
>>> off.is_private
False
>>> resolved(off, units=60000)
Resolved(delta=1.6666666666666667e-06, batch_size=4000, steps=375)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hallmark.contracts import require
from hallmark.contracts.errors import Fault, InputError
from hallmark.privacy.accounting import LEAST_DELTA

NONE, DP_SGD, DP_FTRL, DP_FTRL_TREE = "none", "dp_sgd", "dp_ftrl", "dp_ftrl_tree"
MECHANISMS = (NONE, DP_SGD, DP_FTRL, DP_FTRL_TREE)
UNITS = ("image", "group")
ROUTES = ("auto", "scattering", "backbone", "network")

#: what reads private data outside the accounting, and is refused unless ``accept_unaccounted`` names it
UNACCOUNTED: dict[str, str] = {
    "relative_thresholds": "quality thresholds relative to the set's median",
    "exact_gates": "gates on exact counts: the share of quarantined files, images per class",
    "stratified_split": "splits that follow exact counts, or clusters of near copies",
    "moved_leaks": "images moved between splits because of their copies",
    "crossval_headline": "a cross-validated headline",
    "fitted_cleaning": "outliers, label errors or copies detected by methods fitted on the data",
    "exact_class_counts": "class weights, focal loss or logit adjustment from exact counts",
    "resampling": "oversampling, undersampling and weighted samplers",
    "model_from_pixels": "a model chosen from the pixels",
    "undeclared_backbone": "a backbone that is not declared public",
    "mixed_images": "mixup and cutmix across images",
    "fitted_audit": "an audit of augmentation by a judge fitted on the data",
    "private_generator": "a generator without differential privacy",
    "exact_normalisation": "normalisation by exact statistics, batch norm",
    "early_stopping": "early stopping, a kept best epoch or a plateau schedule on private validation images",
    "searched_settings": "a learning rate or batch size searched on the data",
    "tuning": "tuning, ablation and cross-validation that are not composed",
    "fitted_calibration": "calibration, thresholds or abstention fitted on private validation images",
    "published_images": "training images, embeddings or counts in the package, card or registry",
    "published_curves": "losses, gradient norms, images or counts in trackers that others read",
    "comparison": "a comparison with a model trained without privacy on the same data",
}

# of the one setting measured: MNIST, scattering features, linear head; batches of 4096 of 60000, 25 epochs
_BATCHES, _EPOCHS = 15, 25


@dataclass(frozen=True, kw_only=True)
class Privacy:
    """The ``privacy`` section. ``delta`` auto: min(1e-5, 1 / (10 units)); ``clip``: norm of a unit's gradient.

    ``batch_size``: expected units a step, auto: a fifteenth of them; ``steps`` auto: 25 epochs; ``bandwidth``: of
    dp_ftrl, auto: the one with the least expected error. ``fixed_seed`` makes the noise reproducible, for tests alone:
    the model is then stamped not private.
    """

    mechanism: str
    epsilon: float
    delta: float | Literal["auto"]
    unit: str
    group_cap: int
    route: str
    clip: float
    batch_size: int | Literal["auto"]
    steps: int | Literal["auto"]
    bandwidth: int | Literal["auto"]
    micro_batch_mib: int
    accept_unaccounted: list[str]
    fixed_seed: int | None

    def __post_init__(self) -> None:
        require.one_of(MECHANISMS, mechanism=self.mechanism)
        require.in_range(0.01, 50, epsilon=self.epsilon)
        require.in_range(LEAST_DELTA, 0.01, delta=self.delta)
        require.one_of(UNITS, unit=self.unit)
        require.at_least(1, group_cap=self.group_cap)
        require.one_of(ROUTES, route=self.route)
        require.positive(clip=self.clip)
        require.at_least(1, batch_size=self.batch_size, steps=self.steps, bandwidth=self.bandwidth)
        require.at_least(1, micro_batch_mib=self.micro_batch_mib)
        require.one_of(UNACCOUNTED, accept_unaccounted=self.accept_unaccounted)
        require.at_least(0, fixed_seed=self.fixed_seed)
        if self.bandwidth != "auto" and self.mechanism not in (NONE, DP_FTRL):
            message = f"bandwidth is {self.bandwidth}, but the mechanism {self.mechanism} has none"
            require.refuse([Fault(message, "set it to auto, or choose dp_ftrl", "bandwidth")])

    @property
    def is_private(self) -> bool:
        """Whether training is to be differentially private."""
        return self.mechanism != NONE

    def accepts(self, name: str) -> bool:
        """Whether an unaccounted use of the data, a key of :data:`UNACCOUNTED`, is accepted."""
        assert name in UNACCOUNTED, name
        return name in self.accept_unaccounted


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """The ``auto`` values for a number of units."""

    delta: float
    batch_size: int
    steps: int


def resolved(privacy: Privacy, *, units: int) -> Resolved:
    """The values for so many units, which are public. Raises InputError if one does not suit their number."""
    assert units >= 1, units
    delta = min(1e-5, 1 / (10 * units)) if privacy.delta == "auto" else privacy.delta
    if delta > 1 / units:
        message = f"delta is {delta:g}, but publishing one of the {units} units in full would satisfy it"
        raise InputError.of([Fault(message, f"give at most {1 / (10 * units):.1g}, or auto", "delta")])
    batch_size = max(1, units // _BATCHES) if privacy.batch_size == "auto" else privacy.batch_size
    if batch_size > units:
        message = f"batch_size is {batch_size}, but there are {units} units"
        raise InputError.of([Fault(message, "give at most that, or auto", "batch_size")])
    steps = max(1, _EPOCHS * units // batch_size) if privacy.steps == "auto" else privacy.steps
    return Resolved(delta=delta, batch_size=batch_size, steps=steps)
