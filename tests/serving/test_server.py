"""The server as a process: its answers, its limits, and how it ends."""

from __future__ import annotations

import base64
import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from hallmark.contracts.errors import MachineError
from hallmark.serving import bodies, server
from tests.serving.test_predict import progressive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIMIT = 1_000_000
CHROMIUM = "/usr/bin/chromium"
CODE = """
import json, sys
from pathlib import Path
from hallmark.images.guard import Limits
from hallmark.serving import bodies, connections, server
from hallmark.serving.classifier import FILES
from hallmark.serving.source import Source

def resolve(uri, fallback):
    files = {name: (Path(uri) / name).read_bytes() for name in FILES}
    return Source(files=files, name="animals", version=4, digest="abc", temperature=2.0)

if __name__ == "__main__":
    config = json.loads(sys.argv[1])
    server.resolve = resolve
    connections.SECONDS = config["head"]
    server.create_app.__kwdefaults__["limit"] = config["limit"]
    limits = Limits(max_pixels=10**9, seconds=config["seconds"], memory_mib=512)
    access = server.Access.of("127.0.0.1", token=config["token"], allowed=[])
    server.serve(config["folder"], host="127.0.0.1", port=0, limits=limits, access=access, workers=1, concurrency=2,
                 ready=lambda line: print(line, flush=True))
"""


def ask(url: str, data: bytes | None = None, kind: str = "application/octet-stream", **more: str) -> tuple[int, Any]:
    request = urllib.request.Request(url, data=data, headers={"Content-Type": kind, **more})
    try:
        with urllib.request.urlopen(request, timeout=300) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.fixture(scope="module")
def folder(train: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from hallmark.serving import package

    path = tmp_path_factory.mktemp("package")
    package.export(train, path)
    (path / "serve.py").write_text(CODE)
    return path


@contextlib.contextmanager
def serving(
    folder: Path, *, seconds: float, token: str = "", head: float = 3600
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    config = {"folder": str(folder), "limit": LIMIT, "seconds": seconds, "token": token, "head": head}
    started = subprocess.Popen(
        [sys.executable, str(folder / "serve.py"), json.dumps(config)], stdout=subprocess.PIPE, text=True
    )
    assert started.stdout is not None
    with started.stdout:
        try:
            line = started.stdout.readline()
            assert line.startswith("Serving animals (version 4) on http://127.0.0.1:"), line
            yield line.split(" on ")[1].split(",")[0], started
        finally:
            started.kill()
            started.wait()


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    with serving(folder, seconds=5) as (address, _):
        yield address


@pytest.fixture(scope="module")
def patient(folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server whose time limit no file of these tests reaches."""
    with serving(folder, seconds=3600) as server_process:
        yield server_process


def form(*images: bytes) -> bytes:
    parts = [
        f'--b\r\nContent-Disposition: form-data; name="images"; filename="{number}.png"\r\n\r\n'.encode() + image
        for number, image in enumerate(images)
    ]
    return b"\r\n".join([*parts, b"--b--\r\n"])


def send(url: str, body: bytes, *, sent: int | None = None) -> socket.socket:
    """A request in progress: its whole body, or the first ``sent`` bytes."""
    host, port = url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)))
    head = f"POST /predict HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    connection.sendall(head + body[:sent])
    return connection


def working(started: subprocess.Popen[str]) -> bool:
    """Whether a decoding process is busy."""
    return any(each.cpu_percent(0.3) > 0 for each in psutil.Process(started.pid).children())


@pytest.mark.pipeline
def test_one_image_in_each_kind_of_body(url: str, picture: bytes) -> None:
    status, answer = ask(f"{url}/predict", picture, "image/png")
    assert (status, set(answer)) == (200, {"label", "probabilities", "calibrated", "version"})
    assert answer["version"] == 4
    for key in ("probabilities", "calibrated"):
        assert set(answer[key]) == {"cat", "dog", "owl"}
        assert sum(answer[key].values()) == pytest.approx(1)
        assert answer["label"] == max(answer[key], key=answer[key].get)
    text = base64.b64encode(picture).decode()
    for body, kind in (
        (picture, "application/x-www-form-urlencoded"),
        (form(picture), "multipart/form-data; boundary=b"),
        (json.dumps({"image": text}).encode(), "application/json; charset=utf-8"),
    ):
        assert ask(f"{url}/predict", body, kind) == (200, answer)
    status, several = ask(f"{url}/predict", json.dumps({"images": [text] * 3}).encode(), "application/json")
    assert (status, several) == (
        200,
        {"answers": [{k: v for k, v in answer.items() if k != "version"}] * 3, "version": 4},
    )
    status, metadata = ask(f"{url}/metadata")
    assert (status, metadata["name"], metadata["version"], metadata["classes"]) == (
        200,
        "animals",
        4,
        ["cat", "dog", "owl"],
    )
    assert ask(f"{url}/health") == (200, {"status": "ok"})


@pytest.mark.pipeline
def test_a_bad_image_among_several_is_its_own_error(url: str, picture: bytes) -> None:
    bomb = progressive(900_000)
    status, response = ask(f"{url}/predict", form(picture, b"text", picture[:60]), "multipart/form-data; boundary=b")
    assert (status, [one["name"] for one in response["answers"]]) == (200, ["0.png", "1.png", "2.png"])
    assert [one.get("error", "")[:37] for one in response["answers"]] == [
        "", "cannot be decoded: not_an_image: it c", "cannot be decoded: truncated: PNG: im",
    ]  # fmt: skip
    status, response = ask(f"{url}/predict", form(bomb, picture), "multipart/form-data; boundary=b")
    assert (status, ["error" in one for one in response["answers"]]) == (200, [True, False])
    assert response["answers"][0]["error"] == "cannot be decoded: corrupt: it takes longer than 5 seconds"
    assert ask(f"{url}/predict", bomb) == (422, {"detail": response["answers"][0]["error"]})
    assert ask(f"{url}/predict", picture)[0] == 200


@pytest.mark.pipeline
def test_bad_requests_are_reported(url: str, picture: bytes) -> None:
    status, answer = ask(f"{url}/predict", b"this is no image")
    assert (status, answer["detail"]) == (
        422,
        "cannot be decoded: not_an_image: it carries the signature of no image format",
    )
    assert ask(f"{url}/predict", b"") == (422, {"detail": "the request has no body; send the bytes of an image"})
    assert ask(f"{url}/predict", b"--b--\r\n", "multipart/form-data; boundary=b")[0] == 422
    assert ask(f"{url}/predict", b"no form", "multipart/form-data")[0] == 400
    broken = form(picture, picture).removesuffix(b"--b--\r\n")  # the second file would be dropped silently
    status, answer = ask(f"{url}/predict", broken, "multipart/form-data; boundary=b")
    assert (status, answer["detail"]) == (400, "the form ends before its closing boundary")
    assert ask(f"{url}/predict", b"{" * 100_000, "application/json")[0] == 400
    status, answer = ask(f"{url}/predict", picture + bytes(LIMIT))
    assert (status, answer["detail"]) == (413, "the request is above 1000000 bytes")
    many = form(*[b"x"] * (bodies.IMAGES + 1))
    assert ask(f"{url}/predict", many, "multipart/form-data; boundary=b")[0] == 413
    large = bytes(2**24)  # larger than the socket buffers: a reset connection would lose the answer
    for more in ({}, {"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        assert ask(f"{url}/predict", large, **more)[0] == (403 if more else 413)
    assert ask(f"{url}/predict", picture, Host="evil.example")[0] == 403
    assert ask(f"{url}/predict", picture, Origin="http://evil.example")[0] == 403
    assert ask(f"{url}/health") == (200, {"status": "ok"})


@pytest.mark.pipeline
def test_requests_above_the_number_are_refused_and_leave_no_work(
    patient: tuple[str, subprocess.Popen[str]], picture: bytes
) -> None:
    url, started = patient
    bomb = progressive(900_000)
    # one whose image is decoded, and one whose body is still to come
    under_way = [send(url, bomb), send(url, bomb, sent=1000)]
    until = time.monotonic() + 300
    while (status := ask(f"{url}/predict", picture)[0]) != 503:
        assert (status, time.monotonic() < until) == (200, True)
    request = urllib.request.Request(f"{url}/predict", data=picture)
    with pytest.raises(urllib.error.HTTPError, match="503") as raised:
        urllib.request.urlopen(request, timeout=60)
    with raised.value as refused:
        assert int(refused.headers["Retry-After"]) >= 1
    assert ask(f"{url}/health")[0] == 200
    for connection in under_way:
        connection.close()
    # the one process is free again, long before the image would have been decoded
    while ask(f"{url}/predict", picture)[0] != 200:
        assert time.monotonic() < until
    while working(started):
        assert time.monotonic() < until


@pytest.mark.pipeline
@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_on_a_signal(folder: Path, busy: bool, number: signal.Signals) -> None:
    with serving(folder, seconds=3600) as (url, started):
        processes = psutil.Process(started.pid).children()
        connections = [send(url, progressive(900_000)), send(url, bytes(1000), sent=10)] if busy else []
        while busy and not working(started):
            pass
        started.send_signal(number)
        started.wait(300)
        for connection in connections:
            connection.close()
        _, alive = psutil.wait_procs(processes, timeout=300)
        assert not alive


@pytest.mark.pipeline
def test_a_connection_without_a_request_ends(folder: Path) -> None:
    with serving(folder, seconds=5, head=1) as (url, _):
        host, port = url.removeprefix("http://").split(":")
        for begun in (b"", b"GET /health HTTP/1.1\r\nHost: 127"):
            with socket.create_connection((host, int(port)), timeout=300) as connection:
                connection.sendall(begun)
                assert connection.recv(1) == b""
        with socket.create_connection((host, int(port)), timeout=300) as connection:
            request = f"GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
            connection.sendall(request)
            assert connection.recv(12) == b"HTTP/1.1 200"
            connection.sendall(request[:10])  # a second request has the same time limit
            while connection.recv(1000):
                pass


@pytest.mark.pipeline
def test_a_token_is_required(folder: Path, picture: bytes) -> None:
    with serving(folder, seconds=60, token="s3cret") as (url, _):
        for more in ({}, {"Authorization": "Bearer other"}):
            request = urllib.request.Request(f"{url}/predict", data=picture, headers=more)
            with pytest.raises(urllib.error.HTTPError, match="401") as raised:
                urllib.request.urlopen(request, timeout=60)
            with raised.value as refused:
                assert refused.headers["WWW-Authenticate"].startswith("Bearer")
        assert ask(f"{url}/predict", picture, Authorization="Bearer s3cret")[0] == 200
        assert ask(f"{url}/health")[0] == 200


@pytest.mark.pipeline
def test_the_page_of_the_api_needs_no_network(url: str, picture: bytes, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    (tmp_path / "x.png").write_bytes(picture)
    (tmp_path / "bad.png").write_bytes(b"text")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        urls, faults = [], []
        page.on("request", lambda request: urls.append(request.url))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(f"{url}/docs")
        page.get_by_text("/metadata").first.wait_for()
        page.get_by_text("animals, version 4. Classes: cat, dog, owl.").wait_for()
        page.set_input_files("#files", [str(tmp_path / "x.png"), str(tmp_path / "bad.png")])
        page.click("#send")
        page.get_by_text("bad.png: cannot be decoded: not_an_image").wait_for()
        assert page.locator("#answers .bar").count() == 3
        browser.close()
    assert not faults
    assert all(each.startswith(f"{url}/") for each in urls), urls


def test_the_schema_lists_every_kind_of_body(url: str) -> None:
    _, schema = ask(f"{url}/openapi.json")
    operation = schema["paths"]["/predict"]["post"]
    assert set(operation["requestBody"]["content"]) == {
        "application/octet-stream", "image/*", "multipart/form-data", "application/json",
    }  # fmt: skip
    assert {"200", "401", "413", "422", "503"} <= set(operation["responses"])


def test_a_port_in_use_is_reported() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(MachineError, match=r"cannot be served .*give another --port"):
            server.listen("127.0.0.1", taken.getsockname()[1])
