"""The process that writes a run, identified well enough to check later whether it is alive.

>>> alive(me())
True
"""

from __future__ import annotations

import json
import os
import socket

TAG = "hallmark.process"
_TOLERANCE = 5.0  # seconds: start times depend on the system clock, which may be adjusted in between


def me() -> str:
    """This process as JSON: host, pid, start in seconds since the epoch."""
    import psutil

    started = psutil.Process().create_time()
    return json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "started": started}, sort_keys=True)


def alive(identity: str) -> bool:
    """Whether the process is alive; one of another host counts as alive, because it cannot be checked."""
    import psutil

    owner = json.loads(identity)
    if owner["host"] != socket.gethostname():
        return True
    try:
        process = psutil.Process(owner["pid"])
        return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - owner["started"]) < _TOLERANCE
    except psutil.NoSuchProcess:
        return False
