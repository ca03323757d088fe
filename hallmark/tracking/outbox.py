"""What earlier runs could not deliver to MLflow, delivered now."""

from __future__ import annotations

import logging
from pathlib import Path

from hallmark.contracts.servers import without_password
from hallmark.tracking import address, delivery, journal, reachability, store

_log = logging.getLogger(__name__)


def deliver(root: Path = Path(), *, needed: bool = False) -> int:
    """Delivers the journals of runs that ended or were killed, the oldest first; how many there were.

    Those of living processes and of other stores are left alone. Where MLflow is away they stay, with a warning, or a
    MachineError where they are ``needed``. Nothing is imported where there is no journal.
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
        _log.warning("MLflow has now what %d earlier run%s had left for it", delivered, "s" if delivered > 1 else "")
    if why is not None and needed:
        raise reachability.away(uri, why)
    if why is not None:
        _log.warning(
            "MLflow at %s takes nothing (%s): what earlier runs logged waits in %s",
            without_password(uri),
            why,
            root / journal.ROOM,
        )
    return delivered
