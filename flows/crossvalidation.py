"""``hallmark crossval``: cross-validates the pipeline over folds of the training and validation images.

Each fold runs clean, balance, augment and synthesize on its training part, in a light copy of the workspace over the
shared DVC cache. The test set is in no fold.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.experiments import CODE, TRAIN, Bench, Count, all_done, conduct, unit_of_work
from hallmark.contracts import durable
from hallmark.contracts.names import NO_FOLDER
from hallmark.contracts.tables import SPLIT, read_table, write_table
from hallmark.experiments import crossvalidation, preparation, trial
from hallmark.experiments import folds as dividing
from hallmark.experiments.crossvalidation import OUT_OF_FOLD, Metric
from hallmark.experiments.judging import PREDICTIONS
from hallmark.experiments.results import Crossvalidated
from hallmark.judgement.objective import describe
from hallmark.pipeline import overrides
from hallmark.reporting import experiment_pages
from hallmark.serving import ensemble
from hallmark.tracking import lineage, registry
from hallmark.tracking.runs import open_run
from tasks import STAGES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flows.console import Console
    from hallmark.experiments.folds import Fold
    from hallmark.experiments.trial import Outcome

NAME = "crossval"
ALIAS = "crossval"
BEFORE_TRAIN = tuple(stage for stage in STAGES if stage.name in ("clean", "balance", "augment", "synthesize"))
LINKS = tuple(Path("data") / name for name in ("ingest", "validate"))


@dataclass(frozen=True, kw_only=True)
class Request:
    """The command's options."""

    folds: int
    repeats: int
    stratified: bool
    jobs: int
    register: bool


def crossvalidate(root: Path, params: Mapping[str, Any], request: Request, console: Console) -> Crossvalidated:
    """Trains and scores each fold; with ``request.register`` registers the mean of the folds' models."""

    def work(bench: Bench) -> Crossvalidated:
        return _Work(bench=bench, request=request).run()

    result: Crossvalidated = conduct(NAME, root, params, console, jobs=request.jobs, work=work)
    page = root / "reports" / "crossvalidation.html"
    durable.write_text(page, experiment_pages.crossvalidation(result))
    for warning in result.warnings:
        console.warn(f"Note: {warning}")
    console.table(
        f"{request.folds} folds, repeated {request.repeats} times; each image scored by models not trained on it",
        experiment_pages.CROSSVALIDATION_HEADINGS,
        experiment_pages.crossvalidation_rows(result.metrics),
    )
    console.say(f"Out-of-fold predictions  {result.table}")
    if result.model_uri:
        console.say(f"Model  {result.model_uri} (alias {ALIAS}), the mean of {len(result.folds)} models")
    console.say(f"Page   {page}")
    return result


def divide(bench: Bench, *, folds: int, repeats: int, stratified: bool) -> tuple[list[Fold], list[str]]:
    """The folds of the workspace's training and validation images, and warnings."""
    split = read_table(bench.root / "data" / "split" / "split.parquet", SPLIT)
    shares = bench.params["split"]
    carved = shares.val / (1 - shares.test)
    return dividing.divide(split, folds=folds, repeats=repeats, stratified=stratified, val=carved, seed=shares.seed)


def fold_tree(bench: Bench, fold: Fold, trees: Path) -> preparation.Tree:
    """The tree below ``trees`` in which a fold's stages before train run; its split table is written beside it."""
    root = bench.root.resolve()
    split_table = trees / f"{fold.name}.parquet"
    trees.mkdir(exist_ok=True)
    write_table(fold.table, SPLIT, split_table)
    # existing out-of-fold predictions come from networks trained on images that this fold holds out
    text = (root / "params.yaml").read_text(encoding="utf-8")
    return preparation.Tree(
        root=root,
        folder=trees / fold.name,
        package="tasks",
        params=overrides.apply(text, [f"clean.out_of_fold={NO_FOLDER}"], conf=root / "conf"),
        stages=BEFORE_TRAIN,
        all_stages=STAGES,
        links=LINKS,
        replaced=((split_table, Path("data/split/split.parquet")),),
    )


@dataclass(kw_only=True)
class _Work:
    bench: Bench
    request: Request

    def run(self) -> Crossvalidated:
        bench, request, params = self.bench, self.request, self.bench.params
        divided, warnings = divide(bench, folds=request.folds, repeats=request.repeats, stratified=request.stratified)
        trees = bench.folder / "trees"
        durable.remove(trees)  # what a killed run left; its stages are in DVC's cache
        settings = dataclasses.asdict(request)
        key = trial.identity(TRAIN, params["train"], bench.root, CODE, **settings)
        bench.console.say(f"{len(divided)} trainings, {request.jobs} in parallel")
        try:
            with open_run(params["train"].tracking, key=key, stage=NAME, params=settings) as run:
                outcomes, folders = self._folds(divided, trees, run.run_id)
                objective = describe(params["train"].objective)
                metrics = crossvalidation.summarise(objective, divided, outcomes)
                for metric in metrics:
                    if metric.estimate["value"] is not None:
                        name = metric.name.replace("'", "").replace(" ", "_")
                        run.metrics({f"mean/{name}": metric.estimate["value"]}, step=len(divided))
                table = bench.folder / OUT_OF_FOLD
                predictions = crossvalidation.out_of_fold(divided, [folder / PREDICTIONS for folder in folders])
                predictions.to_parquet(table, index=False, compression="zstd")
                run.artifact(table)
                uri = self._register(folders, table, metrics) if request.register else ""
        finally:
            durable.remove(trees)
        return Crossvalidated(
            objective=objective,
            folds=[(fold.name, outcome) for fold, outcome in zip(divided, outcomes, strict=True)],
            metrics=metrics,
            warnings=warnings,
            table=table,
            model_uri=uri,
        )

    def _folds(self, divided: Sequence[Fold], trees: Path, parent: str) -> tuple[list[Outcome], list[Path]]:
        """The outcome and the trial folder of each fold; finished trainings are reused."""
        bench, params = self.bench, self.bench.params["train"]
        results: dict[str, tuple[Outcome, Path]] = {}
        count = Count(len(divided), "folds")

        def fold_work(fold: Fold) -> None:
            tree = fold_tree(bench, fold, trees)
            bench.prepare(tree)
            folder = bench.folder / "trials" / trial.identity(TRAIN, params, tree.folder, CODE)
            finished = trial.read(folder) is not None
            job = trial.Job(
                stage=TRAIN,
                package="tasks",
                params=params,
                data=tree.folder,
                folder=folder,
                cache=bench.cache,
                parent=parent,
                tags=(("hallmark.repeat", str(fold.repeat)), ("hallmark.fold", str(fold.number))),
                judged=fold.held_out,
                keep=True,
            )
            outcome = bench.train(job)
            results[fold.name] = outcome, folder
            durable.remove(tree.folder)
            what = "reused" if finished else f"{outcome.seconds:.1f} s"
            images = f"{outcome.n_judged} images scored, {outcome.n_train} trained on"
            bench.console.say(f"  fold {fold.name}  {outcome.objective:.4f}  {what}  {images}  ({count.more()})")

        all_done([unit_of_work(f"fold {fold.name}", partial(fold_work, fold)) for fold in divided])
        pairs = [results[fold.name] for fold in divided]
        return [outcome for outcome, _ in pairs], [folder for _, folder in pairs]

    def _register(self, folders: Sequence[Path], table: Path, metrics: Sequence[Metric]) -> str:
        """Registers the ensemble under its own alias: a model not evaluated on the test set cannot be champion."""
        bench, params = self.bench, self.bench.params["register"]
        members = [folder / "data" / "train" for folder in folders]
        values = {f"crossval_{metric.name}": metric.estimate["value"] for metric in metrics[:1]}
        version = registry.register(
            params.tracking,
            name=params.model_name,
            digest=ensemble.digest(members),
            package=partial(ensemble.export, members),
            weights=members[0] / "model.safetensors",
            extras={
                f"evaluation/{OUT_OF_FOLD}": table,
                "lineage/augmentation.json": bench.root / "data" / "augment" / "policy.json",
                "lineage/params.yaml": bench.root / "params.yaml",
            },
            tags={**lineage.tags(bench.root), "hallmark.ensemble": str(len(members))},
            metrics={name: value for name, value in values.items() if value is not None},
            against=None,
        )
        registry.point(params.model_name, ALIAS, version)
        return f"models:/{params.model_name}/{version}"
