"""``hallmark predict`` and ``serve``: commands that ask the registered model."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  typer resolves the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.environment import prepare
from flows.invocation import root_folder, stage_params_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hallmark.images.guard import Limits


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

    root = root_folder()
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
        predictions = predicting.predict(files, model_uri=uri, limits=limits, workers=crew, fallback=fallback)
        rows = predictions.rows if out is None else scores.written(predictions.rows, predictions.classes, out)
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

    root = root_folder()
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
            ready=lambda message: typer.echo(message, err=True),
        )


def _answering(root: Path, model: str | None) -> tuple[str, Path | None, Limits]:
    """The URI of the model that answers, the folder that does where none was asked for and none is registered, limits.

    The limits of one image are those of validate.
    """
    from hallmark.images.guard import Limits
    from hallmark.serving.source import TRAIN

    params = stage_params_of(root)
    of = params["validate"]
    limits = Limits(max_pixels=of.max_pixels, seconds=of.seconds_per_image, memory_mib=of.memory_mib)
    if model is not None:
        return model, None, limits
    return f"models:/{params['register'].model_name}@champion", TRAIN, limits
