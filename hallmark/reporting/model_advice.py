"""Advice on the model: baselines, more images, pretraining, mistakes, cross-validation and pipeline steps."""

from __future__ import annotations

import shlex
from statistics import median
from typing import TYPE_CHECKING

from hallmark.reporting import words
from hallmark.reporting.advice import LOSSES, Advice, Gain, is_share, objective_words
from hallmark.reporting.words import number, percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hallmark.reporting.advice import Json

LEAST_GAIN = 0.002  # of the objective; less is not worth the effort
PHOTOGRAPHS = ("JPEG", "MPO", "WEBP", "HEIF", "AVIF")
PHOTO_SIDE = 64  # pixels
WIDE = 0.05  # of the objective's interval
FEW_TESTED = 500
SHORT = 10  # epochs


def weak_model(reports: Mapping[str, Json]) -> Iterator[Advice]:
    evaluate, train = reports["evaluate"], reports["train"]
    baselines = evaluate["baselines"]
    constant, linear = baselines["largest_class"], baselines["linear"]
    beaten = [
        (name, each)
        for name, each in (
            (f"always answering '{constant['class_name']}'" if constant else "", constant),
            ("a linear model on simple features", linear),
        )
        if each is not None and each["difference"]["value"] is not None and each["difference"]["value"] <= 0
    ]
    if not beaten:
        return
    name, worst = min(beaten, key=lambda one: float(one[1]["difference"]["value"]))
    low, high = worst["difference"]["ci95"]
    short = train["epochs"] < SHORT
    yield Advice(
        kind="weak_model",
        text=f"The network {'is worse than' if high < 0 else 'is no better than'} {name}. "
        + (
            f"It was trained for {train['epochs']} epochs: train it longer."
            if short
            else "Tune the model and its training, or use a simpler model."
        ),
        command="hallmark run train.max_epochs=auto" if short else "hallmark tune",
        evidence=f"{objective_words(evaluate)} {number(evaluate['objective']['value'])} against "
        f"{number(worst['objective']['value'])} on {number(worst['n_test'])} test images; the difference is between "
        f"{words.signed(low, 3)} and {words.signed(high, 3)}.",
    )


def more_images(reports: Mapping[str, Json]) -> Iterator[Advice]:
    evaluate = reports["evaluate"]
    curve = evaluate["learning_curve"]
    images = {row["label"]: row["before"] for row in reports["balance"]["classes"]}
    measured = False
    if curve is not None:
        basis = (
            f"the linear baseline on {number(curve['n_val'])} validation images, if the network's errors shrink at the "
            "same rate"
        )
        objective = evaluate["objective"]["value"]
        best = 0.0 if evaluate["objective"]["metric"] in LOSSES else 1.0
        whole = _scaled(curve["all"]["doubling"], None if objective is None else best - objective)
        if whole is not None:
            gain = Gain(
                of=objective_words(evaluate), value=whole[0], ci95=whole[1:], basis=basis, share=is_share(evaluate)
            )
            yield Advice(
                kind="more_images",
                text=f"Double the training images of all classes (now {number(reports['train']['n_train'])}).",
                command="hallmark run",
                evidence=_evidence(curve["all"], "objective", objective_words(evaluate)),
                gain=gain,
            )
        for name, each in curve["classes"].items():
            value = evaluate["per_class"].get(name, {"f1": {"value": None}})["f1"]["value"]
            scaled = _scaled(each["doubling"], None if value is None else 1.0 - value, weight=1 / len(images))
            if scaled is None:
                continue
            measured = True
            yield Advice(
                kind="more_images_of_class",
                text=f"Double the training images of '{name}' (now {number(images[name])}).",
                command="hallmark run",
                evidence=_evidence(each, "f1", "F1"),
                gain=Gain(of=f"F1 of '{name}'", value=scaled[0], ci95=scaled[1:], basis=basis, share=True),
                weight=1 / len(images),
            )
    if not measured:
        yield from _weakest(evaluate, images)


def _weakest(evaluate: Json, images: Mapping[str, int]) -> Iterator[Advice]:
    """The class with the lowest F1 among those with fewer training images than the median."""
    rare = [name for name, n in images.items() if n < median(images.values())]
    scores = [
        (row["f1"]["value"], name)
        for name in rare
        if (row := evaluate["per_class"].get(name)) is not None and row["f1"]["value"] is not None
    ]
    others = [row["f1"]["value"] for row in evaluate["per_class"].values() if row["f1"]["value"] is not None]
    if not scores or min(scores)[0] >= sum(others) / len(others):
        return
    value, name = min(scores)
    yield Advice(
        kind="more_images_of_class",
        text=f"Collect more images of '{name}', the weakest of the classes with few images.",
        command="hallmark run",
        evidence=f"F1 {number(value)} on {number(evaluate['per_class'][name]['support'])} test images; "
        f"{number(images[name])} training images.",
    )


def _scaled(doubling: Json, error: float | None, *, weight: float = 1.0) -> tuple[float, float, float] | None:
    """The part of the network's ``error`` that doubling removes, with its interval; None if unsure or too small."""
    low, high = doubling["ci95"]
    if error is None or low is None or low <= 0 or error * doubling["value"] * weight < LEAST_GAIN:
        return None
    return error * doubling["value"], error * low, error * high


def _evidence(curve: Json, key: str, name: str) -> str:
    steps = ", ".join(f"{number(value)} with {number(n)}" for n, value in zip(curve["n"], curve[key], strict=True))
    low, high = curve["doubling"]["ci95"]
    return (
        f"{name} of the linear baseline by training images: {steps}. The next doubling removes "
        f"{percent(curve['doubling']['value'], 0)} of its errors ({percent(low, 0)} to {percent(high, 0)})."
    )


def pretrained(reports: Mapping[str, Json]) -> Iterator[Advice]:
    train, validate = reports["train"], reports["validate"]
    formats, sizes = validate["formats"], validate["sizes"]
    sides = [sizes.get(axis, {}).get("median") for axis in ("width", "height")]
    if train["transfer"] or train["channels"] != 3 or None in sides or min(sides) < PHOTO_SIDE:
        return
    if 2 * sum(formats.get(name, 0) for name in PHOTOGRAPHS) < sum(formats.values()):
        return
    yield Advice(
        kind="pretrained",
        text="Start from a network pretrained on photographs. It needs the extra hallmark-ml[pretrained], a download "
        "and, for speed, a GPU.",
        command="hallmark run model=pretrained",
        evidence=f"Your images look like photographs (in colour, {sides[0]:.0f} × {sides[1]:.0f} pixels, mostly "
        f"{max(formats, key=lambda name: (formats[name], name))}); this network was trained from scratch on "
        f"{number(train['n_train'])} of them.",
    )


def confusion(reports: Mapping[str, Json]) -> Iterator[Advice]:
    evaluate = reports["evaluate"]
    if not evaluate["confusions"]:
        return
    worst = evaluate["confusions"][0]
    mistakes = round((1 - evaluate["accuracy"]["value"]) * evaluate["n_test"])
    support = evaluate["per_class"][worst["actual"]]["support"]
    if worst["n"] < 3 or worst["n"] < 0.15 * mistakes:
        return
    yield Advice(
        kind="confusion",
        text=f"Look at the images of '{worst['actual']}' classified as '{worst['predicted']}' (worst mistakes, below). "
        "Add images that show the difference; if people cannot tell them apart either, merge the classes.",
        command="hallmark run",
        evidence=f"{number(worst['n'])} of {number(support)} test images of '{worst['actual']}', of "
        f"{number(mistakes)} mistakes in total.",
    )


def crossvalidation(reports: Mapping[str, Json]) -> Iterator[Advice]:
    evaluate, split = reports["evaluate"], reports["split"]
    if evaluate.get("crossvalidated"):
        return
    low, high = evaluate["objective"]["ci95"]
    if low is None or not is_share(evaluate) or high - low < WIDE or evaluate["n_clusters"] >= FEW_TESTED:
        return
    judged = split["counts"]["train"] + split["counts"]["val"]
    yield Advice(
        kind="crossvalidation",
        text="Cross-validate before you compare models: this test set is too small to tell close ones apart. This "
        "gives a more precise estimate, not a better model.",
        command="hallmark crossval",
        evidence=f"{number(evaluate['n_clusters'])} independent test images give an interval of "
        f"{words.fixed(100 * (high - low), 1)} points; the folds judge on the {number(judged)} others.",
    )


def steps(reports: Mapping[str, Json], ablation: Json, *, current: bool) -> Iterator[Advice]:
    if not ablation or not current:
        yield Advice(
            kind="ablation",
            text="Measure whether each step of the pipeline helps on your images.",
            command="hallmark ablate",
            evidence="No ablation has been run." if not ablation else "The last ablation used other images or plans.",
        )
        return
    seeds = len(ablation["seeds"])
    for finding in ablation["findings"]:
        gain = finding["gain"]
        hurts = finding["active"] and finding["verdict"] == "drop"
        missing = not finding["active"] and finding["verdict"] == "keep"
        if gain["value"] is None or not (hurts or missing):
            continue
        low, high = gain["ci95"]
        yield Advice(
            kind="step",
            text=f"{'Leave out' if hurts else 'Switch on'} the step {finding['name']}.",
            command=f"hallmark ablate {shlex.quote(finding['name'])} --seeds {seeds} --apply",
            evidence=f"{ablation['objective']} {number(finding['with_it'], 4)} with it and "
            f"{number(finding['without'], 4)} without, over {seeds} seeds.",
            gain=Gain(
                of=ablation["objective"],
                value=-gain["value"] if hurts else gain["value"],
                ci95=(-high, -low) if hurts else (low, high),
                basis=f"an ablation on {number(ablation['n_judged'])} validation images",
                share=is_share(reports["evaluate"]),
            ),
        )
