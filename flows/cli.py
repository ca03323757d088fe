"""The command line: ``hallmark run``, ``configure``, ``schedule``, ``predict``, ``serve``, ``report`` and others.

Exit codes: 0 done; 2 the user's input or params are wrong; 3 a gate refused; 4 the machine is in the way; 1 our fault.
Nothing heavy is imported before a command needs it: ``--help`` and a params error answer in a fraction of a second.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.environment import prepare

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hallmark.images.guard import Limits

app = typer.Typer(
    name="hallmark",
    help="From a folder of labelled images to a classifier you can vouch for.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

STOPPED = "stopped; what was finished is kept, and the same command goes on from there"

Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE | GROUP=PRESET]...", help="Values to set in params.yaml first.", show_default=False
    ),
]


def _version(asked: bool) -> None:
    """Prints the version and ends."""
    if not asked:
        return
    import platform
    from importlib.metadata import version

    typer.echo(f"hallmark {version('hallmark')} (Python {platform.python_version()})")
    raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """From a folder of labelled images to a classifier you can vouch for."""


@app.command()
def run(
    overrides: Overrides = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes for per-image work.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps. Default: the best there is.")] = None,
    runner: Annotated[
        str | None, typer.Option(help="Who measures the images: local, dask or ray. Default: local processes.")
    ] = None,
) -> None:
    """Run what is not up to date, as a Prefect flow; without anything to do, say so.

    Examples: hallmark run; hallmark run ingest.source=/path/to/images; hallmark run train.lr=1e-3 model=vit
    """
    import os

    from flows.console import Console
    from flows.environment import interruptible
    from hallmark.contracts import runtime
    from hallmark.pipeline.configuration import configure as apply
    from tasks import STAGES

    root = _root()
    if workers is not None:
        os.environ[runtime.WORKERS] = str(workers)
    if device is not None:
        os.environ[runtime.DEVICE] = device
    if runner is not None:
        os.environ[runtime.RUNNER] = runner
    runtime.runner()
    params = apply(STAGES, root, overrides or [], package="tasks", all_sources=True)
    from flows.launch import launch

    with interruptible(STOPPED):
        launch(root, params, Console())


@app.command()
def configure(overrides: Overrides = None) -> None:
    """Check params.yaml; with overrides, apply them, check the result and only then write it."""
    from hallmark.pipeline.configuration import configure as apply
    from tasks import STAGES

    apply(STAGES, _root(), overrides or [], package="tasks")
    typer.echo("params.yaml is valid" + (f"; {len(overrides)} applied" if overrides else ""))


@app.command()
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
    root = _root()
    params = _params(root)
    _prepare_with_servers(root)
    from flows.console import Console
    from flows.environment import interruptible
    from flows.tuning import Request
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


@app.command()
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
    root = _root()
    params = _params(root)
    _prepare_with_servers(root)
    from flows.ablation import Request
    from flows.ablation import ablate as compare
    from flows.console import Console
    from flows.environment import interruptible

    request = Request(steps=tuple(steps or ()), file=file, seeds=seeds, jobs=jobs, apply=apply)
    with interruptible(STOPPED):
        compare(root, params, request, Console())


@app.command()
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
    root = _root()
    params = _params(root)
    _prepare_with_servers(root)
    from flows.console import Console
    from flows.crossvalidation import Request, crossvalidate
    from flows.environment import interruptible

    request = Request(folds=folds, repeats=repeats, stratified=stratified, jobs=jobs, register=register)
    with interruptible(STOPPED):
        crossvalidate(root, params, request, Console())


@app.command()
def schedule(
    cron: Annotated[str, typer.Option(help='When, as five cron fields: "0 3 * * *" is every night at three.')],
    name: Annotated[str, typer.Option(help="The deployment's name.")] = "scheduled",
    port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, help="Port of the page, where no Prefect server is set. Default: 4200, or any free one."
        ),
    ] = None,
) -> None:
    """Serve a deployment of the training flow that runs on a schedule, until stopped with Ctrl+C."""
    root = _root()
    prepare(root)
    from flows.deployments import serve_schedule

    serve_schedule(root, cron=cron, name=name, port=port, say=typer.echo)


@app.command()
def predict(
    images: Annotated[
        list[str],
        typer.Argument(help="Image files, folders (with all below them), or quoted glob patterns.", show_default=False),
    ],
    model: Annotated[
        str | None, typer.Option(help="A model URI such as models:/name@champion. Default: this workspace's champion.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, with all probabilities, raw and calibrated.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write a table to this .parquet or .csv file, instead of lines.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes that decode. Default: one per core.")] = None,
) -> None:
    """Classify images with the registered champion.

    Prints path, class and probability, separated by tabs. The probability is calibrated by the temperature that was
    fitted on the validation images; the JSON and the table have the network's own, too. A file that gets no answer has
    a line with its error. Every file of the model is compared with its digest in the registry first.

    Exit code: 0 where all files got an answer, 3 where some did not, 2 where none did.
    Examples: hallmark predict a.png b.jpg; hallmark predict photos --out scores.csv; hallmark predict "in/**/*.png"
    """
    import json

    from hallmark.contracts import runtime
    from hallmark.contracts.errors import GateRefused, InputError

    root = _root()
    prepare(root)
    from hallmark.serving import paths, scores
    from hallmark.serving import predict as predicting

    if out is not None:
        scores.check(out)
    files = list(paths.expand(images))
    rows: Iterator[dict[str, Any]]
    if all(one.error for one in files):
        rows, out = ({"path": paths.printable(one.path), "error": one.error} for one in files), None
    else:
        uri, fallback, limits = _answering(root, model)
        crew = min(workers or runtime.workers(), len(files))
        found = predicting.predict(files, model_uri=uri, limits=limits, workers=crew, fallback=fallback)
        rows = found.rows if out is None else scores.written(found.rows, found.classes, out)
    failed: list[str] = []
    for row in predicting.watched(rows, len(files)):
        if "error" in row:
            failed.append(predicting.one_line(f"{row['path']}: {row['error']}"))
        if as_json:
            typer.echo(json.dumps(row, ensure_ascii=False))
        elif out is None:
            typer.echo(predicting.line(row))
    if out is not None:
        typer.echo(f"{out}: {len(files)} rows", err=True)
    if failed:
        more = f" and {len(failed) - 3} more" if len(failed) > 3 else ""
        message = f"{len(failed)} of {len(files)} paths got no answer ({'; '.join(failed[:3])}{more})"
        error = GateRefused if len(failed) < len(files) else InputError
        raise error(message, remedy="give whole image files; the rows say why each has none")


@app.command()
def serve(
    host: Annotated[
        str, typer.Option(help="The address to listen on. Other than this machine's own: set HALLMARK_TOKEN.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes any free one.")] = 8080,
    model: Annotated[
        str | None, typer.Option(help="A model URI such as models:/name@champion. Default: this workspace's champion.")
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(help="A name by which clients may call this server; repeat it for several.", show_default=False),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes that decode. Default: one per core.")] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Requests at a time; further ones get 503. Default: 8 per worker.")
    ] = None,
) -> None:
    """Serve the champion over HTTP: POST images to /predict; /docs describes the API.

    Images are decoded under the limits of time, memory and pixels that validate has. Every file of the model is
    compared with its digest in the registry first. With HALLMARK_TOKEN set, requests need `Authorization: Bearer`.
    """
    import os

    from flows.environment import interruptible
    from hallmark.contracts import runtime

    root = _root()
    prepare(root)
    from hallmark.serving import server

    access = server.Access.of(host, token=os.environ.get(server.TOKEN, ""), allowed=allowed_host or [])
    uri, fallback, limits = _answering(root, model)
    with interruptible():
        server.serve(
            uri,
            host=host,
            port=port,
            fallback=fallback,
            limits=limits,
            access=access,
            workers=workers or runtime.workers(),
            concurrency=concurrency,
            ready=lambda told: typer.echo(told, err=True),
        )


@app.command()
def review(
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port on this machine; 0 takes any free one.")] = 8090,
    open_it: Annotated[
        bool | None,
        typer.Option("--open/--no-open", help="Open it in the browser. Default: where there is a display."),
    ] = None,
) -> None:
    """Look at suspect images and decide: keep, drop, relabel. Writes data/review.csv; stop with Ctrl+C.

    The page answers on this machine alone. The next `hallmark run` applies the decisions.
    """
    import os

    from flows.environment import interruptible

    root = _root()
    prepare(root)
    from hallmark.reviewing.server import serve as listen

    display = sys.platform == "darwin" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))

    def ready(address: str) -> None:
        typer.echo(f"Review  {address}  (Ctrl+C stops it)")
        if display if open_it is None else open_it:
            import webbrowser

            webbrowser.open(address)

    with interruptible():
        listen(root, port=port, ready=ready)


@app.command()
def report(
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    save_quarantined: Annotated[
        Path | None, typer.Option(help="Instead: write the original files that were quarantined to this new folder.")
    ] = None,
) -> None:
    """Say where the page of the last run is (the report, or a gate's refusal), and those of experiments."""
    from hallmark.contracts.errors import InputError

    root = _root()
    if save_quarantined is not None:
        from hallmark.quality.quarantine import save_quarantined as save

        written, without = save(root, save_quarantined)
        typer.echo(f"{written} quarantined files are in {save_quarantined}, by reason")
        if without:
            typer.echo(f"{len(without)} could not be read when they were found: {', '.join(without[:5])}")
        return
    pages = sorted((root / ".hallmark" / "refusals").glob("*/index.html"))
    if not pages:
        pages = [root / "reports" / "index.html"]
    if not pages[0].exists():
        raise InputError("there is no report yet", remedy="run `hallmark run` first")
    for page in pages:
        typer.echo(str(page))
        if open_it:
            import webbrowser

            webbrowser.open(page.resolve().as_uri())
    for name in ("tuning", "ablation", "crossvalidation"):
        if (root / "reports" / f"{name}.html").exists():
            typer.echo(str(root / "reports" / f"{name}.html"))


@app.command()
def accept() -> None:
    """Accept the validated data set at hand: later ones are compared with it, and the report tells the drift."""
    from hallmark.quality.drift import accept as write

    typer.echo(f"data/accepted.json describes {write(_root())} images; commit it to git")


@app.command()
def doctor() -> None:
    """Look at installation, device, servers and workspace; mend what is safe to mend."""
    root = _root()
    prepare(root)
    from flows.doctor import examine

    raise typer.Exit(examine(root, typer.echo))


def _root() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        from hallmark.contracts.errors import InputError

        raise InputError("the current folder is no longer there", remedy="change to the root of a workspace") from error


def _answering(root: Path, model: str | None) -> tuple[str, Path | None, Limits]:
    """The URI of the model that answers, the folder that does where none was asked for and none is registered, limits.

    The limits of one image are those of validate.
    """
    from hallmark.images.guard import Limits
    from hallmark.serving.source import TRAIN

    params = _params(root)
    of = params["validate"]
    limits = Limits(max_pixels=of.max_pixels, seconds=of.seconds_per_image, memory_mib=of.memory_mib)
    if model is not None:
        return model, None, limits
    return f"models:/{params['register'].model_name}@champion", TRAIN, limits


def _prepare_with_servers(root: Path) -> None:
    """Prepares the environment; a server that does not answer is told before the imports of seconds."""
    from flows import prefect_server
    from hallmark.tracking import reachability

    prepare(root)
    prefect_server.check_early()
    reachability.check()


def _params(root: Path) -> dict[str, Any]:
    from hallmark.pipeline.configuration import stage_params
    from tasks import STAGES

    return stage_params(STAGES, root, package="tasks")


def main() -> None:
    """The entry point: every exception becomes one message and its exit code; its traceback goes to a log."""
    from hallmark.contracts.runtime import spare_collector
    from hallmark.pipeline.failures import leave

    spare_collector()
    try:
        app(standalone_mode=True)
    except Exception as error:
        command = next((word for word in sys.argv[1:] if word.isalpha()), "hallmark")
        sys.exit(leave(error, program="hallmark", command=command))


if __name__ == "__main__":
    main()
