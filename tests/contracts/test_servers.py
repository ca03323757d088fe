from __future__ import annotations

import gc
import threading

import pytest

from hallmark.contracts import servers
from hallmark.contracts.errors import InputError
from hallmark.contracts.servers import Answer, NoAnswer
from tests import dead_servers

LIMIT = 0.5  # seconds that a server has here


def get(port: int, limit: float = 60.0) -> Answer:
    return servers.get(f"http://127.0.0.1:{port}/api", limit=limit)


def test_an_answer_is_whole() -> None:
    with dead_servers.answering(200, b'{"a": 1}') as port:
        assert get(port).json() == {"a": 1}


def test_a_closed_port_is_reported_with_the_reason() -> None:
    with pytest.raises(NoAnswer, match=r"nothing answers there .*refused"):
        get(dead_servers.closed_port())


@pytest.mark.parametrize("server", [dead_servers.silent, dead_servers.dripping])
def test_one_deadline_bounds_a_server_that_is_silent_or_drips(server: object) -> None:
    assert callable(server)
    with server() as port, pytest.raises(NoAnswer, match=r"no answer within 0\.5 seconds"):
        get(port, LIMIT)


def test_a_name_that_no_server_has() -> None:
    with pytest.raises(NoAnswer, match="nothing answers there"):
        servers.get("http://no-such-host.invalid/", limit=60.0)


@pytest.mark.parametrize(
    "url",
    ["", "foo", "./mlruns", "htp://x", "http://", "http://x:99999", "http://[::1", "http://x y/", "http://x:port/"],
)
def test_text_that_is_no_address(url: str) -> None:
    with pytest.raises(NoAnswer, match="that is no address"):
        servers.get(url, limit=LIMIT)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, b"{}", "other credentials"),
        (403, b"{}", "other credentials"),
        (404, b"{}", "is not MLflow"),
        (500, b"oops", "not well"),
        (503, b"{}", "not well"),
        (200, b"<html>", "no JSON"),
    ],
)
def test_answers_that_cannot_be_used(status: int, body: bytes, words: str) -> None:
    with dead_servers.answering(status, body) as port, pytest.raises(NoAnswer, match=words):
        servers.accepted(get(port), kind="MLflow")


def test_an_endless_answer_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "LIMIT", 10)
    with dead_servers.answering(200, b"x" * 100) as port, pytest.raises(NoAnswer, match="more than 10 bytes"):
        get(port)


def test_work_in_time_returns_or_raises_as_it_is() -> None:
    assert servers.within(60.0, lambda: 3) == 3
    with pytest.raises(KeyError, match="missing"):
        servers.within(60.0, lambda: dict[str, int]()["missing"])
    over = threading.Event()
    with pytest.raises(NoAnswer, match="no answer within"):
        servers.within(0.05, over.wait)
    over.set()


@pytest.mark.parametrize("given", ["0", "-1", "soon", "nan", "inf"])
def test_a_wrong_number_of_seconds(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv(servers.SECONDS, given)
    with pytest.raises(InputError, match=servers.SECONDS):
        servers.seconds()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pg8000 leaves its socket open
def test_a_database_that_does_not_open() -> None:
    with pytest.raises(NoAnswer, match="does not open"):
        servers.open_database(f"postgresql+pg8000://me:secret@127.0.0.1:{dead_servers.closed_port()}/x", limit=60.0)
    with dead_servers.silent() as port, pytest.raises(NoAnswer, match="no answer within"):
        servers.open_database(f"postgresql+pg8000://me:secret@127.0.0.1:{port}/x", limit=LIMIT)
    with pytest.raises(NoAnswer, match="driver"):
        servers.open_database("postgresql+nosuchdriver://me@127.0.0.1/x", limit=60.0)
    servers.open_database("sqlite://", limit=60.0)
    gc.collect()


def test_a_password_with_a_slash_is_not_shown() -> None:
    assert servers.without_password("postgresql://me:sec/ret@db/x") == "postgresql://…@db/x"
    assert servers.without_password("http://db/x") == "http://db/x"
