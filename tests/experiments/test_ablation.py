"""From runs to verdicts: which side is which, what a step costs, and what is applied."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hallmark.contracts.errors import InputError
from hallmark.experiments import ablation, crossvalidation, folds, interventions
from hallmark.experiments.ablation import AS_IT_IS
from hallmark.experiments.trial import Outcome
from hallmark.pipeline.configuration import params_with
from hallmark.pipeline.params import read
from hallmark.reporting import experiment_pages
from tasks import STAGES

ROOT = Path(__file__).parents[2]
DOCUMENT = read(ROOT / "params.yaml")
SECTIONS = ("clean", "balance", "augment", "synthesize", "train", "model")


def check(values: Any) -> Any:
    return params_with(STAGES, DOCUMENT, values, package="tasks")


def default_steps() -> list[interventions.Intervention]:
    path = interventions.find("default", ROOT / "conf")
    return interventions.read(path, DOCUMENT.values, sections=SECTIONS, check=check)


def run(objective: float, *, worst: float = 0.5, seconds: float = 10.0) -> Outcome:
    return Outcome(
        objective=objective, recall={"a": worst, "b": 1.0, "c": None}, n_judged=20, n_train=80, epochs=3, best_epoch=2,
        seconds=seconds, latency_ms=None, metrics={"accuracy": objective, "log_loss": 0.1}, mlflow_run=None,
        resolved={},
    )  # fmt: skip


def test_what_is_on_follows_from_params_yaml() -> None:
    active = {each.name for each in default_steps() if each.active}
    assert {"clean", "balance", "augment", "synthesize", "ema", "label_smoothing", "schedule"} <= active
    assert not {"mixup", "cutmix", "dropout"} & active
    assert interventions.choose(default_steps(), []) == [each for each in default_steps() if each.active]
    with pytest.raises(InputError, match="no step 'augmnt' to leave out; did you mean 'augment'"):
        interventions.choose(default_steps(), ["augmnt"])


def test_transfer_is_a_step_of_every_pretrained_start() -> None:
    (transfer,) = [each for each in default_steps() if each.name == "transfer"]
    assert transfer.active
    begun = copy.deepcopy(DOCUMENT)
    begun.values["model"] |= {"name": "pretrained", "backbone": "some/folder"}

    def check_begun(values: Any) -> Any:
        return params_with(STAGES, begun, values, package="tasks")

    path = interventions.find("default", ROOT / "conf")
    steps = interventions.read(path, begun.values, sections=SECTIONS, check=check_begun)
    (transfer,) = [each for each in interventions.choose(steps, []) if each.name == "transfer"]
    scratch = check_begun(transfer.other)["train"].model
    assert (scratch.name, scratch.backbone) == ("auto", "none")
    with pytest.raises(InputError, match=r"'dropout' cannot be left out: .* the backbone decides that"):
        interventions.choose(steps, ["dropout"])


def test_faults_of_a_list_are_reported_at_once(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "a:\n  off: {train.em: 0.0}\n  on: {train.ema: auto}\n"
        "b:\n  off: {split.val: 0.1}\n  on: {split.val: 0.2}\n"
        "c:\n  of: {}\n"
    )
    with pytest.raises(InputError) as caught:
        interventions.read(path, DOCUMENT.values, sections=SECTIONS, check=check)
    text = str(caught.value)
    for words in (
        "mine.yaml has 4 faults",
        "line 2: a.off: train.em",
        "did you mean 'train.ema'",
        "line 7: c must hold",
    ):
        assert words in text, text


def test_gain_is_with_minus_without_whichever_way_the_step_stands() -> None:
    steps = {each.name: each for each in default_steps()}
    chosen = [steps["ema"], steps["mixup"], steps["clean"]]
    here = [run(value, seconds=12) for value in (0.90, 0.91, 0.92)]
    outcomes = {
        AS_IT_IS: here,
        "ema": [run(each.objective - gap, seconds=10) for each, gap in zip(here, (0.02, 0.021, 0.019), strict=True)],
        "mixup": [run(each.objective + gap, worst=0.6) for each, gap in zip(here, (0.02, 0.021, 0.019), strict=True)],
        "clean": here,
    }
    seconds: dict[str, dict[str, float | None]] = {
        AS_IT_IS: {"clean": 5.0, "balance": 1.0},
        "ema": {"clean": 5.0, "balance": 1.0},
        "mixup": {"clean": 5.0, "balance": 1.0},
        "clean": {"clean": 2.0, "balance": None},
    }
    ema, mixup, clean = ablation.compare(chosen, outcomes, seconds)
    assert ema.gain["value"] == pytest.approx(0.02)
    assert (ema.verdict, mixup.verdict, clean.verdict) == ("keep", "keep", "cannot tell")
    assert mixup.gain["value"] == pytest.approx(0.02)
    assert mixup.worst_gain["value"] == pytest.approx(0.1)
    assert ema.cost == pytest.approx(2.0)
    assert clean.cost == pytest.approx(3.0)
    assert (clean.stages_known, clean.same) == (False, True)
    # what is on and helps stays, what is off and helps goes in
    assert ablation.to_apply(chosen, [ema, mixup, clean]) == {"train.mixup": 0.2}
    assert ablation.to_apply(chosen, [replace(ema, verdict="drop")]) == {"train.ema": 0.0}
    rows = experiment_pages.ablation_rows([ema, clean])
    assert rows[0][-1] == "keep"
    assert rows[1][-2:] == ["+3.0*", "changes nothing"]


def test_folds_are_summed_up_with_the_correction() -> None:
    three_folds = [folds.Fold(repeat=1, number=number, table=None, held_out=(), n_train=80) for number in (1, 2, 3)]  # type: ignore[arg-type]
    metrics = crossvalidation.summarise("accuracy", three_folds, [run(value) for value in (0.8, 0.81, 0.79)])
    assert [metric.name for metric in metrics] == ["accuracy", "log loss", "worst class's recall"]
    first = metrics[0]
    assert first.estimate["value"] == pytest.approx(0.8)
    assert (first.low, first.high) == (0.79, 0.81)
    assert first.spread == pytest.approx(0.01)
    # t(0.975, 2) = 4.303; sqrt(1/3 + 20/80) = 0.7638
    assert first.estimate["ci95"][1] == pytest.approx(0.8 + 4.3027 * 0.01 * 0.76376, abs=1e-5)
    # a share's interval ends where shares do
    steep = crossvalidation.summarise("accuracy", three_folds, [run(value) for value in (0.1, 0.9, 0.99)])[0]
    assert steep.estimate["ci95"] == [0.0, 1.0]


def test_intervals_of_recalls_end_where_recalls_do() -> None:
    step = next(each for each in default_steps() if each.name == "ema")
    worst = {AS_IT_IS: (0.9, 0.5, 0.8), "ema": (0.1, 0.45, 0.0)}
    outcomes = {side: [run(0.7, worst=value) for value in values] for side, values in worst.items()}
    for count in (2, 3):
        some = {side: runs[:count] for side, runs in outcomes.items()}
        (finding,) = ablation.compare([step], some, {}, bounds=(-1.0, 1.0))
        low, high = finding.worst_gain["ci95"]
        assert -1 <= low <= finding.worst_gain["value"] <= high <= 1
    assert ablation.compare([step], outcomes, {})[0].gain["ci95"] == [0.0, 0.0]


def test_two_seeds_cannot_tell() -> None:
    """Two recalls of few images agree by chance, and their interval is a point."""
    step = next(each for each in default_steps() if each.name == "ema")
    sides = {AS_IT_IS: [run(0.9), run(0.9), run(0.9)], "ema": [run(0.8), run(0.8), run(0.8)]}
    verdicts = [
        ablation.compare([step], {side: runs[:count] for side, runs in sides.items()}, {})[0].verdict
        for count in (1, 2, 3)
    ]
    assert verdicts == ["cannot tell", "cannot tell", "keep"]
    assert "Two seeds cannot tell" in ablation.caution(2)
    assert not ablation.caution(3)
