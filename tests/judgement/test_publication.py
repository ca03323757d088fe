"""What evaluation publishes: tables, the headline, and each warning exactly when its condition holds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from hallmark.judgement import publication
from hallmark.judgement.judged import Judged
from hallmark.judgement.publication import SMALL_SUPPORT, prediction_table, warnings_of

if TYPE_CHECKING:
    from pathlib import Path

CLASSES = ("cat", "dog")


def images(labels: list[str], clusters: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"path": [f"{n}.png" for n in range(len(labels))], "label": labels, "cluster": clusters})


def row(support: int, *, precision: float | None = 0.9, recall: float | None = 0.8) -> dict[str, Any]:
    return {"support": support, "precision": {"value": precision}, "recall": {"value": recall}, "f1": {"value": 0.5}}


def accuracy(value: float, low: float | None, high: float | None) -> dict[str, Any]:
    return {"value": value, "ci95": [low, high]}


def warn(
    predicted: list[int] | None = None,
    *,
    known: tuple[str, ...] = CLASSES,
    classes: tuple[str, ...] = CLASSES,
    per_class: dict[str, Any] | None = None,
    slices: dict[str, Any] | None = None,
    objective: float | None = 0.9,
) -> list[str]:
    """The warnings of a faultless test set with the arguments' changes applied."""
    label = np.array([0, 1] if predicted is None else predicted)
    judged = Judged(label, np.eye(len(classes))[label], np.arange(len(label)), classes)
    rows = {name: row(50) for name in classes} if per_class is None else per_class
    figures = {"accuracy": accuracy(0.9, 0.85, 0.95)}
    return warnings_of(judged, known, rows, slices or {}, figures, {"value": objective})


def test_images_of_one_cluster_are_one_piece_of_evidence() -> None:
    judged = Judged.of(images(["dog", "cat", "dog"], ["b", "a", "b"]), np.array([[0.1, 0.9]] * 3), CLASSES)
    assert judged.labels.tolist() == [1, 0, 1]
    assert judged.clusters.tolist() == [1, 0, 1]
    assert judged.labels.dtype == judged.clusters.dtype == np.int64
    assert judged.n_clusters() == 2
    assert judged.classes == CLASSES


def test_unknown_labels_become_classes_in_order_of_name_and_of_no_probability() -> None:
    judged = Judged.of(images(["yak", "cat", "emu", "yak"], list("abcd")), np.full((4, 2), 0.5), CLASSES)
    assert judged.classes == ("cat", "dog", "emu", "yak")
    assert judged.labels.tolist() == [3, 0, 2, 3]
    np.testing.assert_array_equal(judged.probabilities, [[0.5, 0.5, 0, 0]] * 4)


def test_the_prediction_table_holds_each_class_s_probability() -> None:
    probabilities = np.array([[0.75, 0.25], [0.25, 0.75]])
    frame = images(["cat", "cat"], ["a", "b"])
    table = prediction_table(frame, Judged.of(frame, probabilities, CLASSES))
    assert table["predicted"].tolist() == ["cat", "dog"]
    assert table["cat"].tolist() == [0.75, 0.25]
    assert table["dog"].tolist() == [0.25, 0.75]
    assert [str(table[name].dtype) for name in ("path", "label", "predicted")] == ["string"] * 3
    confusion = publication.confusion_table(frame, Judged.of(frame, probabilities, CLASSES))
    assert confusion.to_dict("list") == {"actual": ["cat", "cat"], "predicted": ["cat", "dog"]}


def test_the_headline_is_flat_and_names_the_worst_recall() -> None:
    names = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece")
    figures: dict[str, Any] = {name: {"value": number / 10, "ci95": [0, 1]} for number, name in enumerate(names)}
    figures |= {"objective": {"metric": "macro_f1", "value": 0.6}, "auroc": None, "n_test": 6}
    per_class = {"a": row(5, recall=0.7), "b": row(1, recall=0.4), "c": row(0, recall=None)}
    assert publication.headline({**figures, "per_class": per_class}, epochs=9) == {
        "objective": 0.6,
        "accuracy": 0.0,
        "balanced_accuracy": 0.1,
        "macro_f1": 0.2,
        "worst_recall": 0.4,
        "auroc": None,
        "log_loss": 0.3,
        "ece": 0.4,
        "n_test": 6,
        "n_classes": 3,
        "epochs": 9,
    }
    undefined = {"per_class": {"c": row(0, recall=None)}, "auroc": 0.5, "objective": {"value": None}}
    empty = publication.headline({**figures, **undefined}, epochs=0)
    assert empty["worst_recall"] is None
    assert empty["objective"] is None
    assert empty["auroc"] == 0.5


def test_figures_are_written_as_plain_json(tmp_path: Path) -> None:
    publication.write_figures(tmp_path, {"name": "œuf", "deep": {"value": None}})
    text = (tmp_path / publication.FIGURES).read_text(encoding="utf-8")
    assert json.loads(text) == {"name": "œuf", "deep": {"value": None}}
    assert text == '{\n  "name": "œuf",\n  "deep": {\n    "value": null\n  }\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        publication.write_figures(tmp_path, {"value": float("nan")})


def test_a_sound_test_set_has_no_warning() -> None:
    assert warn() == []


def test_each_class_that_the_model_does_not_know_is_named() -> None:
    lines = warn(classes=(*CLASSES, "emu", "yak"))
    assert len(lines) == 2
    assert [name in line for name, line in zip(("'emu'", "'yak'"), lines, strict=True)] == [True, True]


def test_an_undefined_objective_is_a_warning_and_one_of_0_is_none() -> None:
    (line,) = warn(objective=None)
    assert "does not define the objective" in line
    assert warn(objective=0.0) == []


def test_classes_without_a_test_image_are_named() -> None:
    (line,) = warn(per_class={"cat": row(0, precision=None), "dog": row(50), "emu": row(0)})
    assert line.startswith("No test image of 'cat', 'emu'")


def test_a_class_is_small_below_the_bound_and_not_at_it() -> None:
    rows = {"cat": row(SMALL_SUPPORT), "dog": row(SMALL_SUPPORT - 1), "emu": row(1)}
    (line,) = warn(per_class=rows)
    assert line.startswith(f"Fewer than {SMALL_SUPPORT} test images of 'dog', 'emu'")


def test_a_class_never_predicted_is_named_if_it_has_test_images() -> None:
    (line,) = warn(per_class={"cat": row(50), "dog": row(50, precision=None)})
    assert line == "The model never predicts 'dog'."


def test_one_prediction_for_all_images_stands_for_the_classes_never_predicted() -> None:
    (line,) = warn([1, 1, 1], per_class={"cat": row(50, precision=None), "dog": row(50)})
    assert line == "The model calls every image 'dog'."


def test_of_many_names_eight_are_listed() -> None:
    assert warn(per_class={f"c{n}": row(0) for n in range(8)})[0].startswith(
        "No test image of 'c0', 'c1', 'c2', 'c3', 'c4', 'c5', 'c6', 'c7':"
    )
    assert "'c6', 'c7' and 1 more:" in warn(per_class={f"c{n}": row(0) for n in range(9)})[0]


@pytest.mark.parametrize(
    ("n", "high", "warned"),
    [
        (SMALL_SUPPORT, 0.84, True),
        (SMALL_SUPPORT - 1, 0.84, False),
        (SMALL_SUPPORT, 0.85, False),
        (SMALL_SUPPORT, None, False),
    ],
)
def test_a_slice_is_worse_only_where_its_interval_is_below_the_whole(n: int, high: float | None, warned: bool) -> None:
    part = {"n": n, "accuracy": accuracy(0.75, 0.6, high)}
    lines = warn(slices={"site": {"north": part, "south": {"n": 99, "accuracy": accuracy(0.9, 0.8, 0.95)}}})
    assert len(lines) == warned
    for line in lines:
        assert line == f"Accuracy is lower where site is 'north': 75.0% of {n} images against 90.0% overall."


def test_flagged_images_may_be_worse_without_a_warning_and_later_slices_still_count() -> None:
    bad = {"n": 50, "accuracy": accuracy(0.5, 0.4, 0.6)}
    (line,) = warn(slices={"flagged": {"flagged": bad}, "site": {"north": bad}})
    assert "site is 'north'" in line
