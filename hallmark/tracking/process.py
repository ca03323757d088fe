"""Who writes a run: enough of a process to tell later whether it still lives.

>>> alive(me())
True
"""

from __future__ import annotations

import json
import os
import socket

TAG = "hallmark.process"
_TOLERANCE = 5.0  # seconds: a process start is read with the clock of the machine, which may be set in between


def me() -> str:
    """This process as JSON: host, pid, start in seconds since the epoch."""
    import psutil

    started = psutil.Process().create_time()
    return json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "started": started}, sort_keys=True)


def alive(identity: str) -> bool:
    """Whether the process lives; one of another host is taken to live, since nothing here can tell."""
    import psutil

    owner = json.loads(identity)
    if owner["host"] != socket.gethostname():
        return True
    try:
        process = psutil.Process(owner["pid"])
        return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - owner["started"]) < _TOLERANCE
    except psutil.NoSuchProcess:
        return False
