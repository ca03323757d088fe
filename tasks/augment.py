"""augment: the augmentation policy, audited on this data for keeping the labels; and a preview of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hallmark.contracts import require
from hallmark.contracts.errors import GateRefused
from hallmark.transforms import presets

if TYPE_CHECKING:
    from pathlib import Path

AUDITS = ("drop", "warn", "off")
CLASSES_LISTED = 20  # per transform in the Report, the worst first; audit.parquet holds all


@dataclass(frozen=True, kw_only=True)
class Params:
    """The section ``augment`` of params.yaml, and the shared seed."""

    seed: int
    policy: str | list[dict[str, Any]]
    audit: str | bool  # YAML reads a bare `off` as false
    audit_tolerance: float
    audit_confidence: float
    audit_min_images: int
    audit_weaker: tuple[float, ...]
    audit_train_images: int
    audit_images: int
    audit_size: int
    preview_images: int

    def __post_init__(self) -> None:
        presets.resolve(self.policy, field="policy")
        if self.audit is not False:
            require.one_of(AUDITS, audit=str(self.audit))
        require.in_range(0.0, 1.0, audit_tolerance=self.audit_tolerance)
        require.in_range(0.5, 0.9999, audit_confidence=self.audit_confidence)
        require.in_range(0.01, 0.99, audit_weaker=self.audit_weaker)
        weaker = list(self.audit_weaker)
        falling = weaker == sorted(weaker, reverse=True)
        require.that(falling, f"is {weaker}", remedy="give the strengths from high to low", field="audit_weaker")
        require.at_least(1, audit_min_images=self.audit_min_images)
        require.at_least(2, audit_train_images=self.audit_train_images)
        require.at_least(1, audit_images=self.audit_images)
        require.in_range(8, 1024, audit_size=self.audit_size)
        require.in_range(1, 8, preview_images=self.preview_images)


@dataclass(frozen=True, kw_only=True)
class Report:
    """reports/augment.json."""

    policy: str  # the preset, or "custom"
    audit: str
    asked: int  # transforms in the policy, groups opened
    outcomes: dict[str, int]  # kept, weakened, dropped, cannot_tell, left_out, warned, not_audited
    transforms: list[dict[str, Any]]
    judge: dict[str, Any] | None  # its training and validation images, and its accuracy on the latter
    whole: dict[str, Any] | None  # agreement retained by the policy that is left, as training applies it
    image: dict[str, int]  # height, width, channels of the audit and the preview


def run(params: Params, *, ingest: Path, split: Path, clean: Path, balance: Path, augment: Path, plots: Path) -> Report:
    """Writes policy.json, audit.parquet and preview.png. Raises GateRefused where there is no training image."""
    import numpy as np

    from hallmark.images.shards import Reader
    from hallmark.sampling import partitions
    from hallmark.transforms import audit as auditing
    from hallmark.transforms.preview import sheet
    from hallmark.transforms.sample import chosen, common_shape, labelled, pixels
    from hallmark.transforms.verdicts import Rule, warned

    action = "off" if params.audit is False else str(params.audit)
    transforms = presets.resolve(params.policy, field="policy")
    train = partitions.training(ingest=ingest, balance=balance)
    if train.empty:
        raise GateRefused("augment: no training image is left", remedy="loosen the sections clean and balance")
    val = partitions.validation(ingest=ingest, split=split, clean=clean, classes=train["label"])

    train = chosen(train, limit=params.audit_train_images, seed=params.seed)
    val = chosen(val, limit=params.audit_images, seed=params.seed)
    names = sorted(train["label"].unique())
    rule = Rule(
        tolerance=params.audit_tolerance,
        confidence=params.audit_confidence,
        min_images=params.audit_min_images,
        weaker=params.audit_weaker,
    )
    judge, judge_facts, whole = None, None, None
    with Reader(ingest) as reader:
        shape = common_shape(reader, train, limit=params.audit_size)
        examples = pixels(reader, train.head(params.preview_images), shape)
        if action == "off" or not transforms:
            verdicts, table = auditing.unaudited(transforms, "augment.audit is off")
        elif len(names) < 2:
            verdicts, table = auditing.unaudited(transforms, "there is one class only, and nothing to confuse it with")
        else:
            from hallmark.transforms.judge import Judge

            judge = Judge(*labelled(reader, train, shape, names))
            images, labels = labelled(reader, val, shape, names)
            verdicts, table = auditing.audit(
                transforms, judge=judge, images=images, labels=labels, names=names, rule=rule, seed=params.seed
            )
    if action == "warn":
        verdicts = [warned(verdict) for verdict in verdicts]
    policy = auditing.applied(verdicts, transforms)
    if judge is not None and len(val):
        right = judge(images) == labels
        judge_facts = {"train_images": len(train), "val_images": len(val), "accuracy": float(np.mean(right))}
        whole = auditing.whole(policy, judge=judge, images=images, labels=labels, rule=rule, seed=params.seed)

    text = json.dumps({"transforms": policy}, indent=2, ensure_ascii=False)
    (augment / "policy.json").write_text(text + "\n", encoding="utf-8")
    table.to_parquet(augment / "audit.parquet", engine="pyarrow", index=False, compression="zstd")
    (plots / "preview.png").write_bytes(sheet(verdicts, policy, examples, seed=params.seed))
    outcomes = [verdict.outcome for verdict in verdicts]
    return Report(
        policy=params.policy if isinstance(params.policy, str) else "custom",
        audit=action,
        asked=len(verdicts),
        outcomes={outcome: outcomes.count(outcome) for outcome in sorted(set(outcomes))},
        transforms=[verdict.summary(CLASSES_LISTED) for verdict in verdicts],
        judge=judge_facts,
        whole=whole,
        image=dict(zip(("height", "width", "channels"), shape, strict=True)),
    )
