from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from hallmark.reporting import words
from hallmark.reporting.support import is_rough, small_classes
from tasks import report
from tests.reporting.test_page import PARAMS
from tests.reporting.world import build

if TYPE_CHECKING:
    from pathlib import Path


def figures(*support: int) -> dict[str, Any]:
    return {"n_test": sum(support), "per_class": {"abc"[n]: {"support": count} for n, count in enumerate(support)}}


@pytest.mark.parametrize(
    ("metric", "support", "class_name", "rough"),
    [
        ("macro_f1", (10, 10), "", False),
        ("macro_f1", (9, 30), "", True),
        ("balanced_accuracy", (0, 30), "", True),
        ("auroc", (9, 30), "", True),
        ("accuracy", (9, 1), "", False),
        ("accuracy", (8, 1), "", True),
        ("log_loss", (8, 1), "", True),
        ("recall", (9, 30), "a", True),
        ("recall", (9, 30), "b", False),
        ("recall", (30, 30), "unknown", True),
    ],
)
def test_what_is_rough(metric: str, support: tuple[int, ...], class_name: str, rough: bool) -> None:
    assert is_rough(metric, figures(*support), class_name=class_name) is rough


def test_small_classes_are_those_below_ten() -> None:
    assert small_classes(figures(9, 10, 0)) == ["a", "c"]


def rendered(root: Path, support: int, *, metric: str = "macro_f1") -> str:
    """The page of a workspace whose second class has that many test images, by its report."""
    places = build(root, hostile="light")
    path = places["reports"] / "evaluate.json"
    evaluation = json.loads(path.read_text())
    evaluation["per_class"]["light"]["support"] = support
    evaluation["objective"] |= {"metric": metric, "value": 0.123, "ci95": [0.05, 0.234]}
    evaluation["accuracy"] |= {"value": 0.876, "ci95": [0.777, 0.95]}
    path.write_text(json.dumps(evaluation))
    report.run(PARAMS, **places)
    return places["page"].read_text()


def grey(text: str) -> list[str]:
    return re.findall(r'<tr class="rough"[^>]*><td>([\w ]+)', text)


def notes(text: str) -> list[str]:
    """The figures that the notes below tables with grey rows name."""
    return re.findall(
        r"Grey rows: fewer than 10 images, so that one more mistake moves the (\w+) by more than 10", text
    )


def test_figures_of_few_images_are_grey_and_not_the_headline(tmp_path: Path) -> None:
    text = rendered(tmp_path, 9)
    head = text[: text.index("<nav")]
    assert f'<p class="big">{words.percent(0.876)}</p>' in head
    assert re.search(r'<p class="eyebrow">accuracy on \d+ test images', head)
    assert f"is {words.percent(0.123)} ({words.percent(0.05)} to {words.percent(0.234)})." in head
    assert "fewer than 10 test images of &#39;light&#39;" in head
    assert 'class="against rough"' in head
    assert grey(text) == ["Balanced accuracy", "Macro F1", "light", "flagged"]  # four images are flagged
    assert "(light); one more mistake" in text
    assert notes(text) == ["recall", "accuracy"]
    assert '<tr class="rough" title="fewer than 10 images"><td>light' in text


def test_with_enough_images_no_class_is_grey_and_the_objective_leads(tmp_path: Path) -> None:
    text = rendered(tmp_path, 10)
    head = text[: text.index("<nav")]
    assert f'<p class="big">{words.percent(0.123)}</p>' in head
    assert "not the headline" not in head
    assert grey(text) == ["flagged"]
    assert notes(text) == ["accuracy"]
    assert 'class="against rough"' not in head


def test_an_objective_over_all_images_stays_the_headline(tmp_path: Path) -> None:
    head = rendered(tmp_path, 9, metric="log_loss").partition("<nav")[0]
    assert '<p class="big">0.123</p>' in head
    assert "not the headline" not in head


def test_a_cross_validation_is_the_headline_and_the_test_set_is_named_beside_it(tmp_path: Path) -> None:
    places = build(tmp_path, hostile="light")
    path = places["reports"] / "evaluate.json"
    evaluation = json.loads(path.read_text())
    evaluation["per_class"]["light"]["support"] = 9
    evaluation["objective"] |= {"value": 0.123, "ci95": [0.05, 0.234]}
    names = ("objective", "accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece", "per_class")
    folds = json.loads(json.dumps({name: evaluation[name] for name in names}))
    folds |= {"folds": 5, "n": 380, "n_clusters": 380, "n_train": 240, "epochs": [3, 4, 5, 6, 7]}
    folds["objective"] |= {"value": 0.765, "ci95": [0.7, 0.81]}
    folds["per_class"]["light"]["support"] = 10
    evaluation |= {"scheme": {"used": "crossval", "why": "it is small"}, "crossvalidated": folds}
    path.write_text(json.dumps(evaluation))
    report.run(PARAMS, **places)
    text = places["page"].read_text()
    head = text[: text.index("<nav")]
    assert f'<p class="big">{words.percent(0.765)}</p>' in head
    assert "macro F1 on 380 images, cross-validated" in head
    on_test = f"{words.percent(0.123)} ({words.percent(0.05)} to {words.percent(0.234)})"
    assert f"on the 39 test images alone: macro F1 {on_test}" in head
    assert "not the headline" not in head
    # the baselines are those of the test set, where a class has nine images
    assert "The registered model against simple baselines, on the test images" in head
    assert 'class="against rough"' in head
    section = text[text.index('<section id="folds">') : text.index('<section id="judgement">')]
    assert "best epochs 3, 4, 5, 6, 7" in section
    assert "Chosen because: it is small." in section
    assert grey(section) == []
    folds["per_class"]["light"]["support"] = 9
    path.write_text(json.dumps(evaluation))
    report.run(PARAMS, **places)
    text = places["page"].read_text()
    assert "not the headline" in text[: text.index("<nav")]
    assert grey(text)[:3] == ["Balanced accuracy", "Macro F1", "light"]
