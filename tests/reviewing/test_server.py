from __future__ import annotations

import asyncio
import io
import os
import socket
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from PIL import Image

from hallmark.contracts.errors import InputError, MachineError
from hallmark.quality.review import read_review
from hallmark.reviewing.server import create_app, listen

if TYPE_CHECKING:
    from pathlib import Path

HERE = "http://127.0.0.1:8090"


class Client:
    """Requests to the application of a workspace, without a socket."""

    def __init__(self, root: Path) -> None:
        self.transport = httpx.ASGITransport(create_app(root))

    def get(self, path: str, **more: Any) -> httpx.Response:
        return asyncio.run(self._send("GET", path, **more))

    def post(self, path: str, **more: Any) -> httpx.Response:
        return asyncio.run(self._send("POST", path, **more))

    async def _send(self, verb: str, path: str, **more: Any) -> httpx.Response:
        async with httpx.AsyncClient(transport=self.transport, base_url=HERE) as client:
            return await client.request(verb, path, **more)


@pytest.fixture
def client(workspace: Path) -> Client:
    return Client(workspace)


def item(client: Client, path: str) -> dict[str, Any]:
    return next(one for one in client.get("/state").json()["items"] if one["path"] == path)


def decide(client: Client, path: str, decision: str | None, **more: Any) -> Any:
    body = {"path": path, "hash": item(client, path)["hash"], "decision": decision, **more}
    return client.post("/decisions", json=body)


def test_a_decision_is_written_and_undone(client: Client, workspace: Path) -> None:
    review = workspace / "data" / "review.csv"
    before = review.read_bytes()
    answer = decide(client, "a/wrong.png", "relabel", label="dog & co", note="a dog")
    assert answer.status_code == 200
    assert answer.json()["item"]["decision"]["label"] == "dog & co"
    assert item(client, "a/wrong.png")["decision"]["note"] == "a dog"
    row = read_review(review).iloc[0]
    assert (row["path"], row["decision"], row["label"], row["note"]) == ("a/wrong.png", "relabel", "dog & co", "a dog")
    assert row["content_hash"] == item(client, "a/wrong.png")["hash"]
    assert decide(client, "a/strange.png", "drop").json()["undoable"] == 2
    assert client.post("/undo", json={}).json() == {"path": "a/strange.png", "undoable": 1}
    assert decide(client, "a/wrong.png", None).json()["item"]["decision"] is None
    assert review.read_bytes() == before
    assert client.post("/undo", json={}).json()["path"] == "a/wrong.png"
    assert item(client, "a/wrong.png")["decision"]["decision"] == "relabel"


@pytest.mark.parametrize("path", ["/", "/state", "/picture?path=a/00.png", "/neighbours?path=a/wrong.png"])
def test_a_foreign_host_is_refused(client: Client, path: str) -> None:
    for host in ("attacker.example", "attacker.example:8090", "127.0.0.1.attacker.example", "192.168.0.7:8090", ""):
        assert client.get(path, headers={"Host": host}).status_code == 403
    for host in ("localhost:8090", "127.0.0.1:9000", "[::1]:8090"):
        assert client.get(path, headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://attacker.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_page_cannot_decide(client: Client, workspace: Path, headers: dict[str, str]) -> None:
    body = {"path": "a/wrong.png", "hash": item(client, "a/wrong.png")["hash"], "decision": "drop"}
    for address in ("/decisions", "/undo"):
        assert client.post(address, json=body, headers=headers).status_code == 403
    assert len(read_review(workspace / "data" / "review.csv")) == 0
    assert client.post("/decisions", json=body, headers={"Origin": HERE}).status_code == 200


def test_a_form_cannot_decide(client: Client) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        assert client.post("/undo", content=b"{}", headers={"Content-Type": kind}).status_code == 403


def test_unknown_paths_and_labels_are_refused(client: Client, workspace: Path) -> None:
    content_hash = item(client, "a/wrong.png")["hash"]
    for path in ("../../etc/passwd", "/etc/passwd", "no.png"):
        assert client.get("/picture", params={"path": path}).status_code == 404
        assert client.get("/neighbours", params={"path": path}).status_code == 404
        assert (
            client.post("/decisions", json={"path": path, "hash": content_hash, "decision": "drop"}).status_code == 404
        )
    assert client.get("/elsewhere").status_code == 404
    answer = decide(client, "a/wrong.png", "relabel", label="horse")
    assert (answer.status_code, answer.json()["detail"]) == (
        422,
        "there is no class 'horse'; choose one of cat, dog & co",
    )
    assert "keep it instead" in decide(client, "a/wrong.png", "relabel", label="cat").json()["detail"]
    assert decide(client, "a/wrong.png", "perhaps").status_code == 422
    assert decide(client, "a/wrong.png", "keep", extra=1).status_code == 422
    assert client.get("/picture", params={"path": "a/broken.png"}).status_code == 404
    assert client.get("/picture", params={"path": "a/00.png", "side": 100000}).status_code == 422
    assert len(read_review(workspace / "data" / "review.csv")) == 0


def test_a_decision_on_other_content_is_refused(client: Client) -> None:
    answer = client.post("/decisions", json={"path": "a/wrong.png", "hash": "0" * 64, "decision": "drop"})
    assert answer.status_code == 409
    assert "reload the page" in answer.json()["detail"]


def test_a_stale_decision_is_marked(workspace: Path) -> None:
    review = workspace / "data" / "review.csv"
    review.write_text(review.read_text() + f"a/07.png,{'0' * 64},drop,,,\ngone.png,{'0' * 64},keep,,,\n")
    client = Client(workspace)
    state = client.get("/state").json()
    assert state["items"][0]["path"] == "a/07.png"
    assert state["items"][0]["decision"] is None
    assert state["items"][0]["stale"] == {"decision": "drop", "label": ""}
    assert state["gone"] == ["gone.png"]
    assert decide(client, "a/07.png", "keep").json()["item"]["stale"] is None


def test_an_invalid_review_file_is_reported_not_overwritten(client: Client, workspace: Path) -> None:
    content_hash = item(client, "a/wrong.png")["hash"]
    review = workspace / "data" / "review.csv"
    review.write_text("path,verdict\n")
    answer = client.post("/decisions", json={"path": "a/wrong.png", "hash": content_hash, "decision": "drop"})
    assert (answer.status_code, "line 1" in answer.json()["detail"]) == (422, True)
    assert review.read_text() == "path,verdict\n"
    with pytest.raises(InputError, match="line 1: the columns are 'path,verdict'"):
        create_app(workspace)


def test_pictures_are_reduced_and_neighbours_are_of_both_labels(client: Client) -> None:
    answer = client.get("/picture", params={"path": "a/wrong.png", "side": 32})
    assert answer.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(answer.content)).size == (32, 32)
    rows = client.get("/neighbours", params={"path": "a/wrong.png"}).json()
    assert [(row["label"], len(row["pictures"])) for row in rows] == [("cat", 6), ("dog & co", 6)]
    assert {one["label"] for one in rows[1]["pictures"]} == {"dog & co"}
    rows = client.get("/neighbours", params={"path": "a/conflict.png"}).json()
    assert [one["path"] for one in rows[0]["pictures"]] == ["b/conflict.png"]


def test_a_finished_run_is_reloaded(client: Client, workspace: Path) -> None:
    assert len(client.get("/state").json()["items"]) == 8
    table_path = workspace / "data" / "clean" / "decisions.parquet"
    import pandas as pd

    from hallmark.contracts.tables import DECISIONS, write_table

    table = pd.read_parquet(table_path)
    table.loc[table["path"] == "a/strange.png", ["fate", "stage", "reasons"]] = ["kept", "", ""]
    write_table(table, DECISIONS, table_path)
    os.utime(table_path, ns=(1, 1))
    assert len(client.get("/state").json()["items"]) == 7


def test_the_page_is_self_contained(client: Client) -> None:
    answer = client.get("/")
    assert "http://" not in answer.text
    assert "https://" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_a_port_in_use_is_reported() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(MachineError, match=r"port \d+ cannot be used .*give another --port"):
            listen(taken.getsockname()[1])
