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
    return re.findall(r'<tr class="rough"><td>([\w ]+)', text)


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


def test_with_enough_images_no_class_is_grey_and_the_objective_leads(tmp_path: Path) -> None:
    text = rendered(tmp_path, 10)
    head = text[: text.index("<nav")]
    assert f'<p class="big">{words.percent(0.123)}</p>' in head
    assert "not the headline" not in head
    assert grey(text) == ["flagged"]
    assert 'class="against rough"' not in head


def test_an_objective_over_all_images_stays_the_headline(tmp_path: Path) -> None:
    head = rendered(tmp_path, 9, metric="log_loss").partition("<nav")[0]
    assert '<p class="big">0.123</p>' in head
    assert "not the headline" not in head
