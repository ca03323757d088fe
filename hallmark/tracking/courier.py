"""Delivers a run's journal to MLflow while the run is active.

A server is written to from a background thread, so that training never waits for the network. A SQLite file is written
to between two steps: the write is quick, and a thread would cost more through the interpreter lock than it saves.

While MLflow is unreachable or refuses, events stay in the journal and delivery is retried every :data:`RETRY` seconds.
A warning marks the start of an outage, another its end.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from hallmark.contracts.servers import without_password
from hallmark.tracking import address, delivery, reachability, store
from hallmark.tracking.journal import ROOM

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from hallmark.tracking.journal import Journal

EVERY = 1.5  # seconds between deliveries: a batch costs what a single value costs
RETRY = 5.0  # seconds between attempts during an outage
PATIENCE = 15.0  # seconds without progress after which the end of a run stops waiting
SHORT = 6.0  # the same during an outage

_log = logging.getLogger(__name__)


class Courier:
    """Delivers one journal, from :meth:`start` to :meth:`finish`. ``seconds`` is the time spent delivering."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._client: MlflowClient | None = None
        self._wake, self._tried = threading.Event(), threading.Event()
        self._last = False
        self._left_alone = False
        self._thread: threading.Thread | None = None
        if address.database(journal.header.uri) is None:
            self._thread = threading.Thread(target=self._work, name=f"mlflow {journal.name}", daemon=True)
        self._next = time.monotonic() + EVERY
        self.away: str | None = None
        self.seconds = 0.0

    def start(self) -> None:
        """Starts the delivery thread, if there is one."""
        if self._thread is not None:
            self._thread.start()

    def lost(self, why: str) -> None:
        """Warns, once per outage, that the store accepts nothing."""
        if self.away is None:
            _log.warning(
                "MLflow at %s accepts nothing (%s): the run continues and its log waits in %s",
                without_password(self._journal.header.uri),
                why,
                ROOM,
            )
        self.away = why

    def deliver_if_due(self) -> None:
        """Call after each event: delivers if the store is a SQLite file and delivery is due."""
        if self._thread is None and time.monotonic() >= self._next:
            self._attempt()
            self._next = time.monotonic() + self._pause()

    def flush(self, seconds: float = PATIENCE) -> None:
        """Waits for one attempt to deliver all events so far."""
        if self._thread is None:
            self._attempt()
            return
        for _ in range(2):  # one may be under way that began before
            self._tried.clear()
            self._wake.set()
            self._tried.wait(seconds)

    def finish(self) -> None:
        """Delivers the rest while that makes progress; then the journal belongs to the caller again."""
        if self._thread is None:
            self._attempt()
            return
        self._last = True
        self._wake.set()
        patience = PATIENCE if self.away is None else SHORT
        delivered, since = self._journal.delivered, time.monotonic()
        while self._thread.is_alive() and time.monotonic() - since < patience:
            self._thread.join(0.2)
            if self._journal.delivered != delivered:
                delivered, since = self._journal.delivered, time.monotonic()
        self._left_alone = self._thread.is_alive()

    def _work(self) -> None:
        while True:
            last = self._last  # read before the attempt: later events would be left out
            self._attempt()
            self._tried.set()
            if last:
                return
            self._wake.wait(self._pause())
            self._wake.clear()

    def _pause(self) -> float:
        return RETRY if self.away is not None else EVERY

    def _attempt(self) -> None:
        if not self._journal.waits:
            return
        started = time.perf_counter()
        try:
            self._journal.sync()
            why = reachability.fault(self._journal.header.uri)
            if self._left_alone:  # the journal has another owner by now, or none
                return
            if why is None:
                self._client = self._client or store.client()
                delivery.deliver(self._journal, self._client)
        except Exception as error:  # each kind of store (SQL, S3, Azure, GCS) raises its client's own
            why = delivery.reason(error, self._journal.header.uri)
        self.seconds += time.perf_counter() - started
        if self._left_alone:  # this attempt came back too late
            return
        if why is not None:
            self.lost(why)
        elif self.away is not None:
            self.away = None
            _log.warning("MLflow answers again: the waiting log is delivered")
