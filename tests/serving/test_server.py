from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hallmark.contracts.errors import MachineError
from hallmark.serving import server

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 100_000
CODE = """
import sys
from pathlib import Path
from hallmark.serving import server
from hallmark.serving.source import Source
server.resolve = lambda uri, fallback: Source(folder=Path(uri), name="animals", version=4, digest="abc")
server.create_app.__kwdefaults__["limit"] = int(sys.argv[3])
server.serve(sys.argv[1], host="127.0.0.1", port=int(sys.argv[2]))
"""


def ask(url: str, data: bytes | None = None, kind: str = "application/octet-stream") -> tuple[int, Any]:
    request = urllib.request.Request(url, data=data, headers={"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.fixture(scope="module")
def url(train: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    from hallmark.serving import package

    folder = tmp_path_factory.mktemp("package")
    package.export(train, folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    started = subprocess.Popen(
        [sys.executable, "-c", CODE, str(folder), str(port), str(LIMIT)], cwd=Path(server.__file__).parents[2]
    )
    try:
        until = time.monotonic() + 60
        while True:
            try:
                assert ask(f"http://127.0.0.1:{port}/health") == (200, {"status": "ok"})
                break
            except urllib.error.URLError:
                assert started.poll() is None, "the server ended"
                assert time.monotonic() < until
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        started.terminate()
        started.wait(20)


@pytest.mark.pipeline
def test_the_server_answers(url: str, picture: bytes) -> None:
    status, answer = ask(f"{url}/predict", picture, "image/png")
    assert status == 200
    assert answer["version"] == 4
    assert set(answer["probabilities"]) == {"cat", "dog", "owl"}
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    assert answer["label"] == max(answer["probabilities"], key=answer["probabilities"].get)
    form = b'--b\r\nContent-Disposition: form-data; name="f"; filename="x.png"\r\n\r\n' + picture + b"\r\n--b--\r\n"
    assert ask(f"{url}/predict", form, "multipart/form-data; boundary=b") == (200, answer)
    status, told = ask(f"{url}/metadata")
    assert (status, told["name"], told["version"], told["classes"]) == (200, "animals", 4, ["cat", "dog", "owl"])


@pytest.mark.pipeline
def test_bad_requests_are_told(url: str, picture: bytes) -> None:
    status, answer = ask(f"{url}/predict", b"this is no image")
    assert (status, answer["detail"]) == (
        422,
        "cannot be decoded: not_an_image: it carries the signature of no image format",
    )
    assert ask(f"{url}/predict", b"") == (422, {"detail": "the request has no body; send the bytes of an image"})
    assert ask(f"{url}/predict", b"--b--\r\n", "multipart/form-data; boundary=b")[0] == 422
    assert ask(f"{url}/predict", b"no form", "multipart/form-data")[0] == 400
    status, answer = ask(f"{url}/predict", picture + bytes(LIMIT))
    assert (status, answer["detail"]) == (413, "the request is above 100000 bytes")
    assert ask(f"{url}/health") == (200, {"status": "ok"})


def test_a_taken_port_is_told(train: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(MachineError, match=r"cannot be served .*give another --port"):
            server.serve(str(train), host="127.0.0.1", port=taken.getsockname()[1])
