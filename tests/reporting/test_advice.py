"""Advice: each rule with a set that triggers it and one that does not, and commands that exist."""

from __future__ import annotations

import copy
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

from flows.cli import app
from hallmark.pipeline.configuration import configure
from hallmark.reporting import advice
from hallmark.reporting.next_section import advise
from tasks import STAGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from hallmark.reporting.advice import Advice

ROOT = Path(__file__).parents[2]
Reports = dict[str, dict[str, Any]]


def estimate(value: float | None, half: float = 0.01) -> dict[str, Any]:
    return {"value": value, "ci95": [None, None] if value is None else [value - half, value + half]}


def baseline(value: float, difference: float, **more: Any) -> dict[str, Any]:
    return {"objective": estimate(value), "difference": estimate(difference), "n_test": 2000, "n_train": 500, **more}


def untroubled() -> Reports:
    """Reports to which no rule applies."""
    f1 = {name: {"support": 1000, "f1": estimate(0.98)} for name in ("cat", "dog")}
    flat = {"n": [125, 250, 500], "doubling": {"value": 0.01, "ci95": [-0.02, 0.03]}}
    return {
        "evaluate": {
            "n_test": 2000,
            "n_clusters": 2000,
            "objective": {"metric": "macro_f1", "class_name": "", **estimate(0.98)},
            "accuracy": estimate(0.98),
            "macro_f1": estimate(0.98),
            "per_class": f1,
            "slices": {"flagged": {"flagged": {"n": 40, "accuracy": estimate(0.3)}}},
            "confusions": [],
            "without_flagged": {"n": 2000, "accuracy": estimate(0.98), "macro_f1": estimate(0.98)},
            "baselines": {
                "largest_class": baseline(0.3, 0.68, class_name="cat"),
                "linear": baseline(0.8, 0.18, features="f"),
            },
            "learning_curve": {
                "n_val": 900,
                "n_train": 1000,
                "draws": 5,
                "all": {**flat, "objective": [0.7, 0.75, 0.8]},
                "classes": {name: {**flat, "f1": [0.7, 0.75, 0.8]} for name in ("cat", "dog")},
            },
        },
        "train": {"epochs": 30, "n_train": 1000, "channels": 1, "transfer": None},
        "clean": {"reasons": {}, "review": {"stale": []}},
        "validate": {
            "small_classes": {},
            "reasons": {"stray_file": {"quarantined": 3}, "blurry": {"quarantined": 0, "flagged": 3}},
            "formats": {"PNG": 3000},
            "sizes": {"width": {"median": 28.0}, "height": {"median": 28.0}},
        },
        "balance": {
            "strategy": "none",
            "imbalance_before": 1.0,
            "classes": [{"label": name, "before": 500} for name in ("cat", "dog")],
        },
        "split": {"counts": {"train": 1000, "val": 900, "test": 2000}},
    }


def ablated(*findings: dict[str, Any]) -> dict[str, Any]:
    return {"objective": "macro F1", "n_judged": 900, "seeds": [0, 1, 2], "findings": list(findings)}


def finding(name: str, gain: float | None, *, active: bool = True, verdict: str) -> dict[str, Any]:
    return {
        "name": name,
        "active": active,
        "with_it": 0.9,
        "without": 0.88,
        "gain": estimate(gain, 0.004),
        "verdict": verdict,
    }


def photographs(reports: Reports) -> None:
    reports["train"]["channels"] = 3
    reports["validate"] |= {
        "formats": {"JPEG": 900, "PNG": 100},
        "sizes": {"width": {"median": 640.0}, "height": {"median": 480.0}},
    }


def rare(reports: Reports, f1: float = 0.6) -> None:
    reports["evaluate"]["per_class"]["dog"]["f1"] = estimate(f1)
    reports["balance"]["classes"][1]["before"] = 60


def climbing(reports: Reports) -> None:
    reports["evaluate"]["learning_curve"]["all"]["doubling"] = {"value": 0.4, "ci95": [0.2, 0.6]}


def hungry(reports: Reports) -> None:
    rare(reports)
    reports["evaluate"]["learning_curve"]["classes"]["dog"]["doubling"] = {"value": 0.5, "ci95": [0.25, 0.75]}


def outdone(reports: Reports) -> None:
    reports["evaluate"]["baselines"]["linear"] = baseline(0.985, -0.005)


def undertrained(reports: Reports) -> None:
    outdone(reports)
    reports["train"]["epochs"] = 2


def doubted(reports: Reports) -> None:
    reports["clean"]["reasons"] = {"label_issue": {"removed": 7, "flagged": 2}}
    reports["evaluate"]["without_flagged"] = {"n": 1990, "accuracy": estimate(0.99), "macro_f1": estimate(0.99)}


def setting(stage: str, **values: Any) -> Callable[[Reports], None]:
    return lambda reports: reports[stage].update(values)


CASES: dict[str, tuple[str, Callable[[Reports], None], str]] = {
    "outdone": ("weak_model", outdone, "hallmark tune"),
    "undertrained": ("weak_model", undertrained, "hallmark run train.max_epochs=auto"),
    "left out": ("class_left_out", setting("validate", small_classes={"owl": 4}), "hallmark run"),
    "climbing": ("more_images", climbing, "hallmark run"),
    "hungry class": ("more_images_of_class", hungry, "hallmark run"),
    "rare class": ("more_images_of_class", rare, "hallmark run"),
    "labels": ("review_labels", doubted, "hallmark review"),
    "photographs": ("pretrained", photographs, "hallmark run model=pretrained"),
    "confusion": (
        "confusion",
        setting("evaluate", confusions=[{"actual": "cat", "predicted": "dog", "n": 30}]),
        "hallmark run",
    ),
    "slice": (
        "weak_slice",
        setting("evaluate", slices={"site": {"s": {"n": 100, "accuracy": estimate(0.8)}}}),
        "hallmark run",
    ),
    "small test": ("crossvalidation", setting("evaluate", n_clusters=90, objective=None), "hallmark crossval"),
    "quarantined": (
        "quarantined",
        setting("validate", reasons={"truncated": {"quarantined": 9}, "stray_file": {"quarantined": 1}}),
        "hallmark report --save-quarantined quarantined",
    ),
    "skewed": ("imbalance", setting("balance", imbalance_before=12.0), "hallmark run balance.strategy=auto"),
    "skewed, balanced": (
        "imbalance",
        setting("balance", imbalance_before=12.0, strategy="class_weights"),
        "hallmark ablate balance",
    ),
    "stale": ("stale_decisions", setting("clean", review={"stale": [{"path": "a"}]}, reasons={}), "hallmark review"),
}


def changed(case: str) -> Reports:
    reports = untroubled()
    CASES[case][1](reports)
    if reports["evaluate"]["objective"] is None:
        reports["evaluate"]["objective"] = {"metric": "macro_f1", "class_name": "", **estimate(0.9, 0.06)}
    return reports


def test_without_problems_there_is_no_advice() -> None:
    assert advise(untroubled(), ablated(finding("ema", 0.02, verdict="keep")), current=True) == []


@pytest.mark.parametrize("case", CASES)
def test_each_rule_applies_to_its_case(case: str) -> None:
    kind, _, command = CASES[case]
    (one,) = advise(changed(case), ablated(), current=True)
    assert (one.kind, one.command) == (kind, command)
    assert one.text
    assert one.evidence


def test_a_small_test_set_needs_no_cross_validation_beside_one() -> None:
    reports = changed("small test")
    reports["evaluate"]["crossvalidated"] = {"folds": 5}
    assert advise(reports, ablated(), current=True) == []


def test_every_kind_has_its_case() -> None:
    assert {kind for kind, _, _ in CASES.values()} | {"ablation", "step"} == set(advice.KINDS)


@pytest.mark.parametrize(
    ("row", "expected", "gain"),
    [
        (finding("clean", -0.02, verdict="drop"), "Leave out the step clean.", 0.02),
        (finding("mixup", 0.03, active=False, verdict="keep"), "Switch on the step mixup.", 0.03),
        (finding("ema", 0.02, verdict="keep"), None, None),
        (finding("mixup", -0.02, active=False, verdict="drop"), None, None),
        (finding("ema", 0.001, verdict="cannot tell"), None, None),
        (finding("ema", None, verdict="cannot tell"), None, None),
    ],
)
def test_an_ablation_s_verdicts_come_with_their_gain(
    row: dict[str, Any], expected: str | None, gain: float | None
) -> None:
    advised = advise(untroubled(), ablated(row), current=True)
    if expected is None:
        assert advised == []
        return
    (one,) = advised
    assert one.text == expected
    assert one.command == f"hallmark ablate {row['name']} --seeds 3 --apply"
    assert one.gain is not None
    assert one.gain.value == gain
    assert one.gain.ci95[0] < one.gain.value < one.gain.ci95[1]


def test_a_network_that_may_be_better_is_not_blocking() -> None:
    reports = untroubled()
    reports["evaluate"]["baselines"]["linear"] = {**baseline(0.97, 0.01), "difference": estimate(0.01, 0.03)}
    assert advise(reports, ablated(), current=True) == []
    reports["evaluate"]["baselines"] = {"largest_class": None, "linear": None}
    assert advise(reports, ablated(), current=True) == []


def test_an_outdated_ablation_is_repeated_and_gives_no_gain() -> None:
    for ablation in ({}, ablated(finding("clean", -0.02, verdict="drop"))):
        (one,) = advise(untroubled(), ablation, current=False)
        assert (one.kind, one.command, one.gain) == ("ablation", "hallmark ablate", None)


def test_a_gain_is_the_error_of_the_network_times_the_measured_reduction() -> None:
    (one,) = advise(changed("climbing"), ablated(), current=True)
    assert one.gain is not None
    assert one.gain.value == pytest.approx(0.02 * 0.4)
    assert one.gain.ci95 == pytest.approx((0.02 * 0.2, 0.02 * 0.6))
    assert "+0.8 points of macro F1" in one.gain.text()
    (one,) = advise(changed("hungry class"), ablated(), current=True)
    assert one.gain is not None
    assert one.gain.of == "F1 of 'dog'"
    assert one.gain.value == pytest.approx(0.4 * 0.5)


@pytest.mark.parametrize("doubling", [(0.4, -0.1, 0.8), (0.02, 0.01, 0.03), (None, None, None)])
def test_unsure_or_small_gains_are_not_claimed(doubling: tuple[Any, Any, Any]) -> None:
    reports = untroubled()
    reports["evaluate"]["learning_curve"]["all"]["doubling"] = {"value": doubling[0], "ci95": list(doubling[1:])}
    assert advise(reports, ablated(), current=True) == []
    reports["evaluate"]["learning_curve"] = None
    assert advise(reports, ablated(), current=True) == []


def test_only_measured_advice_carries_a_gain() -> None:
    for case, (kind, _, _) in CASES.items():
        (one,) = advise(changed(case), ablated(), current=True)
        assert (one.gain is not None) == (case in ("climbing", "hungry class")), (case, kind)


def test_losses_are_shown_in_their_own_units() -> None:
    reports = changed("climbing")
    reports["evaluate"]["objective"] = {"metric": "log_loss", "class_name": "", **estimate(-0.5)}
    (one,) = advise(reports, ablated(), current=True)
    assert one.gain is not None
    assert one.gain.value == pytest.approx(0.2)
    assert one.gain.text() == "+0.2000 of log loss (95 % interval +0.1000 to +0.3000)"


@pytest.mark.parametrize(
    "change",
    [
        {"channels": 1},
        {"transfer": {"source": "dinov2"}},
    ],
)
def test_drawings_and_pretrained_networks_need_no_backbone(change: dict[str, Any]) -> None:
    reports = untroubled()
    photographs(reports)
    reports["train"].update(change)
    assert advise(reports, ablated(), current=True) == []
    reports = untroubled()
    photographs(reports)
    reports["validate"]["formats"] = {"PNG": 900, "JPEG": 100}
    assert advise(reports, ablated(), current=True) == []


def test_blocking_advice_comes_first_then_the_largest_gain_then_the_rest() -> None:
    reports = untroubled()
    for case in ("outdone", "quarantined", "climbing", "hungry class", "labels", "photographs", "stale"):
        if case == "stale":
            reports["clean"]["review"] = {"stale": [{"path": "a"}]}
        else:
            CASES[case][1](reports)
    reports["validate"]["small_classes"] = {"owl": 4}
    advised = advise(reports, ablated(finding("clean", -0.05, verdict="drop")), current=True)
    assert [one.kind for one in advised] == [
        "weak_model",
        "class_left_out",
        "more_images_of_class",  # 20 points of one class of two
        "step",  # 5 points
        "more_images",  # 0.8 points
        "review_labels",
        "pretrained",
        "quarantined",
        "stale_decisions",
    ]


def everything() -> list[Advice]:
    advice_of_cases = [one for case in CASES for one in advise(changed(case), {}, current=False)]
    steps = ("clean", "balance", "augment", "synthesize", "ema", "mixup", "transfer")
    return [
        *advice_of_cases,
        *advise(untroubled(), ablated(*(finding(n, -0.02, verdict="drop") for n in steps)), current=True),
    ]


def test_every_command_exists_and_parses(tmp_path: Path) -> None:
    group: Any = typer.main.get_command(app)
    names = set()
    for one in everything():
        program, name, *arguments = shlex.split(one.command)
        assert program == "hallmark"
        command = group.commands[name]
        parsed = command.make_context(name, list(arguments), resilient_parsing=False)
        names.add(name)
        overrides = parsed.params.get("overrides")
        if overrides:
            workspace = tmp_path / "workspace"
            shutil.rmtree(workspace, ignore_errors=True)
            workspace.mkdir()
            shutil.copy(ROOT / "params.yaml", workspace)
            shutil.copytree(ROOT / "conf", workspace / "conf")
            (workspace / "data" / "demo").mkdir(parents=True)
            (workspace / "data" / "none").mkdir()
            configure(STAGES, workspace, list(overrides), package="tasks")
    assert names == {"run", "tune", "review", "crossval", "report", "ablate"}


def test_steps_that_are_named_can_be_ablated() -> None:
    import yaml

    steps = yaml.safe_load((ROOT / "conf" / "ablation" / "default.yaml").read_text())
    for one in everything():
        words = shlex.split(one.command)
        if words[1] == "ablate" and len(words) > 2:
            assert words[2] in steps


def test_advice_is_json_serialisable() -> None:
    import json
    from dataclasses import asdict

    reports = untroubled()
    before = copy.deepcopy(reports)
    json.dumps([asdict(one) for one in everything()], allow_nan=False)
    advise(reports, {}, current=False)
    assert reports == before
