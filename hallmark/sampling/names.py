"""Choices of the params section ``balance``, in a module that is cheap to import."""

from __future__ import annotations

STRATEGIES = (
    "auto",
    "none",
    "class_weights",
    "oversample",
    "undersample",
    "weighted_sampler",
    "repeat_factor",
    "logit_adjustment",
    "focal",
)
SCHEMES = ("inverse", "effective_number")
