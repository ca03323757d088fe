"""Validation: predictions and figures of a network in training on images it is not trained on."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hallmark.judgement.objective import Objective, difference_error, score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from hallmark.learning.replicas import Replicas

BATCH = 256


def on_device(images: Tensor, device: torch.device) -> Tensor:
    """uint8 [b, h, w, c] on the host to float32 [b, c, h, w] in [0, 1] on the device, channels last in memory."""
    return images.to(device, non_blocking=True).permute(0, 3, 1, 2).to(torch.float32).div_(255)


@dataclass(frozen=True, kw_only=True)
class Validated:
    """Mean negative log likelihood, accuracy, the objective (higher is better), log probabilities [n, classes]."""

    loss: float
    accuracy: float
    objective: float
    logs: NDArray[np.float64]

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """[n, classes]; the rows sum to 1."""
        return np.exp(self.logs)

    def mistakes(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows that are wrong for ``labels`` [n], the most confident mistakes first."""
        truth = self.probabilities[np.arange(len(labels)), labels]
        order = np.argsort(truth, kind="stable")
        wrong = self.probabilities.argmax(axis=1) != labels
        worst: NDArray[np.int64] = order[wrong[order]]
        return worst


@dataclass(frozen=True, kw_only=True, eq=False)
class Validation:
    """``images`` uint8 [n, h, w, c], at least one; ``labels`` int64 [n]."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    objective: Objective
    classes: Sequence[str]

    def judge(
        self, network: nn.Module, device: torch.device, fabric: Any = None, replicas: Replicas | None = None
    ) -> Validated:
        """The network's figures, in evaluation mode and ``fabric``'s precision, if given; its mode is restored.

        The threads of ``replicas`` do not change the result.
        """
        training = network.training
        network.eval()

        def one(start: int) -> Tensor:
            batch = torch.from_numpy(np.array(self.images[start : start + BATCH]))
            # what a block sets is its thread's own
            with torch.no_grad(), nullcontext() if fabric is None else fabric.autocast():
                logits: Tensor = network(on_device(batch, device))
            return logits.float().cpu()

        starts = range(0, len(self.images), BATCH)
        parts = [one(start) for start in starts] if replicas is None else replicas.map(one, starts)
        network.train(training)
        logs = torch.cat(parts).double().log_softmax(dim=1).numpy()
        if not np.isfinite(logs).all():
            # a diverged network gets the worst figures, so that it is never the best
            return Validated(loss=np.inf, accuracy=0.0, objective=-np.inf, logs=np.nan_to_num(logs))
        probabilities = np.exp(logs)
        return Validated(
            loss=float(-logs[np.arange(len(logs)), self.labels].mean()),
            accuracy=float((probabilities.argmax(axis=1) == self.labels).mean()),
            objective=score(self.objective, self.labels, probabilities, self.classes),
            logs=logs,
        )

    def difference_error(self, one: Validated, other: Validated) -> float:
        """The standard error of the difference of their objectives on these images."""
        return difference_error(self.objective, self.labels, one.probabilities, other.probabilities, self.classes)
