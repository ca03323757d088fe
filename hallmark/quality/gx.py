"""Great Expectations itself: imported late, and quiet."""

from __future__ import annotations

import contextlib
import importlib
import logging
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType


def library() -> ModuleType:
    """The library, imported on first use: it takes 3 s."""
    with warnings.catch_warnings():
        # the library and its dependencies use deprecated features
        warnings.simplefilter("ignore")
        return importlib.import_module("great_expectations")


@contextlib.contextmanager
def imported_meanwhile() -> Iterator[None]:
    """Imports Great Expectations in a thread during a block that waits for other processes or libraries."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(library)
        yield
        coming.result()


@contextlib.contextmanager
def quiet(gx: ModuleType) -> Iterator[Any]:
    """An in-memory context without progress bars; the library logs errors only."""
    logger = logging.getLogger("great_expectations")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False, "metric_calculations": False}
        yield context
    finally:
        logger.setLevel(level)
