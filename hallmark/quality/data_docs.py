"""Great Expectations' Data Docs, rendered and made self-contained.

The library's pages load styles, scripts and icons from seven hosts (one of them the vendor's, with the time of the
visit); offline they are unstyled and the index is empty. This module removes external resources, adds a local style
sheet and writes the index as a table of the suites. Filtering and folding use CSS; script-drawn Vega charts are lost.
"""

from __future__ import annotations

import html
import json
import logging
import re
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from hallmark.quality.gx import library, quiet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SITE = "hallmark"
STYLE = Path(__file__).with_suffix(".css")
# blocks all requests, also those that a later version of the library adds
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_GONE = [
    re.compile(pattern, re.DOTALL | re.IGNORECASE)
    for pattern in (
        r"<script\b.*?</script>",
        r"<style\b.*?</style>",
        r"<link\b[^>]*>",
        r"<footer\b.*?</footer>",
        r"\sonclick=\"[^\"]*\"",
    )
]
_IMAGE = re.compile(r"<img\b[^>]*>", re.DOTALL | re.IGNORECASE)


def render_data_docs(store: Path, site: Path) -> Path:
    """Renders the results in ``store`` (of :func:`check`) as Data Docs in ``site``; the path of their first page."""
    gx = library()
    from great_expectations.core import RunIdentifier
    from great_expectations.core.expectation_validation_result import expectationSuiteValidationResultSchema
    from great_expectations.data_context.types.resource_identifiers import (
        ExpectationSuiteIdentifier,
        ValidationResultIdentifier,
    )

    shutil.rmtree(site, ignore_errors=True)
    with quiet(gx) as context:
        backend = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(site.resolve())}
        index = {"class_name": "DefaultSiteIndexBuilder"}
        context.add_data_docs_site(
            SITE,
            {
                "class_name": "SiteBuilder",
                "site_index_builder": index,
                "store_backend": backend,
                "show_how_to_buttons": False,
            },
        )
        results = read_results(store)
        for plain in results:
            result = expectationSuiteValidationResultSchema.load(plain)
            suite = gx.ExpectationSuite(name=result.suite_name)
            suite.add_expectation_configurations([one.expectation_config for one in result.results])
            context.suites.add(suite)
            key = ValidationResultIdentifier(
                expectation_suite_identifier=ExpectationSuiteIdentifier(name=result.suite_name),
                run_id=RunIdentifier(run_time=result.meta["validation_time"]),
                batch_identifier=result.suite_name,
            )
            context.validation_results_store.set(key, result)
        with errors_raised():
            context.build_data_docs(site_names=[SITE])
    assert (site / "index.html").exists(), "Great Expectations rendered no first page"
    return stand_alone(site, results)


def stand_alone(site: Path, results: Iterable[dict[str, Any]]) -> Path:
    """Rewrites the pages of ``site`` and returns its index page.

    ``results`` are the suites' validation results as JSON values.
    """
    style = STYLE.read_text(encoding="utf-8")
    for page in sorted(site.rglob("*.html")):
        page.write_text(_mended(page.read_text(encoding="utf-8"), style), encoding="utf-8")
    first = site / "index.html"
    first.write_text(_first_page(site, results, style), encoding="utf-8")
    return first


def _mended(text: str, style: str) -> str:
    for pattern in _GONE:
        text = pattern.sub("", text)
    text = _IMAGE.sub('<span class="brand">Data Docs</span>', text)
    assert "<head>" in text, "Great Expectations wrote a page without a head"
    return text.replace("<head>", f"<head>\n{_head(style)}", 1)


def _head(style: str) -> str:
    return (
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<link rel="icon" href="data:,">\n<style>\n{style}</style>\n'
    )


def _first_page(site: Path, results: Iterable[dict[str, Any]], style: str) -> str:
    rows = []
    for result in results:
        name, counts = result["suite_name"], result["statistics"]
        validation = next((site / "validations" / name).rglob("*.html")).relative_to(site).as_posix()
        suite = f"expectations/{name}.html"
        failed = counts["unsuccessful_expectations"]
        status = '<span class="held">all held</span>' if not failed else f'<span class="failed">{failed} failed</span>'
        rows.append(
            f'<tr><td><a href="{quote(validation)}">{html.escape(name)}</a></td><td>{status}</td>'
            f"<td>{counts['evaluated_expectations']}</td>"
            f'<td><a href="{quote(suite)}">what is expected</a></td></tr>'
        )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>Data Docs</title>\n'
        f"{_head(style)}</head>\n<body>\n<main>\n<h1>Data Docs</h1>\n"
        '<p class="text-muted">What Great Expectations checked in the last run of the stage validate, '
        "and every file that failed.</p>\n"
        "<table><thead><tr><th>Suite</th><th>Outcome</th><th>Expectations</th><th></th></tr></thead>\n<tbody>\n"
        + "\n".join(rows)
        + "\n</tbody></table>\n</main>\n</body>\n</html>\n"
    )


@contextmanager
def errors_raised() -> Iterator[None]:
    """Raises the first rendering error after the block; Great Expectations only logs such errors."""
    errors: list[BaseException] = []

    def catch(_record: logging.LogRecord) -> bool:
        error = sys.exc_info()[1]
        if error is not None:
            errors.append(error)
        return error is None

    logger = logging.getLogger("great_expectations.render.renderer.site_builder")
    logger.addFilter(catch)
    try:
        yield
    finally:
        logger.removeFilter(catch)
    if errors:
        raise errors[0]


def read_results(store: Path) -> list[dict[str, Any]]:
    """The validation results kept as ``store/<suite>.json``, by suite."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(store.glob("*.json"))]
