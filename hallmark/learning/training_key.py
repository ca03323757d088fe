"""The key of a training: a digest of everything its weights depend on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hallmark.learning import checkpoints
from hallmark.pipeline import closure

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from hallmark.learning.devices import Machine
    from hallmark.learning.model_setup import ModelSetup

MODULES = ("hallmark.learning.training", "hallmark.learning.model_setup")  # the code that decides the weights


def of(values: Mapping[str, object], setup: ModelSetup, machine: Machine, files: Iterable[Path]) -> str:
    """The key, 32 hexadecimal digits; ``values`` are the params that change the weights, ``files`` the inputs read."""
    start = {"backbone": setup.description.get("backbone")}
    return checkpoints.key_of({**values, **start, **machine.facts()}, files, code=closure.digest_of(MODULES))
