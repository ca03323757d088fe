from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from hallmark.contracts.errors import MachineError
from hallmark.tracking import reachability, store
from tests import dead_servers

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

LIMIT = 0.5


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reachability, "_ANSWERED", {})
    monkeypatch.delenv(reachability.REGISTRY, raising=False)
    for name in ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (dead_servers.silent, r"no answer within 0\.5 seconds"),
        (dead_servers.dripping, r"no answer within 0\.5 seconds"),
        (lambda: contextlib.nullcontext(dead_servers.closed_port()), "refused"),
        (lambda: dead_servers.answering(500, b"oops"), "status 500"),
        (lambda: dead_servers.answering(404, b"no"), "not one of MLflow"),
        (lambda: dead_servers.answering(401, b"{}"), "credentials"),
        (lambda: dead_servers.answering(200, b"<html>"), "no JSON"),
        (lambda: dead_servers.answering(200, b"[1]"), "not one of MLflow"),
        (lambda: dead_servers.answering(200, b"{}"), "not one of MLflow"),
        (lambda: dead_servers.answering(200, b'{"experiments": 1, "registered_models": [1]}'), "not one of MLflow"),
    ],
)
@pytest.mark.parametrize("variable", [reachability.TRACKING, reachability.REGISTRY])
def test_a_server_that_does_not_answer_as_mlflow(
    monkeypatch: pytest.MonkeyPatch,
    workspace: Path,
    server: Callable[[], AbstractContextManager[int]],
    words: str,
    variable: str,
) -> None:
    with server() as port:
        monkeypatch.setenv(variable, f"http://me:secret@127.0.0.1:{port}")
        with pytest.raises(MachineError, match=words) as caught:
            reachability.check(limit=LIMIT if "within" in words else 60.0)
    assert str(caught.value).startswith(f"{variable} is http://…@127.0.0.1:{port}: ")
    assert "unset it to use" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "uri", ["foo", "./mlruns", "file:///tmp/mlruns", "htp://x", "http://", "sqlite:///", "sqlite://x.db", "ftp://x/y"]
)
def test_text_that_names_no_store(monkeypatch: pytest.MonkeyPatch, workspace: Path, uri: str) -> None:
    monkeypatch.setenv(reachability.TRACKING, uri)
    with pytest.raises(MachineError, match="MLFLOW_TRACKING_URI is "):
        reachability.check(limit=LIMIT)


def test_a_file_that_can_be_neither_created_nor_opened(monkeypatch: pytest.MonkeyPatch, workspace: Path) -> None:
    (workspace / "file").write_text("")
    for path in ("/proc/nowhere/mlflow.db", f"{workspace}/file/mlflow.db", f"{workspace}"):
        monkeypatch.setenv(reachability.TRACKING, f"sqlite:///{path}")
        with pytest.raises(MachineError, match=r"MLFLOW_TRACKING_URI is .*give a path that can be written"):
            reachability.check()


def test_a_check_does_not_create_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(reachability.TRACKING, f"sqlite:///{tmp_path}/new/mlflow.db")
    reachability.check()
    assert list(tmp_path.iterdir()) == []


def test_the_client_asks_before_mlflow_is_asked(monkeypatch: pytest.MonkeyPatch, workspace: Path) -> None:
    monkeypatch.setenv(reachability.TRACKING, f"http://127.0.0.1:{dead_servers.closed_port()}")
    with pytest.raises(MachineError, match="MLFLOW_TRACKING_URI is "):
        store.client()


def test_an_answer_counts_for_a_while(monkeypatch: pytest.MonkeyPatch, workspace: Path) -> None:
    with dead_servers.answering(200, b'{"experiments": [{"name": "Default"}]}') as port:
        monkeypatch.setenv(reachability.TRACKING, f"http://127.0.0.1:{port}")
        reachability.check(limit=60.0)
    reachability.check(limit=60.0)
    monkeypatch.setattr(reachability, "MEMORY", 0.0)
    with pytest.raises(MachineError, match="refused"):
        reachability.check(limit=60.0)
