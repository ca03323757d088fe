"""Delivers journals that earlier runs could not send to MLflow."""

from __future__ import annotations

import logging
from pathlib import Path

from hallmark.contracts.servers import without_password
from hallmark.tracking import address, delivery, journal, reachability, store

_log = logging.getLogger(__name__)


def deliver(root: Path = Path(), *, needed: bool = False) -> int:
    """Delivers the journals of ended or killed runs, oldest first, and returns their number.

    Journals of running processes and of other stores are skipped. If MLflow is unreachable they stay, with a warning
    or with a MachineError if ``needed``. Without a journal nothing is imported.
    """
    uri = address.tracking_uri()
    if not journal.some(root, uri):
        return 0
    why = reachability.fault(uri)
    delivered = 0
    for each in journal.left(root, lambda header: header.uri == uri):
        if why is None:
            try:
                delivery.deliver(each, store.client())
            except Exception as error:  # each kind of store raises its client's own
                why = delivery.reason(error, uri)
        if why is None:
            each.remove()
            delivered += 1
        else:
            each.release()
    if delivered:
        _log.warning("delivered the logs of %d earlier run%s to MLflow", delivered, "s" if delivered > 1 else "")
    if why is not None and needed:
        raise reachability.away(uri, why)
    if why is not None:
        _log.warning(
            "MLflow at %s accepts nothing (%s): the logs of earlier runs wait in %s",
            without_password(uri),
            why,
            root / journal.ROOM,
        )
    return delivered
