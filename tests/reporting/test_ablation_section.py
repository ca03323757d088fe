"""The page's ablation section: before the first ablation, with a current one, and with an outdated one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from hallmark.contracts.errors import InputError
from hallmark.experiments import record
from hallmark.experiments.ablation import Finding
from tasks import report
from tests.reporting.world import build
from tests.tasks.test_report import PARAMS

if TYPE_CHECKING:
    from pathlib import Path


def finding(name: str, value: float | None, verdict: str) -> Finding:
    edges = [None, None] if value is None else [value - 0.01, value + 0.01]
    gain = {"value": value, "ci95": edges}
    return Finding(
        name=name, active=True, with_it=0.9, without=0.9 - (value or 0.0), gain=gain, worst_gain=gain, cost=1.26,
        stages_known=False, same=False, verdict=verdict,
    )  # fmt: skip


def page(places: dict[str, Path]) -> str:
    result = report.run(PARAMS, **places)
    text = places["page"].read_text()
    assert result.page_bytes == len(text.encode())
    return text


def written(places: dict[str, Path]) -> None:
    stages = {name.partition("/")[0] for name in record.INPUTS}
    for name in record.INPUTS:
        if not (path := places[name.partition("/")[0]] / name.partition("/")[2]).exists():
            path.write_text("{}")
    record.write(
        places["ablation"],
        objective="macro f1",
        n_judged=40,
        seeds=[0, 1, 2],
        findings=[
            finding("clean", -0.02, "drop"),
            finding("<b>ema", 0.03, "keep"),
            finding("mixup", None, "cannot tell"),
        ],
        refused={"balance": "too few images"},
        folders={name: places[name] for name in stages},
    )


def test_before_the_first_ablation_the_page_names_the_command(tmp_path: Path) -> None:
    text = page(build(tmp_path))
    assert "hallmark ablate" in text
    assert 'id="ablation"' in text
    assert '95 % interval</th><th class="n">worst class' not in text


def test_gains_verdicts_and_refusals_are_shown(tmp_path: Path) -> None:
    places = build(tmp_path)
    written(places)
    text = page(places)
    section = text[text.index('<section id="ablation">') : text.index('<section id="judgement">')]
    assert section.count("<svg") == 1
    assert section.count("<circle") == 2, "a step without a figure has no dot"
    for words in ("-0.0200", "-0.0300 to -0.0100", '"broken">drop', '"held">keep', "+1.3*", "too few images"):
        assert words in section, words
    assert "&lt;b&gt;ema" in section
    assert "<b>ema" not in section
    assert "are those of this page" in section


def test_an_ablation_of_other_data_is_marked(tmp_path: Path) -> None:
    places = build(tmp_path)
    written(places)
    (places["balance"] / "plan.json").write_text(json.dumps({"strategy": "focal"}))
    text = page(places)
    assert "trained on other images or plans" in text
    assert "are those of this page" not in text


@pytest.mark.parametrize(("content", "message"), [("{", "is not JSON"), ('{"objective": 1}', "was not written by")])
def test_an_invalid_file_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "ablation.json"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        record.read(path)
