"""A hook called with each epoch's objective; it may end the training by raising an exception.

>>> calls = []
>>> with on_epoch_end(lambda epoch, epochs, objective: calls.append((epoch, epochs, objective))):
...     call(1, 12, 0.5)
>>> call(2, 12, 0.6)  # no hook is installed
>>> calls
[(1, 12, 0.5)]
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Hook = Callable[[int, int, float], None]

_hook: ContextVar[Hook | None] = ContextVar("hallmark_epoch_hook", default=None)


def call(epoch: int, epochs: int, objective: float) -> None:
    """Calls the hook, if one is installed; an exception from it ends the training."""
    hook = _hook.get()
    if hook is not None:
        hook(epoch, epochs, objective)


@contextmanager
def on_epoch_end(hook: Hook) -> Iterator[None]:
    """``hook`` takes (epoch from 1, of how many, objective on the validation images) of the block's trainings."""
    token = _hook.set(hook)
    try:
        yield
    finally:
        _hook.reset(token)
