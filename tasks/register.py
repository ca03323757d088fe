"""Applies the gate to the evaluated model and registers a model that passes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hallmark.contracts import require
from hallmark.judgement.gate import Gate  # noqa: TC001  the params loader resolves the annotation
from hallmark.judgement.objective import Objective  # noqa: TC001  the params loader resolves the annotation
from hallmark.tracking.params import Tracking  # noqa: TC001  the params loader resolves the annotation

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Params:
    """The section ``register`` of params.yaml, and the shared values."""

    seed: int
    objective: Objective
    tracking: Tracking
    model_name: str
    min_gain: float
    confidence: float
    replicates: int
    gate: Gate

    def __post_init__(self) -> None:
        require.at_least(0, seed=self.seed)
        name = self.model_name
        plain = bool(name.strip()) and not set(name) & set("/:'`\"@")
        require.that(plain, f"is '{name}'", remedy="give a name without / : @ and quotes", field="model_name")
        require.at_least(0, min_gain=self.min_gain)
        require.in_range(0.5, 0.999, confidence=self.confidence)
        require.in_range(100, 100_000, replicates=self.replicates)


@dataclass(frozen=True, kw_only=True)
class Report:
    """reports/register.json.

    ``decision`` is promoted, challenger or refused; ``lineage`` holds the digests of the package and of the inputs;
    ``comparison`` is that with the champion, None without one.
    """

    decision: str
    model_name: str
    model_uri: str | None
    version: int | None
    reasons: list[str]
    objective: dict[str, Any]
    comparison: dict[str, Any] | None
    lineage: dict[str, str]


def run(params: Params, *, augment: Path, train: Path, evaluate: Path, register: Path) -> Report:
    """Assesses the model, registers it unless the gate refuses it, and moves the alias of the decision."""
    import json
    from dataclasses import asdict
    from functools import partial
    from pathlib import Path

    import pandas as pd

    from hallmark.contracts.durable import write_text
    from hallmark.contracts.seeds import derive
    from hallmark.contracts.tables import CLUSTERS, read_table
    from hallmark.judgement import gate
    from hallmark.judgement.judged import Judged
    from hallmark.judgement.objective import describe
    from hallmark.serving import package
    from hallmark.tracking import contest, lineage, publication, registry

    classes = json.loads((train / "model.json").read_text(encoding="utf-8"))["classes"]
    clusters = read_table(evaluate / "clusters.parquet", CLUSTERS)
    judged = Judged.read(pd.read_parquet(evaluate / "predictions.parquet"), clusters, classes)
    digest = package.digest(train)
    inputs = {folder.name: lineage.digest(folder) for folder in (augment, train, evaluate)}
    value, reasons = gate.assess(
        params.gate,
        params.objective,
        judged,
        confidence=params.confidence,
        replicates=params.replicates,
        seed=derive(params.seed, "register", "gate"),
    )
    decision, version, champion, comparison = gate.REFUSED, None, None, None
    if not reasons:
        champion = registry.aliased(params.model_name, registry.CHAMPION)
        held = champion is not None and champion.tags.get(registry.DIGEST) == digest
        if champion is not None and held:
            champion = registry.compared(params.model_name, champion)
        decision, reason, comparison = contest.against(
            champion,
            judged,
            name=params.model_name,
            objective=params.objective,
            min_gain=params.min_gain,
            confidence=params.confidence,
            replicates=params.replicates,
            seed=derive(params.seed, "register", "comparison"),
        )
        if held and decision != gate.PROMOTED:
            decision, reason = gate.PROMOTED, f"it is the champion already; {reason}"
        reasons = [reason]
    published = publication.published(
        Path.cwd(), train, evaluate, name=params.model_name, decision=decision, reasons=reasons
    )
    if decision == gate.REFUSED:
        publication.refuse(params.tracking, weights=train / "model.safetensors", published=published)
    else:
        version = registry.register(
            params.tracking,
            name=params.model_name,
            digest=digest,
            package=partial(package.export, train),
            weights=train / "model.safetensors",
            extras=registry.extras(augment, evaluate),
            tags={**lineage.tags(Path.cwd()), **registry.temperature_tag(evaluate)},
            metrics={params.objective.metric: value},
            against=champion.number if champion is not None else None,
            published=published,
        )
        registry.point(
            params.model_name, registry.CHAMPION if decision == gate.PROMOTED else registry.CHALLENGER, version
        )
    report = Report(
        decision=decision,
        model_name=params.model_name,
        model_uri=f"models:/{params.model_name}/{version}" if version is not None else None,
        version=version,
        reasons=reasons,
        objective={"metric": describe(params.objective), "value": value},
        comparison=asdict(comparison) if comparison is not None else None,
        lineage={"package": digest, **inputs},
    )
    rival = champion if decision == gate.CHALLENGER else None
    receipt = {
        **asdict(report),
        "digest": digest,
        "champion": {"version": rival.number, "digest": rival.tags.get(registry.DIGEST)} if rival else None,
    }
    text = json.dumps(receipt, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    write_text(register / registry.RECEIPT, text)
    return report
