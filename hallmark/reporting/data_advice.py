"""Advice on the data: classes left out, labels, quarantined files, balance, stale decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hallmark.reporting import words
from hallmark.reporting.advice import Advice, metric_words
from hallmark.reporting.words import number, percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hallmark.reporting.advice import Json

SKEWED = 5.0  # images of the largest class per image of the smallest
NO_PICTURE = ("stray_file", "unlabelled", "class_too_small")  # files that need no look


def class_left_out(reports: Mapping[str, Json]) -> Iterator[Advice]:
    small = reports["validate"]["small_classes"]
    if small:
        named = ", ".join(f"{name} ({n})" for name, n in sorted(small.items())[:5])
        more = f" and {len(small) - 5} more" if len(small) > 5 else ""
        yield Advice(
            kind="class_left_out",
            text=f"Add images of the classes that were left out: {named}{more}.",
            command="hallmark run",
            evidence="In brackets: the usable images. validate.min_images_per_class is the least a class needs.",
        )


def review_labels(reports: Mapping[str, Json]) -> Iterator[Advice]:
    reasons = reports["clean"]["reasons"]
    n = {
        reason: sum(reasons.get(reason, {}).values()) for reason in ("label_issue", "conflicting_duplicate", "outlier")
    }
    if not any(n.values()):
        return
    parts = [
        f"{what}: {number(count)}"
        for count, what in (
            (n["label_issue"], "labels that look wrong"),
            (n["conflicting_duplicate"], "copies with different labels"),
            (n["outlier"], "images unlike the rest of their class"),
        )
        if count
    ]
    evaluate = reports["evaluate"]
    flagged = evaluate["n_test"] - evaluate["without_flagged"]["n"]
    metric = evaluate["objective"]["metric"]
    metric = metric if metric in evaluate["without_flagged"] else "accuracy"
    flagged_effect = ""
    if flagged:
        flagged_effect = (
            f" {number(flagged)} of the test images are flagged; without them {metric_words(metric)} is "
            f"{number(evaluate['without_flagged'][metric]['value'])} instead of {number(evaluate[metric]['value'])}."
        )
    yield Advice(
        kind="review_labels",
        text="Review the suspect images: your decisions override every detector.",
        command="hallmark review",
        evidence=", ".join(parts).capitalize() + "." + flagged_effect,
    )


def weak_slice(reports: Mapping[str, Json]) -> Iterator[Advice]:
    evaluate = reports["evaluate"]
    accuracy = evaluate["accuracy"]
    weak = [
        (row["accuracy"]["value"], dimension, part, row["n"])
        for dimension, parts in evaluate["slices"].items()
        if dimension != "flagged"
        for part, row in parts.items()
        if row["n"] >= 10 and row["accuracy"]["ci95"][1] is not None
        if row["accuracy"]["ci95"][1] < accuracy["ci95"][0]
    ]
    if weak:
        value, dimension, part, n = min(weak)
        yield Advice(
            kind="weak_slice",
            text=f"Add training images whose {dimension} is '{part}': the model is weaker there.",
            command="hallmark run",
            evidence=f"Accuracy {percent(value)} on {number(n)} test images, {percent(accuracy['value'])} on all.",
        )


def quarantined(reports: Mapping[str, Json]) -> Iterator[Advice]:
    counts = {
        reason: row["quarantined"]
        for reason, row in reports["validate"]["reasons"].items()
        if row["quarantined"] and reason not in NO_PICTURE
    }
    if counts:
        most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        listed = ", ".join(f"{words.REASONS[reason]}: {number(n)}" for reason, n in most[:4])
        yield Advice(
            kind="quarantined",
            text="Look at the quarantined files: those you can repair or export again become training data.",
            command="hallmark report --save-quarantined quarantined",
            evidence=f"{listed}{', and others' if len(most) > 4 else ''}.",
        )


def stale_decisions(reports: Mapping[str, Json]) -> Iterator[Advice]:
    stale = len(reports["clean"]["review"]["stale"])
    if stale:
        yield Advice(
            kind="stale_decisions",
            text="Decide again on images that have changed since your decision.",
            command="hallmark review",
            evidence=f"{number(stale)} decisions in data/review.csv no longer match their file and were ignored.",
        )


def imbalance(reports: Mapping[str, Json], ablation: Json, *, current: bool) -> Iterator[Advice]:
    balance = reports["balance"]
    if balance["imbalance_before"] < SKEWED:
        return
    skew = f"The largest class has {number(float(balance['imbalance_before']), 1)} times the images of the smallest"
    if balance["strategy"] == "none":
        yield Advice(
            kind="imbalance",
            text="Balance the classes: with equal weights, rare classes are learnt worst.",
            command="hallmark run balance.strategy=auto",
            evidence=f"{skew}, and balance.strategy is none.",
        )
    elif not (current and any(finding["name"] == "balance" for finding in ablation.get("findings", []))):
        yield Advice(
            kind="imbalance",
            text="Measure whether balancing helps: it gains on rare classes and may lose on common ones.",
            command="hallmark ablate balance",
            evidence=f"{skew}; they were balanced by {balance['strategy'].replace('_', ' ')}.",
        )
