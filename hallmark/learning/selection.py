"""Which of a training's weights are kept, where the validation images tell them apart, and where they do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from hallmark.learning.train_step import TrainStep
    from hallmark.learning.validation import Validation

SURE = 2.0  # standard errors that the best epoch must be better by than the last,
LIKELY = 1.0  # and the fine-tuned network than the fitted head


def is_better(
    one: Mapping[str, Tensor], other: Mapping[str, Tensor], *, by: float, train_step: TrainStep, validation: Validation
) -> bool:
    """Whether the weights ``one`` beat ``other`` on the validation images by more than ``by`` standard errors.

    The error is that of the difference of their objectives, which of the same images is smaller than that of either.
    """
    judged = []
    for state in (one, other):
        with train_step.holding(state) as network:
            judged.append(validation.judge(network, train_step.device, train_step.fabric, train_step.replicas))
    first, second = judged
    return first.objective - second.objective > by * validation.difference_error(first, second)
