"""``hallmark predict`` and ``serve``: inference with a registered model."""

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
        typer.Argument(
            help="Image files, folders (searched recursively), or quoted glob patterns.", show_default=False
        ),
    ],
    model: Annotated[
        str | None, typer.Option(help="A model URI such as models:/name@champion. Default: this workspace's champion.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per line, with all raw and calibrated probabilities.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write a table to this .parquet or .csv file instead of printing lines.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Decoding processes. Default: one per core.")] = None,
) -> None:
    """Classify images with the registered champion.

    Prints path, class and probability, separated by tabs, or the error of a file that cannot be read. Probabilities
    are calibrated by the temperature fitted on the validation images; the JSON and the table hold the raw ones too.
    The model's files are first checked against their digests in the registry.

    Exit code: 0 if all files are classified, 3 if some fail, 2 if all fail.
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
        message = f"{len(failed)} of {len(files)} paths could not be classified ({'; '.join(failed[:3])}{more})"
        error = GateRefused if len(failed) < len(files) else InputError
        raise error(message, remedy="give complete image files; each failed row holds its error")


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on. Set HALLMARK_TOKEN for any but a loopback address.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 picks a free one.")] = 8080,
    model: Annotated[
        str | None, typer.Option(help="A model URI such as models:/name@champion. Default: this workspace's champion.")
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(help="Host name that clients may use in requests; repeatable.", show_default=False),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Decoding processes. Default: one per core.")] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Concurrent requests; more get 503. Default: 8 per worker.")
    ] = None,
) -> None:
    """Serve the champion over HTTP: POST images to /predict; /docs describes the API.

    Images are decoded under validate's limits on time, memory and pixels. The model's files are first checked against
    their digests in the registry. With HALLMARK_TOKEN set, requests need `Authorization: Bearer`.
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
    """The model's URI, the folder to use if no model is named or registered, and validate's limits per image."""
    from hallmark.images.guard import Limits
    from hallmark.serving.source import TRAIN

    params = stage_params_of(root)
    of = params["validate"]
    limits = Limits(max_pixels=of.max_pixels, seconds=of.seconds_per_image, memory_mib=of.memory_mib)
    if model is not None:
        return model, None, limits
    return f"models:/{params['register'].model_name}@champion", TRAIN, limits
