"""Which errors mean the machine: servers that do not answer, and memory that runs out."""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool
from typing import Any

import httpx
import pytest

from hallmark.pipeline.machine import as_machine_error


def error_of(module: str, name: str, message: str, **fields: Any) -> Exception:
    """An error of a library's class, without the library."""
    error: Exception = type(name, (Exception,), {"__module__": module})(message)
    for key, value in fields.items():
        setattr(error, key, value)
    return error


@pytest.mark.parametrize(
    ("status", "machine"),
    [
        (499, False),
        (500, True),
        (503, True),
        (400, False),
        (404, False),
        (401, True),
        (403, True),
        (407, True),
        (429, True),
    ],
)
def test_a_status_is_the_server_s_fault_or_ours(status: int, machine: bool) -> None:
    request = httpx.Request("GET", "http://someone:secret@host:4200/api/health")
    error = httpx.HTTPStatusError("it failed", request=request, response=httpx.Response(status, request=request))
    answer = as_machine_error(error, "prefect")
    assert (answer is not None) == machine
    if answer is not None:
        assert str(answer).startswith("prefect: ")
        assert f"http://host:4200 answers with status {status}" in str(answer)
        assert "secret" not in str(answer)
        assert "hallmark doctor" in str(answer)


def test_a_client_without_an_answer_names_the_address() -> None:
    request = httpx.Request("GET", "http://host:4200/api")
    answer = as_machine_error(httpx.ConnectError("refused\nand more", request=request))
    assert "the server at http://host:4200 does not answer (refused)" in str(answer)
    assert "does not answer (refused)" in str(as_machine_error(httpx.ConnectError("refused")))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (error_of("mlflow.exceptions", "MlflowException", "API request to /x failed"), "API request to /x failed"),
        (error_of("mlflow.exceptions", "MlflowException", "no such run"), None),
        (error_of("elsewhere", "SomeError", "API request to /x failed"), None),
        (error_of("mlflow", "RestException", "it broke", error_code="INTERNAL_ERROR"), "it broke"),
        (error_of("mlflow", "RestException", "later", error_code="TEMPORARILY_UNAVAILABLE"), "later"),
        (error_of("mlflow", "RestException", "no", error_code="PERMISSION_DENIED"), "no"),
        (error_of("mlflow", "RestException", "who", error_code="UNAUTHENTICATED"), "who"),
        (error_of("mlflow", "RestException", "gone", error_code="RESOURCE_DOES_NOT_EXIST"), None),
        (error_of("mlflow", "RestException", "gone"), None),
        (error_of("mlflow", "OtherException", "gone", error_code="INTERNAL_ERROR"), None),
        (ConnectionError("reset by peer"), "(reset by peer)"),
        (ValueError("reset by peer"), None),
    ],
)
def test_an_unwell_server_is_of_the_machine_and_an_unknown_name_is_not(error: Exception, words: str | None) -> None:
    answer = as_machine_error(error)
    assert (answer is not None) == (words is not None)
    if words:
        assert words in str(answer)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "not enough memory"),
        (MemoryError("of 9 GiB"), "not enough memory (of 9 GiB)"),
        (error_of("torch", "OutOfMemoryError", "CUDA out of memory"), "not enough memory (CUDA out of memory)"),
        (BrokenProcessPool("died"), "a worker process was killed"),
    ],
)
def test_want_of_memory_asks_for_fewer_processes(error: Exception, words: str) -> None:
    answer = as_machine_error(error, "clean")
    assert str(answer).startswith(f"clean: {words}")
    assert "--workers" in str(answer)
    assert str(as_machine_error(error)).startswith(words)
    assert as_machine_error(error_of("torch", "OtherError", "CUDA")) is None
