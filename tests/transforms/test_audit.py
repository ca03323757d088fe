"""The audit drops transforms that change labels, keeps the others, and reports inconclusive cases."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hallmark.transforms.audit import COLUMNS, applied, audit, retained, unaudited, whole
from hallmark.transforms.judge import Judge
from hallmark.transforms.presets import resolve
from hallmark.transforms.verdicts import Rule, Verdict, warned

if TYPE_CHECKING:
    from tests.transforms.conftest import Digits

RULE = Rule(tolerance=0.8, confidence=0.95, min_images=20, weaker=(0.5, 0.25))
NAMES = [str(digit) for digit in range(10)]


@pytest.fixture(scope="module")
def judge(digits: Digits) -> Judge:
    return Judge(digits.train, digits.train_labels)


def audited(
    policy: str | list[dict[str, Any]], judge: Judge, digits: Digits, *, limit: int = 1000, rule: Rule = RULE
) -> tuple[dict[str, Verdict], pd.DataFrame, list[dict[str, Any]]]:
    transforms = resolve(policy, field="policy")
    images, labels = digits.val[:limit], digits.val_labels[:limit]
    verdicts, table = audit(transforms, judge=judge, images=images, labels=labels, names=NAMES, rule=rule, seed=0)
    named = {verdict.transform["name"]: verdict for verdict in verdicts}
    return named, table, applied(verdicts, transforms)


def step(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "p": 0.5, "arguments": arguments}


def test_flips_of_digits_are_dropped_and_small_changes_kept(judge: Judge, digits: Digits) -> None:
    policy = [step("HorizontalFlip"), step("VerticalFlip"), *resolve("standard", field="x")[1:]]
    verdicts, table, left = audited(policy, judge, digits)
    assert verdicts["HorizontalFlip"].outcome == verdicts["VerticalFlip"].outcome == "dropped"
    assert "it changes labels" in verdicts["VerticalFlip"].reason
    worst = {row["label"] for row in verdicts["VerticalFlip"].classes[:5]}
    assert {"6", "2"} <= worst
    for name in ("Affine", "RandomBrightnessContrast", "GaussianBlur", "CoarseDropout"):
        assert verdicts[name].outcome == "kept", verdicts[name].reason
    assert verdicts["HueSaturationValue"].outcome == "left_out"
    assert [leaf["name"] for leaf in left] == ["Affine", "RandomBrightnessContrast", "GaussianBlur", "CoarseDropout"]
    assert list(table.columns) == list(COLUMNS)
    flips = table[(table["transform"] == "VerticalFlip") & (table["label"] != "")].set_index("label")
    assert flips.loc["6", "finding"] == "changes_label"
    assert flips.loc["0", "finding"] == "keeps_label"
    assert (table["low"] <= table["retained"]).all()
    assert (table["retained"] <= table["high"]).all()


def test_a_policy_left_after_the_audit_keeps_the_labels(judge: Judge, digits: Digits) -> None:
    images, labels = digits.val, digits.val_labels
    bad = resolve([{"name": "VerticalFlip", "p": 1.0}], field="x")
    good = resolve([step("Affine", rotate=[-8, 8])], field="x")
    results = [whole(each, judge=judge, images=images, labels=labels, rule=RULE, seed=0) for each in (bad, good)]
    assert results[0] is not None
    assert results[0]["value"] < 0.6
    assert results[1] is not None
    assert results[1]["value"] > 0.95


def test_too_strong_a_rotation_is_weakened(judge: Judge, digits: Digits) -> None:
    verdicts, _, left = audited([step("Rotate", limit=[-60, 60])], judge, digits)
    verdict = verdicts["Rotate"]
    assert verdict.outcome == "weakened"
    assert verdict.strength in (0.5, 0.25)
    limit = 60.0 * verdict.strength
    assert left == [step("Rotate", limit=[-limit, limit])]
    dropped, _, nothing = audited([step("Rotate", limit=[-60, 60])], judge, digits, rule=replace(RULE, weaker=()))
    assert dropped["Rotate"].outcome == "dropped"
    assert nothing == []


def test_members_of_groups_are_judged_one_by_one(judge: Judge, digits: Digits) -> None:
    group = {"name": "OneOf", "p": 1.0, "arguments": {"transforms": [step("VerticalFlip"), step("NoOp")]}}
    _, _, left = audited([group], judge, digits)
    assert left == [{**group, "arguments": {"transforms": [step("NoOp")]}}]


def test_few_images_do_not_condemn(judge: Judge, digits: Digits) -> None:
    verdicts, _, left = audited([step("VerticalFlip")], judge, digits, limit=12)
    assert verdicts["VerticalFlip"].outcome == "cannot_tell"
    assert "; 20 are needed" in verdicts["VerticalFlip"].reason
    assert left == [step("VerticalFlip")]
    verdicts, table, left = audited([step("VerticalFlip")], judge, digits, limit=0)
    assert verdicts["VerticalFlip"].reason == "there are no validation images to judge"
    assert len(table) == 0
    assert left == [step("VerticalFlip")]


def test_warn_and_off_keep_the_policy(judge: Judge, digits: Digits) -> None:
    transforms = resolve([step("VerticalFlip"), step("NoOp")], field="x")
    verdicts, _, _ = audited(transforms, judge, digits)
    warnings = [warned(verdict) for verdict in verdicts.values()]
    assert [verdict.outcome for verdict in warnings] == ["warned", "kept"]
    assert "it changes labels" in warnings[0].reason
    assert applied(warnings, transforms) == transforms
    silent, table = unaudited(transforms, "off")
    assert applied(silent, transforms) == transforms
    assert len(table) == 0


def test_a_class_that_alone_is_changed_is_enough() -> None:
    # dark and bright squares, and a third class of stripes: inverting confuses only the first two
    images = np.zeros((120, 8, 8, 1), dtype=np.uint8)
    images[40:80] = 255
    images[80:, ::2] = 255
    labels = np.repeat(np.arange(3), 40)

    def judging(pixels: Any) -> Any:
        mean, spread = pixels.mean(axis=(1, 2, 3)), pixels.std(axis=(1, 2, 3))
        return np.where(spread > 50, 2, (mean > 127).astype(np.int64))

    transforms = resolve([step("InvertImg")], field="x")
    verdicts, table = audit(
        transforms, judge=judging, images=images, labels=labels, names=["dark", "light", "stripes"], rule=RULE, seed=0
    )
    assert verdicts[0].outcome == "dropped"
    assert table.set_index("label").loc["stripes", "finding"] == "keeps_label"
    assert [row["label"] for row in verdicts[0].classes] == ["dark", "light", "stripes"]


@settings(max_examples=40)
@given(
    before=st.lists(st.booleans(), min_size=1, max_size=80).filter(any),
    data=st.data(),
    level=st.sampled_from([0.9, 0.95, 0.999]),
)
def test_the_interval_holds_the_ratio_and_widens_with_the_level(before: list[bool], data: Any, level: float) -> None:
    after = data.draw(st.lists(st.booleans(), min_size=len(before), max_size=len(before)))
    first, second = np.array(before), np.array(after)
    ratio, low, high = retained(first, second, level=level, seed=0)
    assert ratio == pytest.approx(second.sum() / first.sum())
    assert low <= ratio <= high
    _, lower, higher = retained(first, second, level=0.9999, seed=0)
    assert lower <= low
    assert high <= higher


def test_the_interval_covers_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for trial in range(300):
        before = generator.random(100) < 0.9
        after = np.where(before, generator.random(100) < 0.85, generator.random(100) < 0.3)
        truth = (0.9 * 0.85 + 0.1 * 0.3) / 0.9
        _, low, high = retained(before, after, level=0.95, seed=trial)
        covered += low <= truth <= high
    assert 0.91 <= covered / 300 <= 0.99


def test_equal_input_gives_equal_verdicts(judge: Judge, digits: Digits) -> None:
    _, first, _ = audited("light", judge, digits, limit=200)
    _, second, _ = audited("light", Judge(digits.train, digits.train_labels), digits, limit=200)
    assert len(first) == 2 * (1 + len(NAMES))
    pd.testing.assert_frame_equal(first, second)
