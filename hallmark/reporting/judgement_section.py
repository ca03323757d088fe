"""The report section on the test set: metrics with intervals, slices, robustness and worst mistakes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hallmark.judgement.publication import SMALL_SUPPORT
from hallmark.reporting import charts, galleries, support, words
from hallmark.reporting.advice import is_share, objective_words

if TYPE_CHECKING:
    from hallmark.images.shards import Reader
    from hallmark.reporting.inputs import Inputs

FIGURES = {
    "accuracy": ("Accuracy", "share of test images classified correctly"),
    "balanced_accuracy": ("Balanced accuracy", "mean recall over the classes, so rare ones count as much"),
    "macro_f1": ("Macro F1", "mean over the classes of the harmonic mean of precision and recall"),
    "log_loss": ("Log loss", "negative log likelihood of the true label, in nats; lower is better"),
    "ece": ("Calibration error", "mean gap between confidence and accuracy; lower is better"),
}
MOST_MATRIX = 30
MOST_CLASSES = 60


def judgement_section(inputs: Inputs, reader: Reader, *, most: int, side: int) -> dict[str, Any]:
    """The context of templates/judgement.html."""
    report = inputs.reports["evaluate"]
    classes = list(report["per_class"])
    wrong = galleries.mistakes(
        inputs.files, inputs.predictions, report["probability_columns"], reader, most=most, side=side
    )
    return {
        "report": report,
        "figures": [_figure(name, *titles, report) for name, titles in FIGURES.items()],
        "per_class": _per_class(report),
        "n_classes": len(classes),
        "small": {"least": SMALL_SUPPORT, "classes": support.small_classes(report)},
        "matrix": _matrix(inputs, classes) if len(classes) <= MOST_MATRIX else None,
        "reliability": charts.reliability(inputs.calibration.to_dict("records")),
        "slices": _slices(report),
        "robustness": [
            {"name": name, **row, "bar": _bar(row["accuracy"])} for name, row in report["robustness"].items()
        ],
        "mistakes": wrong,
        "growth": _growth(report),
        "folds": _folds(report),
    }


def _growth(report: dict[str, Any]) -> dict[str, Any] | None:
    """The context of templates/growth.html: the learning curve; None if not measured."""
    curve = report["learning_curve"]
    if curve is None:
        return None
    whole = curve["all"]
    name = objective_words(report)
    return {
        **curve,
        "chart": charts.lines(
            whole["n"], {f"{name} of the linear baseline": whole["objective"]}, x_title="training images", y_title=name
        ),
        "doubling": _removed(whole["doubling"]),
        "sure": _sure(whole["doubling"]),
        "classes": [
            {
                "label": label,
                "n": row["n"][-1],
                "f1": row["f1"],
                "doubling": _removed(row["doubling"]),
                "sure": _sure(row["doubling"]),
            }
            for label, row in curve["classes"].items()
        ],
    }


def _removed(doubling: dict[str, Any]) -> str:
    low, high = doubling["ci95"]
    edges = "" if low is None else f" ({words.percent(low, 0)} to {words.percent(high, 0)})"
    return words.percent(doubling["value"], 0) + edges


def _sure(doubling: dict[str, Any]) -> bool:
    low = doubling["ci95"][0]
    return low is not None and low > 0


def _figure(name: str, title: str, meaning: str, report: dict[str, Any]) -> dict[str, Any]:
    estimate = report[name]
    high = estimate["ci95"][1]
    most = 1.0 if name not in ("log_loss", "ece") else max(high or 0.0, 0.1) * 1.25
    return {
        "title": title,
        "meaning": meaning,
        **estimate,
        "rough": support.is_rough(name, report),
        "without": report["without_flagged"][name],
        "bar": _bar(estimate, most),
    }


def _bar(estimate: dict[str, Any], most: float = 1.0) -> Any:
    return charts.interval(estimate["value"], *estimate["ci95"], least=0.0, most=most)


def _per_class(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The classes; of many, only the worst by F1."""
    rows = [
        {"label": label, **row, "bar": _bar(row["f1"]), "rough": support.is_small(row["support"])}
        for label, row in report["per_class"].items()
    ]
    if len(rows) > MOST_CLASSES:
        scored = [row for row in rows if row["f1"]["value"] is not None]
        rows = sorted(scored, key=lambda row: (row["f1"]["value"], row["label"]))[:MOST_CLASSES]
    return rows


def _matrix(inputs: Inputs, classes: list[str]) -> dict[str, Any]:
    counts = inputs.predictions.groupby(["label", "predicted"]).size()
    rows = []
    for actual in classes:
        cells = [int(counts.get((actual, predicted), 0)) for predicted in classes]
        total = sum(cells)
        rows.append(
            {
                "actual": actual,
                "cells": [
                    {"n": n, "share": round(n / total, 3) if total else 0.0, "right": predicted == actual}
                    for predicted, n in zip(classes, cells, strict=True)
                ],
            }
        )
    return {"classes": classes, "rows": rows}


def _slices(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "dimension": dimension,
            "parts": [
                {"name": name, **row, "bar": _bar(row["accuracy"]), "rough": support.is_small(row["n"])}
                for name, row in parts.items()
            ],
        }
        for dimension, parts in report["slices"].items()
    ]


def headline(inputs: Inputs) -> dict[str, Any]:
    """The model, the headline figure and the gate's decision.

    The figure is the objective, of the cross-validation if there is one. An objective that rests on too few images
    makes way for the accuracy, and is given beside it.
    """
    evaluate, register = inputs.reports["evaluate"], inputs.reports["register"]
    folds = evaluate["crossvalidated"]
    judged = evaluate if folds is None else {**folds, "n_test": folds["n"]}
    objective = judged["objective"]
    rough = support.is_rough(objective["metric"], judged, class_name=objective["class_name"])
    shown = judged["accuracy"] if rough else objective
    share = rough or is_share(evaluate)
    decisions = {
        "promoted": "is the champion",
        "challenger": "is a challenger: the champion stays",
        "refused": "was refused and not registered",
    }
    return {
        "decision": register["decision"],
        "decided": decisions[register["decision"]],
        "model_name": register["model_name"],
        "version": register["version"],
        "model_uri": register["model_uri"],
        "reasons": register["reasons"],
        "objective": objective_words(evaluate),
        "rough": _rough_words(judged) if rough else "",
        "rough_baselines": support.is_rough(objective["metric"], evaluate, class_name=objective["class_name"]),
        "folds": None
        if folds is None
        else {**folds, "on_test": _words(evaluate["objective"], share=is_share(evaluate))},
        "baselines": _baselines(evaluate),
        "metric": "accuracy" if rough else objective_words(evaluate),
        "value": (words.percent if share else words.number)(shown["value"]),
        "interval": [(words.percent if share else words.number)(edge) for edge in shown["ci95"]],
        "bar": _bar(shown) if share else "",
        "n_test": evaluate["n_test"],
        "warnings": evaluate["warnings"],
    }


def _words(estimate: dict[str, Any], *, share: bool) -> str:
    """``value (low to high)``."""
    show = words.percent if share else words.number
    low, high = estimate["ci95"]
    edges = "" if low is None or high is None else f" ({show(low)} to {show(high)})"
    return show(estimate["value"]) + edges


def _rough_words(judged: dict[str, Any]) -> str:
    """Why the objective is not the headline, and its value."""
    few = support.small_classes(judged)
    value = _words(judged["objective"], share=is_share(judged))
    listed = ", ".join(f"'{name}'" for name in few[:4]) + (f" and {len(few) - 4} more" if len(few) > 4 else "")
    images = "images" if "folds" in judged else "test images"
    because = f"fewer than {SMALL_SUPPORT} {images}" + (f" of {listed}" if few else "")
    return f"The objective, {objective_words(judged)}, is {value}. It is not the headline: {because}."


def _folds(report: dict[str, Any]) -> dict[str, Any] | None:
    """The context of templates/folds.html, None without a cross-validation."""
    folds = report["crossvalidated"]
    if folds is None:
        return None
    judged = {**folds, "n_test": folds["n"]}
    return {
        **folds,
        "why": report["scheme"]["why"],
        "figures": [
            {"title": title, **folds[name], "rough": support.is_rough(name, judged), "on_test": report[name]["value"]}
            for name, (title, _) in FIGURES.items()
        ],
        "classes": _per_class(folds),
    }


def _baselines(evaluate: dict[str, Any]) -> list[dict[str, Any]]:
    """The baselines beside the headline figure, and the model's gain over each."""
    share = is_share(evaluate)
    show = words.percent if share else words.number
    scale, digits, unit = (100, 1, " points") if share else (1, 3, "")
    rows = []
    for key, each in evaluate["baselines"].items():
        if each is None or each["difference"]["value"] is None:
            continue
        low, high = each["difference"]["ci95"]
        note = ""
        if key == "linear":
            note = f"Linear model: {each['features']}, fitted on {words.number(each['n_train'])} training images"
            if each["n_test"] < evaluate["n_test"]:
                note += f", judged on {words.number(each['n_test'])} of the test images"
            note += "."
        rows.append(
            {
                "name": f"always '{each['class_name']}'" if key == "largest_class" else "linear model",
                "value": show(each["objective"]["value"]),
                "difference": words.signed(scale * each["difference"]["value"], digits) + unit,
                "interval": words.span([scale * low, scale * high], digits),
                "verdict": "held" if low > 0 else "broken" if high < 0 else "",
                "note": note,
            }
        )
    return rows
