"""The bounds of the gates."""

from __future__ import annotations

from dataclasses import dataclass

from hallmark.contracts import require


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The requirements on generated images: the section ``synthesize.gates`` of params.yaml."""

    max_near_copies: float
    near_copy_quantile: float
    min_agreement: float
    min_precision: float
    min_coverage: float
    max_two_sample_auc: float
    utility_pairs: int
    utility_steps: int
    max_loss: float
    min_gain: float

    def __post_init__(self) -> None:
        shares = ("max_near_copies", "min_agreement", "min_precision", "min_coverage", "max_loss")
        require.in_range(0.0, 1.0, **{name: getattr(self, name) for name in shares})
        require.in_range(0.0, 0.5, near_copy_quantile=self.near_copy_quantile)
        require.in_range(0.5, 1.0, max_two_sample_auc=self.max_two_sample_auc)
        require.in_range(2, 100, utility_pairs=self.utility_pairs)
        require.at_least(10, utility_steps=self.utility_steps)
        require.in_range(-1.0, 1.0, min_gain=self.min_gain)
