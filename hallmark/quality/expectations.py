"""Great Expectations on the table of source files: failing rows by path, results without times, Data Docs.

A row that fails a *critical* expectation is quarantined and one that fails a *warning* is flagged, with the reason of
``meta``; *info* is only reported. A critical expectation about the table as a whole refuses the set. The row count
is asserted before anything else: Great Expectations passes a column of no rows.
"""

from __future__ import annotations

import datetime
import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hallmark.contracts.errors import InputError
from hallmark.quality.gx import library, quiet

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import ModuleType

    import pandas as pd

    from hallmark.quality.suites import Suite

# failing values and rows of an expectation kept for Data Docs; what is quarantined follows from the whole list
SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The results of the suites.

    ``outcomes`` are JSON values without times, one per expectation; ``failing`` maps (severity, reason) to the paths of
    failing rows; ``refusals`` are messages of failed critical expectations about the whole table.
    """

    outcomes: list[dict[str, Any]]
    failing: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)


def check(frames: Mapping[str, pd.DataFrame], counts: Mapping[str, int], suites: list[Suite], store: Path) -> Checked:
    """Runs the suites on their rows and stores Great Expectations' whole results as ``store/<suite>.json``.

    ``frames`` and ``counts`` are keyed by :data:`hallmark.quality.suites.ROWS`: tables with a ``path`` column,
    and their independently counted numbers of rows. Raises InputError for an expectation that cannot be evaluated.
    """
    gx = library()
    store.mkdir(parents=True, exist_ok=True)
    for stale in store.glob("*.json"):
        stale.unlink()
    checked = Checked(outcomes=[])
    faults: list[str] = []
    with quiet(gx) as context:
        assets = context.data_sources.add_pandas("found")
        for suite in suites:
            native, wrong = _native(gx, suite, counts[suite.rows])
            faults += wrong
            if wrong:
                continue
            asset = assets.add_dataframe_asset(suite.name)
            batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frames[suite.rows]})
            result = _evaluate(gx, batch, native)
            for one in result.results:
                fault = _record(suite.name, one, checked)
                faults += [fault] if fault else []
                _shorten(one)
            text = json.dumps(result.to_json_dict(), indent=1, ensure_ascii=False)
            (store / f"{suite.name}.json").write_text(text, encoding="utf-8")
            checked.outcomes.extend(_left_out(suite))
    if faults:
        raise InputError("; ".join(faults), remedy="correct these expectations")
    return checked


def _native(gx: ModuleType, suite: Suite, count: int) -> tuple[Any, list[str]]:
    from great_expectations.expectations.registry import get_expectation_impl

    native = gx.ExpectationSuite(name=suite.name)
    first = {"type": "expect_table_row_count_to_equal", "kwargs": {"value": count}, "severity": "critical", "meta": {}}
    faults = []
    for raw in (first, *suite.expectations):
        label = f"suite {suite.name}, {raw['type']}"
        try:
            implementation = get_expectation_impl(raw["type"])
            expectation = implementation(**raw["kwargs"], severity=raw["severity"], meta=raw["meta"])
        except (
            Exception
        ) as error:  # what a library and its plug-ins raise for a user's wrong words is not a closed list
            faults.append(f"{label}: {' '.join(str(error).split())}")
            continue
        if raw["severity"] == "critical" and _by_row(implementation) and "reason" not in raw["meta"]:
            faults.append(f"{label} is critical but gives no meta.reason for the rows it quarantines")
        native.add_expectation(expectation)
    return native, faults


def _evaluate(gx: ModuleType, batch: Any, suite: Any) -> Any:
    """The suite's results in order, with failing rows for expectations that act on rows.

    A ValidationDefinition is slower: its store copies all results, at 0.1 ms per failing row.
    """
    from great_expectations.validator.validation_statistics import calc_validation_statistics

    formats = {
        # the only list of failing rows that is not cut at 200 is pandas' unexpected_index_list
        True: {"result_format": "COMPLETE", "unexpected_index_column_names": ["path"]},
        # an info expectation may fail for all rows, and listing a hundred thousand takes half a minute
        False: {"result_format": "SUMMARY"},
    }
    severities = [str(one.severity.value) != "info" for one in suite.expectations]
    parts = {}
    for acts in sorted(set(severities), reverse=True):
        part = gx.ExpectationSuite(name=suite.name)
        for one, here in zip(suite.expectations, severities, strict=True):
            if here == acts:
                part.add_expectation(one)
        parts[acts] = batch.validate(part, result_format=formats[acts])
    result = parts[True]
    streams = {acts: iter(part.results) for acts, part in parts.items()}
    result.results = [next(streams[acts]) for acts in severities]
    statistics = calc_validation_statistics(result.results)
    result.success = statistics.success
    result.statistics = statistics._asdict()
    result.statistics.pop("success")
    result.meta["validation_time"] = datetime.datetime.now(datetime.UTC)
    return result


def _by_row(implementation: type) -> bool:
    from great_expectations.expectations.expectation import (
        ColumnMapExpectation,
        ColumnPairMapExpectation,
        MulticolumnMapExpectation,
    )

    return issubclass(implementation, ColumnMapExpectation | ColumnPairMapExpectation | MulticolumnMapExpectation)


def _record(suite: str, one: Any, checked: Checked) -> str:
    """Adds one result to ``checked``; returns a message if it could not be evaluated."""
    config, result = one.expectation_config, one.result
    raised = _raised(one.exception_info)
    if raised:
        return f"suite {suite}, {config.type}: {raised}"
    severity = str(config.severity.value)
    reason = str((config.meta or {}).get("reason", ""))
    columns = [str(config.kwargs[name]) for name in ("column", "column_A", "column_B") if name in config.kwargs]
    columns += [str(name) for name in config.kwargs.get("column_list", [])]
    paths = sorted({str(row["path"]) for row in result.get("unexpected_index_list") or []})
    if severity != "info":
        assert len(paths) == result.get("unexpected_count", 0), "paths are unique, so every failing row has one"
    checked.outcomes.append(
        {
            "suite": suite,
            "name": config.type,
            "columns": columns,
            "severity": severity,
            "success": bool(one.success),
            "reason": reason,
            "rows": result.get("element_count"),
            "unexpected": result.get("unexpected_count"),
            "observed": _plain(result.get("observed_value")),
            "left_out": "",
        }
    )
    if not one.success and "unexpected_count" in result:
        if reason and severity != "info":
            checked.failing.setdefault((severity, reason), []).extend(paths)
    elif not one.success and severity == "critical":
        observed = _plain(result.get("observed_value"))
        wanted = {name: value for name, value in config.kwargs.items() if name != "batch_id"}
        checked.refusals.append(f"{suite}: {config.type} {wanted}, but it is {observed}")
    return ""


def _shorten(one: Any) -> None:
    """Cuts lists of failing rows to what Data Docs show: the library copies a result several times."""
    for name, value in list(one.result.items()):
        if isinstance(value, list):
            one.result[name] = value[:SHOWN]
    # the query repeats the index list as text
    one.result.pop("unexpected_index_query", None)


def _raised(information: dict[str, Any]) -> str:
    """The message of an evaluation error, in either of the library's two formats; empty if none."""
    entries = [information] if "raised_exception" in information else list(information.values())
    return "; ".join(str(entry["exception_message"]) for entry in entries if entry.get("raised_exception"))


def _left_out(suite: Suite) -> list[dict[str, Any]]:
    return [
        {
            "suite": suite.name,
            "name": text.split(":")[0],
            "columns": [],
            "severity": "info",
            "success": True,
            "reason": "",
            "rows": None,
            "unexpected": None,
            "observed": None,
            "left_out": text,
        }
        for text in suite.left_out
    ]


def _plain(value: Any) -> Any:
    """A JSON value; None for non-finite numbers, text for other types."""
    if isinstance(value, float):
        return round(value, 9) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | str) else str(value)
