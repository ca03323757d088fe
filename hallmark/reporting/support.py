"""Figures that rest on too few test images to be read as results: the page greys them and headlines none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hallmark.judgement.publication import SMALL_SUPPORT

if TYPE_CHECKING:
    from collections.abc import Mapping

OF_CLASSES = ("balanced_accuracy", "macro_f1", "auroc")  # means over the classes, in which each class counts as much


def is_small(images: int) -> bool:
    """Whether a figure of that many images is greyed."""
    return images < SMALL_SUPPORT


def small_classes(evaluate: Mapping[str, Any]) -> list[str]:
    """The classes with too few test images."""
    return [name for name, row in evaluate["per_class"].items() if is_small(row["support"])]


def is_rough(metric: str, evaluate: Mapping[str, Any], *, class_name: str = "") -> bool:
    """Whether a metric of the evaluation rests on too few images, or on a class with too few.

    >>> report = {"n_test": 39, "per_class": {"metal": {"support": 2}, "paper": {"support": 37}}}
    >>> is_rough("macro_f1", report), is_rough("accuracy", report), is_rough("recall", report, class_name="metal")
    (True, False, True)
    """
    if metric in OF_CLASSES:
        return bool(small_classes(evaluate))
    if metric == "recall":
        return is_small(evaluate["per_class"].get(class_name, {"support": 0})["support"])
    return is_small(evaluate["n_test"])
