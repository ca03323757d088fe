"""Expectation suites as files that users edit.

Every .yaml, .yml and .json file of the suites' folder is one suite, in Great Expectations' own words::

    name: labels
    rows: files                     # found: all files; files: without strays and unreadable ones; images: decoded ones
    expectations:
      - type: expect_column_values_to_be_in_set
        kwargs: {column: label, value_set: {$PARAMETER: classes}}
        severity: critical          # critical, warning or info
        meta: {reason: unlabelled}

``$PARAMETER`` refers to a value of the ``validate`` section; an expectation with a null parameter is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hallmark.contracts.errors import InputError
from hallmark.contracts.reasons import REASONS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SEVERITIES = ("critical", "warning", "info")
ROWS = ("found", "files", "images")
SUFFIXES = (".json", ".yaml", ".yml")


@dataclass(frozen=True, kw_only=True)
class Suite:
    """One file of expectations, its parameters filled in."""

    name: str
    rows: str
    expectations: list[dict[str, Any]]
    left_out: list[str]


def load_suites(folder: Path, parameters: Mapping[str, Any]) -> list[Suite]:
    """Reads every suite of a folder, by file name. Raises InputError with all faults of all files at once."""
    import yaml

    if not folder.is_dir():
        raise InputError(f"no folder '{folder}'", remedy="give the folder of the expectation suites", field="suites")
    suites, faults = [], []
    for path in sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES):
        try:
            # YAML reads JSON too
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            faults.append(f"{path.name}: not readable as YAML or JSON ({' '.join(str(error).split())})")
            continue
        suite, wrong = _suite(content, path.stem, parameters)
        faults += [f"{path.name}: {fault}" for fault in wrong]
        suites.append(suite)
    names = [suite.name for suite in suites]
    faults += [f"two suites are named '{name}'" for name in sorted({name for name in names if names.count(name) > 1})]
    if faults:
        raise InputError(f"{folder}: {'; '.join(faults)}", remedy="correct these suites")
    return suites


def _suite(content: Any, stem: str, parameters: Mapping[str, Any]) -> tuple[Suite, list[str]]:
    faults: list[str] = []
    expectations: list[dict[str, Any]] = []
    left_out: list[str] = []
    if not isinstance(content, dict) or not isinstance(content.get("expectations"), list):
        return Suite(name=stem, rows="files", expectations=[], left_out=[]), ["no list 'expectations'"]
    # Great Expectations' own files keep foreign keys in meta
    rows = content.get("rows", (content.get("meta") or {}).get("rows", "files"))
    if rows not in ROWS:
        faults.append(f"rows is '{rows}', not one of {', '.join(ROWS)}")
    for number, raw in enumerate(content["expectations"], start=1):
        label = f"expectation {number}"
        if not isinstance(raw, dict) or not isinstance(raw.get("type"), str):
            faults.append(f"{label} has no 'type'")
            continue
        label = f"{label} ({raw['type']})"
        severity = raw.get("severity", "critical")
        reason = (raw.get("meta") or {}).get("reason")
        if severity not in SEVERITIES:
            faults.append(f"{label}: severity is '{severity}', not one of {', '.join(SEVERITIES)}")
        if reason is not None and reason not in REASONS:
            faults.append(f"{label}: meta.reason is '{reason}', not one of {', '.join(REASONS)}")
        kwargs, unknown, null = _filled(raw.get("kwargs") or {}, parameters)
        faults += [f"{label}: no parameter '{name}' (there are {', '.join(sorted(parameters))})" for name in unknown]
        if null:
            left_out.append(f"{raw['type']}: {', '.join(null)} is null")
        elif not unknown:
            expectations.append({**raw, "kwargs": kwargs, "severity": severity, "meta": dict(raw.get("meta") or {})})
    suite = Suite(name=str(content.get("name", stem)), rows=rows, expectations=expectations, left_out=left_out)
    return suite, faults


def _filled(kwargs: dict[str, Any], parameters: Mapping[str, Any]) -> tuple[dict[str, Any], list[str], list[str]]:
    filled, unknown, null = {}, [], []
    for name, value in kwargs.items():
        if isinstance(value, dict) and "$PARAMETER" in value:
            parameter = value["$PARAMETER"]
            if parameter not in parameters:
                unknown.append(str(parameter))
            elif parameters[parameter] is None:
                null.append(str(parameter))
            value = parameters.get(parameter)
        filled[name] = value
    return filled, unknown, null
