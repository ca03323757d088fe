"""A study in PostgreSQL: a throw-away cluster on the loopback, a killed ``hallmark tune``, and its going on."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Clone

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(900)]


def program(name: str) -> str:
    """The path of one of PostgreSQL's programs, which Debian keeps off the PATH; skips where it is not installed."""
    executable = shutil.which(name)
    if executable is None:
        places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
        if not places:
            pytest.skip(f"PostgreSQL is not installed: no {name} (Debian: apt-get install postgresql)")
        executable = str(places[-1])
    return executable


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """The URL of an empty database of a cluster that lives as long as the tests of this file."""
    import pg8000.dbapi

    initdb, postgres = program("initdb"), program("postgres")
    # not below pytest's folder, which is closed to the user that PostgreSQL has to run as where we are root
    folder = Path(tempfile.mkdtemp(prefix="hallmark-postgresql-"))
    owner = "postgres" if os.geteuid() == 0 else None
    if owner:
        shutil.chown(folder, owner)
    subprocess.run(
        [initdb, "--pgdata", folder / "data", "--username=hallmark", "--auth=trust", "--no-sync"],
        cwd=folder, user=owner, check=True, capture_output=True,
    )  # fmt: skip
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [postgres, "-D", folder / "data", "-h", "127.0.0.1", "-p", str(port), "-k", folder, "-F"],
        cwd=folder, user=owner, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                pg8000.dbapi.connect("hallmark", host="127.0.0.1", port=port, database="postgres").close()
                break
            except (pg8000.dbapi.InterfaceError, pg8000.dbapi.DatabaseError):
                assert server.poll() is None, "the server ended at its start"
                assert time.monotonic() < deadline, "the server does not answer"
                time.sleep(0.1)
        yield f"postgresql+pg8000://hallmark@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
        server.wait(timeout=60)
        shutil.rmtree(folder)


def states(database: str) -> list[str]:
    """The state of each trial in the database."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(database, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        if not sqlalchemy.inspect(connection).has_table("trials"):
            return []
        return [str(state) for (state,) in connection.execute(sqlalchemy.text("SELECT state::text FROM trials"))]


def test_a_killed_study_goes_on(database: str, clone: Callable[..., Clone], digits: Path, prefect_server: str) -> None:
    fresh = clone("killed", "preset=quick", f"ingest.source={digits}", "train.max_epochs=60")
    workspace = fresh.served_by(prefect_server)
    command = ["tune", "quick", "--sampler", "random", "--trials", "3", "--no-baseline", "--storage", database]
    workspace.killed(*command, when=lambda: sorted(states(database)) == ["COMPLETE", "RUNNING"], still=True)

    done = workspace.hallmark(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 trials of killed processes are repeated" in done.stdout
    trial_states = states(database)
    assert (trial_states.count("COMPLETE"), trial_states.count("RUNNING")) == (3, 0), trial_states
    assert not (workspace.root / ".hallmark" / "optuna.db").exists(), "the study is not where it was asked for"
