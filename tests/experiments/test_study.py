"""Studies in a real database: killed trials are repeated, studies resume, pruning and two objectives."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import optuna
import pytest

from hallmark.contracts.errors import InputError, MachineError
from hallmark.experiments import space
from hallmark.experiments.pruning import Pruned
from hallmark.experiments.study import PROCESS, Exhausted, Study
from hallmark.experiments.study_storage import default_storage
from hallmark.pipeline.params import Document
from hallmark.tracking import process

if TYPE_CHECKING:
    from pathlib import Path

SPACE = space.parse(
    Document("train.lr: {low: 0.001, high: 0.1, log: true}\nmodel.name: {choices: [mlp, cnn]}\n", name="s.yaml")
)


def open_study(
    folder: Path, *, sampler: str = "tpe", pruner: str = "none", latency: bool = False, name: str = "s"
) -> Study:
    return Study(default_storage(folder), name, SPACE, sampler=sampler, pruner=pruner, latency=latency, seed=0)


@pytest.mark.parametrize("sampler", ["tpe", "gp", "random"])
def test_a_study_goes_on_with_fresh_values(tmp_path: Path, sampler: str) -> None:
    drawn = []
    for _ in range(2):
        study = open_study(tmp_path, sampler=sampler)
        for _ in range(4):
            number, values = study.ask()
            drawn.append(values["train.lr"])
            study.tell(number, quality=-abs(values["train.lr"] - 0.01), latency_ms=None, facts={})
    assert len(set(drawn)) == 8, "the second start drew the first one's values again"
    best = open_study(tmp_path).best()
    assert best is not None
    assert best.quality == max(-abs(value - 0.01) for value in drawn)
    assert set(open_study(tmp_path).importances()) == {"train.lr", "model.name"}


def test_a_trial_whose_process_is_gone_is_tried_again_and_does_not_count(tmp_path: Path) -> None:
    first = open_study(tmp_path)
    number, values = first.ask()
    gone = json.dumps({**json.loads(first._study.trials[0].user_attrs[PROCESS]), "pid": 2**22 - 1})
    first._study._storage.set_trial_user_attr(first._study.trials[0]._trial_id, PROCESS, gone)
    alive, _ = first.ask()
    second = open_study(tmp_path)
    assert second.recover() == 1, "the trial of a living process was ended, or the dead one left"
    assert (second.counted(), second.running()) == (0, 1)
    again, same = second.ask()
    assert same == values
    assert again not in (number, alive)
    assert [row.state for row in second.rows()] == ["killed"]


def test_a_trial_killed_before_it_said_whose_it_is_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hallmark.experiments.study.GRACE", 0.2)
    first = open_study(tmp_path, sampler="grid")
    first._study.ask()  # the first call of ask(); a kill may follow it
    second = open_study(tmp_path, sampler="grid")
    assert second.recover() == 1
    retried = []
    for _ in SPACE.grid():
        number, values = second.ask()
        retried.append(values)
        second.tell(number, quality=0.0, latency_ms=None, facts={})
    assert sorted(map(str, retried)) == sorted(map(str, SPACE.grid())), "the killed trial's values were left out"


def test_a_trial_that_is_about_to_say_whose_it_is_is_left_alone(tmp_path: Path) -> None:
    first, second = open_study(tmp_path), open_study(tmp_path)
    begun = first._study.ask()
    late_answer = threading.Timer(0.5, lambda: begun.set_user_attr(PROCESS, process.me()))
    late_answer.start()
    assert second.recover() == 0
    late_answer.join()
    assert second.running() == 1


def test_a_grid_is_gone_through_once_over_two_starts(tmp_path: Path) -> None:
    tried = []
    for count in (4, 6):
        study = open_study(tmp_path, sampler="grid")
        for _ in range(count):
            number, values = study.ask()
            tried.append((values["model.name"], values["train.lr"]))
            study.tell(number, quality=0.5, latency_ms=None, facts={})
    assert len(set(tried)) == len(SPACE.grid()) == 10


FEW = space.parse(
    Document("train.momentum: {low: 0.1, high: 0.3, step: 0.1}\nmodel.depth: {low: 1, high: 2, log: true}\n", name="f")
)
EVERY = 6


@pytest.mark.parametrize("sampler", ["tpe", "gp", "random", "grid"])
def test_no_point_is_tried_twice(tmp_path: Path, sampler: str) -> None:
    """Over two starts, with the values of params.yaml among them, pruned and failed trials too."""
    tried: list[str] = []

    def start() -> Study:
        return Study(default_storage(tmp_path), "few", FEW, sampler=sampler, pruner="none", latency=False, seed=0)

    study = start()
    as_it_is = {"train.momentum": 0.2, "model.depth": 2}
    assert study.start_from(as_it_is, quality=0.9, latency_ms=None, why="params.yaml as it is")
    endings = (
        lambda number: study.tell(number, quality=0.9, latency_ms=None, facts={}),
        lambda number: study.tell_pruned(number),
        lambda number: study.tell_failed(number, "no"),
    )
    for turn in range(EVERY - 1):
        study = start() if turn == 2 else study
        number, values = study.ask()
        tried.append(str(sorted(values.items())))
        endings[turn % 3](number)
    assert len({*tried, str(sorted(as_it_is.items()))}) == EVERY
    with pytest.raises(Exhausted, match="all 6 points of the space were tried"):
        study.ask()
    assert study.counted() == len(study.rows()) == EVERY, "draws that were put back count"
    assert study.running() == 0


class Stubborn(optuna.samplers.RandomSampler):
    """Gives one point again and again, as one that is sure of its best does at the end of a range."""

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        return {"train.lr": 0.1, "model.name": "cnn"}[param_name]


def test_a_sampler_that_insists_on_a_point_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hallmark.experiments.samplers.sampler", lambda name, seed: Stubborn(seed=seed))
    study = open_study(tmp_path)
    points = [tuple(study.ask()[1].items()) for _ in range(3)]
    assert len(set(points)) == 3


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_a_trial_that_falls_behind_is_pruned(tmp_path: Path, pruner: str) -> None:
    study = open_study(tmp_path, pruner=pruner)
    pruned: list[int] = []
    for index in range(14):
        number, _ = study.ask()
        follower = study.follower(number)
        assert follower is not None
        slope = 0.0 if index >= 6 else 0.1
        try:
            for epoch in range(1, 10):
                follower(epoch, 9, slope * epoch)
        except Pruned:
            study.tell_pruned(number)
            pruned.append(epoch)
            assert index >= 5
        else:
            study.tell(number, quality=9 * slope, latency_ms=None, facts={})
    assert len(pruned) >= 3
    assert sum(row.state == "pruned" for row in study.rows()) == len(pruned)
    assert min(pruned) == 4  # a third of the epochs are waited for


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_no_trial_is_pruned_in_its_last_epoch(tmp_path: Path, pruner: str) -> None:
    study = open_study(tmp_path, pruner=pruner)
    for index in range(9):
        number, _ = study.ask()
        follower = study.follower(number)
        assert follower is not None
        for epoch in range(1, 10):
            follower(epoch, 9, 0.1 * epoch if index < 6 or epoch < 9 else 0.0)
        study.tell(number, quality=0.5, latency_ms=None, facts={})
    assert all(row.state == "complete" for row in study.rows())


def test_a_study_of_another_space_is_reported(tmp_path: Path) -> None:
    (tmp_path / "with space").mkdir()
    open_study(tmp_path / "with space")
    other = space.parse(Document("train.mixup: {choices: [0.0, 0.1]}", name="s.yaml"))
    with pytest.raises(InputError, match="searched another space; give another --study"):
        Study(default_storage(tmp_path / "with space"), "s", other, sampler="tpe", pruner="none", latency=False, seed=0)


def test_quality_and_latency_have_a_front(tmp_path: Path) -> None:
    study = open_study(tmp_path, latency=True)
    for quality, ms in ((0.9, 5.0), (0.8, 1.0), (0.7, 2.0)):
        number, _ = study.ask()
        study.tell(number, quality=quality, latency_ms=ms, facts={})
    assert [(row.quality, row.latency_ms) for row in study.front()] == [(0.9, 5.0), (0.8, 1.0)]
    with pytest.raises(InputError, match="other objectives"):
        open_study(tmp_path)
    with pytest.raises(InputError, match="exclude each other"):
        open_study(tmp_path, latency=True, pruner="median", name="other")


def test_a_database_that_is_not_there_is_reported_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(MachineError) as caught:
        Study(
            "postgresql://me:secret@127.0.0.1:1/none", "s", SPACE, sampler="tpe", pruner="none", latency=False, seed=0
        )
    assert "secret" not in str(caught.value)
    assert "--storage" in str(caught.value)
    with pytest.raises(InputError, match="--sampler is 'tpee'; did you mean 'tpe'"):
        open_study(tmp_path, sampler="tpee")


def test_what_is_known_already_is_the_first_trial(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    assert not study.start_from({"train.lr": 1.0, "model.name": "mlp"}, quality=0.5, latency_ms=None, why="as it is")
    assert not study.start_from({"train.lr": 0.01}, quality=0.5, latency_ms=None, why="as it is")
    assert not study.start_from({"train.lr": 0.01, "model.name": "auto"}, quality=0.5, latency_ms=None, why="as it is")
    assert study.counted() == 0
    assert study.start_from({"train.lr": 0.01, "model.name": "mlp"}, quality=0.5, latency_ms=None, why="as it is")
    assert (study.counted(), study.rows()[0].why) == (1, "as it is")
    number, _ = study.ask()
    study.tell(number, quality=0.4, latency_ms=None, facts={})
    best = study.best()
    assert best is not None
    assert best.values == {"train.lr": 0.01, "model.name": "mlp"}
    fast = open_study(tmp_path, latency=True, name="fast")
    assert fast.start_from({"train.lr": 0.01, "model.name": "mlp"}, quality=0.5, latency_ms=2.0, why="as it is")
    assert fast.front()[0].latency_ms == 2.0
