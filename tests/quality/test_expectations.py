from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from hallmark.contracts.errors import InputError
from hallmark.quality import gx
from hallmark.quality.data_docs import render_data_docs
from hallmark.quality.expectations import check
from hallmark.quality.suites import load_suites

if TYPE_CHECKING:
    from pathlib import Path

    from hallmark.quality.expectations import Checked

PARAMETERS: dict[str, Any] = {"classes": ["cat", "dog"], "min_side": 4, "nothing": None}


def table(rows: int) -> pd.DataFrame:
    frame = pd.DataFrame({"path": [f"cat/{n:05d}.png" for n in range(rows)], "label": "cat", "width": range(rows)})
    return frame.astype({"path": "string", "label": "string"})


def suite(folder: Path, text: str, name: str = "own.yaml") -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


def checked(folder: Path, frame: pd.DataFrame, count: int | None = None) -> Checked:
    counts = {name: len(frame) if count is None else count for name in ("found", "files", "images")}
    frames = dict.fromkeys(counts, frame)
    return check(frames, counts, load_suites(folder / "suites", PARAMETERS), folder / "store")


def test_every_failing_row_is_named_past_the_200_the_library_lists(tmp_path: Path) -> None:
    suite(
        tmp_path / "suites",
        """
        expectations:
          - type: expect_column_values_to_be_in_set
            kwargs: {column: label, value_set: {$PARAMETER: classes}}
            severity: critical
            meta: {reason: unlabelled}
          - type: expect_column_values_to_not_be_null
            kwargs: {column: label}
            severity: critical
            meta: {reason: missing_value}
        """,
    )
    frame = table(3000)
    frame.loc[500:1499, "label"] = "horse"
    frame.loc[2000:2699, "label"] = pd.NA
    result = checked(tmp_path, frame)
    assert result.failing[("critical", "unlabelled")] == frame["path"][500:1500].tolist()
    assert result.failing[("critical", "missing_value")] == frame["path"][2000:2700].tolist()
    assert result.refusals == []


def test_severities_decide_what_becomes_of_failing_rows(tmp_path: Path) -> None:
    rule = "{type: expect_column_values_to_be_between, kwargs: {column: width, min_value: %d}, severity: %s, meta: %s}"
    rules = [rule % (1, "critical", "{reason: too_small}"), rule % (2, "warning", "{reason: blurry}")]
    rules += [rule % (3, "info", "{reason: noisy}"), rule % (4, "warning", "{}")]
    suite(tmp_path / "suites", "expectations:\n" + "".join(f"  - {one}\n" for one in rules))
    result = checked(tmp_path, table(10))
    assert {key: len(paths) for key, paths in result.failing.items()} == {
        ("critical", "too_small"): 1,
        ("warning", "blurry"): 2,
    }
    outcomes = [one for one in result.outcomes if one["columns"] == ["width"]]
    assert [(one["severity"], one["success"], one["unexpected"]) for one in outcomes] == [
        ("critical", False, 1),
        ("warning", False, 2),
        ("info", False, 3),
        ("warning", False, 4),
    ]


def test_the_row_count_is_asserted_first_so_that_no_rows_do_not_pass(tmp_path: Path) -> None:
    suite(tmp_path / "suites", "expectations: [{type: expect_column_to_exist, kwargs: {column: width}}]")
    result = checked(tmp_path, table(0), count=7)
    assert result.outcomes[0]["name"] == "expect_table_row_count_to_equal"
    assert len(result.refusals) == 1
    assert "'value': 7}, but it is 0" in result.refusals[0]


def test_a_critical_expectation_of_the_whole_table_refuses_the_set(tmp_path: Path) -> None:
    suite(
        tmp_path / "suites",
        """
        expectations:
          - {type: expect_column_mean_to_be_between, kwargs: {column: width, min_value: 100}, severity: critical}
          - {type: expect_column_to_exist, kwargs: {column: camera}, severity: warning}
        """,
    )
    result = checked(tmp_path, table(10))
    assert [text for text in result.refusals if "expect_column_mean_to_be_between" in text] == result.refusals
    assert "but it is 4.5" in result.refusals[0]


def test_a_parameter_that_is_null_leaves_its_expectation_out(tmp_path: Path) -> None:
    text = (
        "expectations: [{type: expect_column_max_to_be_between, kwargs: {column: width, max_value: {$PARAMETER: %s}}}]"
    )
    suite(tmp_path / "suites", text % "nothing")
    result = checked(tmp_path, table(3))
    assert result.outcomes[-1]["left_out"] == "expect_column_max_to_be_between: nothing is null"


def test_outcomes_hold_no_time_and_results_are_stored_and_rendered(tmp_path: Path) -> None:
    suite(tmp_path / "suites", "name: sizes\nexpectations: [{type: expect_column_to_exist, kwargs: {column: width}}]")
    suite(
        tmp_path / "suites",
        '{"expectations": [{"type": "expect_column_to_exist", "kwargs": {"column": "gone"}}]}',
        "b.json",
    )
    first, second = checked(tmp_path, table(3)), checked(tmp_path, table(3))
    assert json.dumps(first.outcomes) == json.dumps(second.outcomes)
    stored = json.loads((tmp_path / "store" / "sizes.json").read_text())
    assert stored["meta"]["validation_time"]
    page = render_data_docs(tmp_path / "store", tmp_path / "docs")
    assert "sizes" in page.read_text()
    assert len(list((tmp_path / "docs" / "validations").rglob("*.html"))) == 2


def test_all_faults_of_all_suites_are_reported_at_once(tmp_path: Path) -> None:
    suite(
        tmp_path, "expectations: [{type: a, severity: grave}, {kwargs: {}}, {type: b, meta: {reason: ugly}}]", "1.yaml"
    )
    suite(tmp_path, "expectations: [{type: c, kwargs: {x: {$PARAMETER: minside}}}]", "2.yaml")
    suite(tmp_path, "a: [", "3.json")
    suite(tmp_path, "rows: all\nname: 4\nexpectations: []", "4.yml")
    with pytest.raises(InputError) as message:
        load_suites(tmp_path, PARAMETERS)
    for words in (
        "severity is 'grave'",
        "has no 'type'",
        "'ugly'",
        "no parameter 'minside'",
        "3.json",
        "rows is 'all'",
    ):
        assert words in str(message.value)


@pytest.mark.parametrize(
    ("expectation", "words"),
    [
        ("{type: expect_miracles, kwargs: {}}", "expect_miracles"),
        ("{type: expect_column_values_to_be_between, kwargs: {row: width}}", "row"),
        ("{type: expect_column_values_to_not_be_null, kwargs: {column: path}}", "no meta.reason"),
        ("{type: expect_column_values_to_not_be_null, kwargs: {column: gone}, severity: info}", "gone"),
    ],
)
def test_an_expectation_that_cannot_be_evaluated_is_the_users_to_mend(
    tmp_path: Path, expectation: str, words: str
) -> None:
    suite(tmp_path / "suites", f"expectations: [{expectation}]")
    with pytest.raises(InputError, match=words):
        checked(tmp_path, table(3))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^suites: no folder"):
        load_suites(tmp_path / "gone", PARAMETERS)


def test_a_suite_of_great_expectations_names_its_rows_in_meta(tmp_path: Path) -> None:
    suite(tmp_path, "meta: {rows: images}\nexpectations: []", "one.yml")
    suite(tmp_path, "rows: files\nmeta: {rows: images}\nexpectations: []", "two.yml")
    suite(tmp_path, "expectations: []", "zero.yml")
    assert [each.rows for each in load_suites(tmp_path, {})] == ["images", "files", "files"]


def test_the_library_logs_errors_alone_within_the_block_and_shows_no_progress() -> None:
    import logging

    logger = logging.getLogger("great_expectations")
    logger.setLevel(logging.INFO)
    with gx.quiet(gx.library()) as context:
        assert logger.level == logging.ERROR
        assert not any(context.variables.progress_bars.values())
    assert logger.level == logging.INFO
