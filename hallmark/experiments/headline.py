"""The headline of the stage evaluate: the test set, or the out-of-fold predictions of a cross-validation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hallmark.contracts import require
from hallmark.contracts.runtime import state
from hallmark.contracts.seeds import derive
from hallmark.judgement import out_of_fold, scheme
from hallmark.judgement.judged import Judged
from hallmark.learning import crossfit, pool, record
from hallmark.models import weights
from hallmark.models.params import BACKBONE
from hallmark.sampling import plan as planning
from hallmark.tracking import backbones

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hallmark.judgement.objective import Objective


def of(
    requested: str,
    folders: Mapping[str, Path],
    *,
    folds: int,
    objective: Objective,
    replicates: int,
    seed: int,
    out: Path,
) -> dict[str, Any]:
    """``scheme`` and ``crossvalidated`` of reports/evaluate.json; writes out_of_fold.parquet to ``out`` if it is used.

    ``requested`` is auto, holdout or crossval; ``folders`` are those of ingest, split, clean, balance, augment and
    train. Raises InputError for more ``folds`` than units.
    """
    plan, train = planning.read(folders["balance"]), folders["train"]
    recipe, model, trained_with, head_alone = record.read_recipe(train)
    images = pool.read(plan, ingest=folders["ingest"], split=folders["split"], clean=folders["clean"])
    shape = weights.describe(train)["input"]
    used, why = scheme.choose(
        requested,
        images=len(images),
        units=pool.units(images),
        folds=folds,
        epochs=0 if head_alone else record.epochs(train),
        values=shape["height"] * shape["width"] * shape["channels"],
    )
    if used != scheme.CROSSVAL:
        return {"scheme": {"used": used, "why": why}, "crossvalidated": None}
    total = images["unit"].nunique()
    require.that(
        folds <= total,
        f"is {folds}, but the images form only {total} units (groups and duplicate clusters stay whole)",
        remedy=f"set it to at most {total}, or {{scheme}} to holdout",
        field="folds",
        siblings=["scheme"],
    )
    transforms = json.loads((folders["augment"] / "policy.json").read_text(encoding="utf-8"))["transforms"]
    procedure = crossfit.Procedure(
        recipe=recipe, model=model, transforms=transforms, objective=objective, seed=trained_with, head_alone=head_alone
    )
    with backbones.finder(param=BACKBONE) as find:
        fitted = crossfit.fit(
            images,
            plan,
            procedure,
            ingest=folders["ingest"],
            state=state(),
            folds=folds,
            val=pool.validation_share(images),
            find=find,
        )
    fitted.table.drop(columns="cluster").to_parquet(out / "out_of_fold.parquet", index=False, compression="zstd")
    figures = out_of_fold.summarise(
        Judged.of(fitted.table, fitted.probabilities, fitted.classes),
        fitted.table["fold"].to_numpy("int64") - 1,
        fitted.n_train,
        objective=objective,
        replicates=replicates,
        seed=derive(seed, "folds"),
    )
    return {"scheme": {"used": used, "why": why}, "crossvalidated": {**figures, "epochs": fitted.epochs}}
