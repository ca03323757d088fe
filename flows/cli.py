"""The command line: ``hallmark run``, ``configure``, ``schedule``, ``predict``, ``serve``, ``report`` and others.

Exit codes: 0 done; 2 the user's input or params are wrong; 3 a gate refused; 4 the machine is in the way; 1 our fault.
Nothing heavy is imported before a command needs it: ``--help`` and a params error answer in a fraction of a second.
"""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003  typer resolves the annotations
from typing import Annotated

import typer

from flows import experiment_commands, model_commands
from flows.environment import prepare
from flows.invocation import STOPPED, current_folder, root_folder
from flows.invocation import changes as overrides_of

app = typer.Typer(
    name="hallmark",
    help="From a folder of labelled images to a classifier you can vouch for.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE | GROUP=PRESET]...",
        help="Changes to params.yaml, checked and written before the run.",
        show_default=False,
    ),
]


def _version(requested: bool) -> None:
    """Prints the version and ends."""
    if not requested:
        return
    import platform
    from importlib.metadata import version

    from hallmark.contracts.names import DISTRIBUTION

    typer.echo(f"hallmark {version(DISTRIBUTION)} (Python {platform.python_version()})")
    raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """From a folder of labelled images to a classifier you can vouch for."""


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="The workspace to create.", show_default=False)],
    source: Annotated[
        Path | None, typer.Option(help="Your images (ingest.source). Default: the built-in digits.", show_default=False)
    ] = None,
) -> None:
    """Create a workspace for your images: params.yaml, conf/, dvc.yaml and Git, without a copy of the code.

    An existing folder must hold none of these files.
    Examples: hallmark init my-project; hallmark init my-project --source /path/to/images
    """
    from flows.new_workspace import create, next_steps

    typer.echo(next_steps(create(folder, source), current_folder()))


@app.command()
def run(
    changes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PATH] [KEY=VALUE | GROUP=PRESET]...",
            help="The images (ingest.source) and other changes to params.yaml, checked and written before the run.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes for per-image work.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps. Default: the fastest available.")] = None,
    runner: Annotated[
        str | None,
        typer.Option(
            help="Executor for per-image work: local processes, Dask or Ray (local, dask, ray). Default: local."
        ),
    ] = None,
) -> None:
    """Run the pipeline as a Prefect flow; stages that are up to date are skipped.

    Examples: hallmark run; hallmark run /path/to/images; hallmark run /path/to/images train.lr=1e-3 model=vit
    """
    import os

    from flows.console import Console
    from flows.environment import interruptible
    from hallmark.contracts import runtime
    from hallmark.pipeline.configuration import configure as apply
    from tasks import STAGES

    root = root_folder()
    if workers is not None:
        os.environ[runtime.WORKERS] = str(workers)
    if device is not None:
        os.environ[runtime.DEVICE] = device
    if runner is not None:
        os.environ[runtime.RUNNER] = runner
    runtime.runner()
    params = apply(STAGES, root, overrides_of(changes or [], root), package="tasks", all_sources=True)
    from flows.launch import launch

    with interruptible(STOPPED):
        launch(root, params, Console())


@app.command()
def configure(overrides: Overrides = None) -> None:
    """Check params.yaml; overrides are written only if the result is valid."""
    from hallmark.pipeline.configuration import configure as apply
    from tasks import STAGES

    apply(STAGES, root_folder(), overrides or [], package="tasks")
    typer.echo("params.yaml is valid" + (f"; {len(overrides)} applied" if overrides else ""))


@app.command()
def upgrade() -> None:
    """After an upgrade of Hallmark: add new settings to params.yaml, with their defaults, and render dvc.yaml again."""
    from flows.upgrade import upgrade as bring_up_to_date

    for line in bring_up_to_date(root_folder()):
        typer.echo(line)


app.command()(experiment_commands.tune)
app.command()(experiment_commands.ablate)
app.command()(experiment_commands.crossval)


@app.command()
def schedule(
    cron: Annotated[str, typer.Option(help='Schedule in UTC as five cron fields: "0 3 * * *" runs daily at 03:00.')],
    name: Annotated[str, typer.Option(help="The deployment's name.")] = "scheduled",
    port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            help="Port of the Prefect page, if hallmark starts the server. Default: 4200, or any free one.",
        ),
    ] = None,
) -> None:
    """Run the training flow on a schedule until stopped with Ctrl+C."""
    root = root_folder()
    prepare(root)
    from flows.deployments import serve_schedule

    serve_schedule(root, cron=cron, name=name, port=port, say=typer.echo)


app.command()(model_commands.predict)
app.command()(model_commands.serve)


@app.command()
def review(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Local port; 0 picks a free one.")] = 8090,
    open_it: Annotated[
        bool | None,
        typer.Option("--open/--no-open", help="Open the page in the browser. Default: yes, if there is a display."),
    ] = None,
) -> None:
    """Review suspect images in the browser: keep, drop or relabel.

    The page is reachable from this machine only; stop it with Ctrl+C. Decisions go to data/review.csv, which the next
    `hallmark run` applies.
    """
    import os

    from flows.environment import interruptible

    root = root_folder()
    prepare(root)
    from hallmark.reviewing.server import serve as listen

    display = sys.platform == "darwin" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))

    def ready(address: str) -> None:
        typer.echo(f"Review  {address}  (stop with Ctrl+C)")
        if display if open_it is None else open_it:
            import webbrowser

            webbrowser.open(address)

    with interruptible():
        listen(root, port=port, ready=ready)


@app.command()
def report(
    open_it: Annotated[bool, typer.Option("--open", help="Open the pages in the browser.")] = False,
    save_quarantined: Annotated[
        Path | None, typer.Option(help="Write the quarantined original files to this new folder instead.")
    ] = None,
) -> None:
    """Print the paths of the report (or of a gate's refusal) and of the experiment pages."""
    from hallmark.contracts.errors import InputError

    root = root_folder()
    if save_quarantined is not None:
        from hallmark.quality.quarantine import save_quarantined as save

        written, without = save(root, save_quarantined)
        typer.echo(f"{written} quarantined files written to {save_quarantined}, one folder per reason")
        if without:
            typer.echo(f"{len(without)} files could not be read by ingest: {', '.join(without[:5])}")
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
    """Accept the current data set as the reference; later reports show the drift from it."""
    from hallmark.quality.drift import accept as write

    typer.echo(f"data/accepted.json describes {write(root_folder())} images; commit it to git")


@app.command()
def doctor() -> None:
    """Check installation, device, servers and workspace; repair what is safe to repair."""
    root = current_folder()
    prepare(root)
    from flows.doctor import examine

    raise typer.Exit(examine(root, typer.echo))


def main() -> None:
    """Entry point: turns every exception into one message and an exit code; the traceback goes to a log."""
    from hallmark.contracts.runtime import spare_collector
    from hallmark.pipeline.failures import report

    spare_collector()
    try:
        app(standalone_mode=True)
    except Exception as error:
        command = next((word for word in sys.argv[1:] if word.isalpha()), "hallmark")
        sys.exit(report(error, program="hallmark", command=command))


if __name__ == "__main__":
    main()
