"""``hallmark tune``, ``ablate`` and ``crossval``: commands that train many times."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.invocation import STOPPED, prepare_with_servers, root_folder, stage_params_of


def tune(
    space: Annotated[str, typer.Argument(help="A search space: a name in conf/search, or a .yaml file.")] = "default",
    trials: Annotated[int, typer.Option(min=1, help="Trials the study shall have in all.")] = 20,
    sampler: Annotated[str, typer.Option(help="tpe, gp, random or grid.")] = "tpe",
    pruner: Annotated[str, typer.Option(help="none, median or hyperband: ends trials that fall behind.")] = "none",
    jobs: Annotated[int, typer.Option(min=1, help="Trials at a time.")] = 1,
    storage: Annotated[
        str | None, typer.Option(help="The study's database, such as a PostgreSQL URL. Default: in .hallmark.")
    ] = None,
    study: Annotated[str | None, typer.Option(help="The study's name. Default: of the space, data and params.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0, help="Start no trial after so many seconds.")] = None,
    latency: Annotated[bool, typer.Option("--latency", help="Search for quality against latency.")] = False,
    folds: Annotated[int, typer.Option(min=0, help="Judge by cross-validation over so many folds.")] = 0,
    baseline: Annotated[bool, typer.Option(help="Train params.yaml as it is too, to compare with.")] = True,
    confirm: Annotated[
        int, typer.Option(help="Before --apply: train the best and params.yaml anew over so many seeds; 0: no.")
    ] = 5,
    apply: Annotated[bool, typer.Option("--apply", help="Write the best values to params.yaml.")] = False,
) -> None:
    """Search for better values of train and model, on validation images or folds; the test set stays closed.

    A study that was stopped or killed goes on where it was. Examples: hallmark tune --trials 30 --jobs 2;
    hallmark tune quick --sampler grid --apply; hallmark tune architecture --latency
    """
    if confirm < 0 or confirm == 1:
        from hallmark.contracts.errors import InputError

        raise InputError(
            f"--confirm is {confirm}", remedy="give 2 seeds or more, or 0 to apply the best trial as it is"
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
        typer.Argument(metavar="[STEP]...", help="Steps to leave out in turn. Default: those that are on."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=2, help="Runs of each side, in pairs of equal seeds.")] = 5,
    jobs: Annotated[int, typer.Option(min=1, help="Trainings at a time.")] = 1,
    file: Annotated[str, typer.Option(help="The list of steps: a name in conf/ablation.")] = "default",
    apply: Annotated[bool, typer.Option("--apply", help="Write the verdicts to params.yaml.")] = False,
) -> None:
    """Does each step help on this data? Train with and without it, judged on the validation images.

    What was trained is kept: after a kill the same command goes on. Examples: hallmark ablate --jobs 2;
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
    folds: Annotated[int, typer.Option(min=2, help="Parts that are held out in turn.")] = 5,
    repeats: Annotated[int, typer.Option(min=1, help="Times the images are divided anew.")] = 1,
    stratified: Annotated[bool, typer.Option(help="Each fold has the classes' shares.")] = True,
    jobs: Annotated[int, typer.Option(min=1, help="Folds at a time.")] = 1,
    register: Annotated[
        bool, typer.Option("--register", help="Register the folds' models as one, their mean.")
    ] = False,
) -> None:
    """How well does the pipeline do on images it has not seen? The test set is in no fold.

    Groups and duplicate clusters are held out whole; clean, balance, augment and synthesize run anew in each fold.
    What was trained is kept: after a kill the same command goes on. Example: hallmark crossval --folds 5 --jobs 2
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
