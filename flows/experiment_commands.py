"""``hallmark tune``, ``ablate`` and ``crossval``: commands that train many times."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.invocation import STOPPED, prepare_with_servers, root_folder, stage_params_of


def tune(
    space: Annotated[str, typer.Argument(help="A search space: a name in conf/search, or a .yaml file.")] = "default",
    trials: Annotated[int, typer.Option(min=1, help="Total trials of the study, finished ones included.")] = 20,
    sampler: Annotated[str, typer.Option(help="tpe, gp, random or grid.")] = "tpe",
    pruner: Annotated[str, typer.Option(help="none, median or hyperband: stops unpromising trials early.")] = "none",
    jobs: Annotated[int, typer.Option(min=1, help="Parallel trials.")] = 1,
    storage: Annotated[
        str | None, typer.Option(help="Database URL of the study, e.g. PostgreSQL. Default: SQLite in .hallmark.")
    ] = None,
    study: Annotated[str | None, typer.Option(help="Study name. Default: derived from space, data and params.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0, help="Start no new trial after this many seconds.")] = None,
    latency: Annotated[
        bool, typer.Option("--latency", help="Optimise quality and latency together (Pareto front).")
    ] = False,
    folds: Annotated[
        int,
        typer.Option(min=0, help="Score trials by cross-validation over this many folds; 0: on the validation images."),
    ] = 0,
    baseline: Annotated[bool, typer.Option(help="Also train the current params.yaml, for comparison.")] = True,
    confirm: Annotated[
        int,
        typer.Option(help="Before --apply, retrain the best trials and params.yaml with this many new seeds; 0: skip."),
    ] = 5,
    apply: Annotated[bool, typer.Option("--apply", help="Write the best values to params.yaml.")] = False,
) -> None:
    """Tune train and model params on the validation images or folds; the test set is not used.

    An interrupted study resumes when the same command runs again. Examples: hallmark tune --trials 30 --jobs 2;
    hallmark tune quick --sampler grid --apply; hallmark tune architecture --latency
    """
    if confirm < 0 or confirm == 1:
        from hallmark.contracts.errors import InputError

        raise InputError(
            f"--confirm is {confirm}", remedy="give 2 seeds or more, or 0 to apply the best trial without confirmation"
        )
    root = root_folder()
    params = stage_params_of(root)
    prepare_with_servers(root)
    from flows.console import Console
    from flows.environment import interruptible
    from flows.trials import Request
    from flows.tuning import tune as search

    request = Request(
        space=space,
        trials=trials,
        sampler=sampler,
        pruner=pruner,
        jobs=jobs,
        storage=storage,
        study=study,
        seconds=seconds,
        latency=latency,
        folds=folds,
        baseline=baseline,
        confirm=confirm,
        apply=apply,
    )
    with interruptible(STOPPED):
        search(root, params, request, Console())


def ablate(
    steps: Annotated[
        list[str] | None,
        typer.Argument(metavar="[STEP]...", help="Steps to ablate, one at a time. Default: all enabled steps."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=2, help="Training runs per variant, paired by seed.")] = 5,
    jobs: Annotated[int, typer.Option(min=1, help="Parallel trainings.")] = 1,
    file: Annotated[str, typer.Option(help="The list of steps: a name in conf/ablation.")] = "default",
    apply: Annotated[bool, typer.Option("--apply", help="Write the verdicts to params.yaml.")] = False,
) -> None:
    """Measure what each step gains: train with and without it, compare on the validation images.

    Finished trainings are reused when the same command runs again. Examples: hallmark ablate --jobs 2;
    hallmark ablate clean augment mixup --seeds 8
    """
    root = root_folder()
    params = stage_params_of(root)
    prepare_with_servers(root)
    from flows.ablation import Request
    from flows.ablation import ablate as compare
    from flows.console import Console
    from flows.environment import interruptible

    request = Request(steps=tuple(steps or ()), file=file, seeds=seeds, jobs=jobs, apply=apply)
    with interruptible(STOPPED):
        compare(root, params, request, Console())


def crossval(
    folds: Annotated[int, typer.Option(min=2, help="Number of folds.")] = 5,
    repeats: Annotated[int, typer.Option(min=1, help="Repetitions, each with a new random division.")] = 1,
    stratified: Annotated[bool, typer.Option(help="Keep the class proportions in each fold.")] = True,
    jobs: Annotated[int, typer.Option(min=1, help="Parallel folds.")] = 1,
    register: Annotated[
        bool, typer.Option("--register", help="Register the mean of the folds' models as one model.")
    ] = False,
) -> None:
    """Cross-validate the pipeline on the training and validation images; the test set is not used.

    Groups and duplicate clusters stay within one fold; clean, balance, augment and synthesize run in each fold.
    Finished trainings are reused when the same command runs again. Example: hallmark crossval --folds 5 --jobs 2
    """
    root = root_folder()
    params = stage_params_of(root)
    prepare_with_servers(root)
    from flows.console import Console
    from flows.crossvalidation import Request, crossvalidate
    from flows.environment import interruptible

    request = Request(folds=folds, repeats=repeats, stratified=stratified, jobs=jobs, register=register)
    with interruptible(STOPPED):
        crossvalidate(root, params, request, Console())
