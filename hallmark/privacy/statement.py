"""The privacy statement: what a run guarantees, to whom, and what it does not cover.

It follows from the plan alone, so it says what ran. reports/train.json, the model card and the registry show it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hallmark.privacy import accounting, contour
from hallmark.privacy.params import UNACCOUNTED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hallmark.privacy.plan import Plan

ADJACENCY = "zero-out: one unit's contribution is replaced with zero; the number of units is fixed and public"
NOT_PRIVATE = "NOT PRIVATE"
_NEVER_COVERED = (
    "floating point: the guarantee is proved for real numbers (Mironov 2012)",
    "side channels, such as the time that a step takes",
    "the test set, and all figures that are computed on it",
    "near copies of an image, which count as different units",
)
_PER_IMAGE = "persons or patients with several images: each image is protected by itself"
_PER_GROUP = "facts that several groups share"
_TUNING = "tuning: settings chosen by looking at results on these data"


def statement(
    plan: Plan,
    *,
    total_epsilon: float,
    runs: int,
    secret_key: bool,
    public_facts: Sequence[str] = (),
    accepted: Sequence[str] = (),
    tuning_charged: bool = False,
) -> dict[str, Any]:
    """Plain JSON values.

    ``total_epsilon`` composes all ``runs`` on these data so far, this one included; ``secret_key`` is False for a fixed
    seed; ``public_facts`` are what the user declares public besides the number of units; ``accepted`` names, from
    :data:`hallmark.privacy.params.UNACCOUNTED`, what the user let pass outside the accounting; both it and a fixed seed
    stamp the model.
    """
    reasons = [] if secret_key else ["the noise is from a fixed seed, which others may know"]
    reasons += [f"outside the accounting: {UNACCOUNTED[name]}" for name in accepted]
    not_covered = [*_NEVER_COVERED, _PER_IMAGE if plan.unit == "image" else _PER_GROUP]
    tuned = tuning_charged or "tuning" in accepted
    return {
        "private": not reasons,
        "stamp": NOT_PRIVATE if reasons else "",
        "stamp_reasons": reasons,
        "epsilon": plan.epsilon,
        "delta": plan.delta,
        "unit": plan.unit,
        "images_per_unit": plan.group_cap if plan.unit == "group" else 1,
        "units": plan.units,
        "adjacency": ADJACENCY,
        "mechanism": plan.mechanism,
        "bandwidth": plan.bandwidth,
        "noise_multiplier": plan.noise_multiplier,
        "clip_norm": plan.clip,
        "sampling": plan.sampling,
        "sampling_rate": plan.batch_size / plan.units,
        "sampling_rate_in_group": plan.rate[0] / plan.rate[1],
        "batch_size": plan.batch_size,
        "steps": plan.steps,
        "total_epsilon": total_epsilon,
        "runs": runs,
        "accountant": accounting.NAME,
        "second_accountant": {"name": contour.NAME, "epsilon": plan.second_epsilon},
        "charges": [{"name": each.name, "mechanism": repr(each.mechanism)} for each in plan.charges],
        "public": ["the number of units", *public_facts],
        "not_covered": not_covered if tuned else [*not_covered, _TUNING],
        "plan_digest": plan.digest,
    }
