from __future__ import annotations

import importlib.util
import sys
import warnings
from concurrent.futures import Future
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from hallmark.contracts import runtime
from hallmark.contracts.errors import InputError, MachineError
from hallmark.pipeline import runners
from hallmark.pipeline.runners import runner
from hallmark.quality import isolation, measured_set
from tests.quality.test_measured_set import LIMITS, Store, files

if TYPE_CHECKING:
    from pathlib import Path


def measured(cache: Path) -> pd.DataFrame:
    store = Store(files(30))
    with runner() as where:
        return measured_set.measure_set(
            store.manifest(), store.rows, LIMITS, cache=cache, workers=where.workers, executor=where.executor
        )


@pytest.mark.pipeline
@pytest.mark.parametrize("name", ["dask", "ray"])
def test_a_cluster_measures_the_same(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("distributed" if name == "dask" else name) is None:
        pytest.skip(f"{name} is not installed")
    monkeypatch.setattr(isolation, "CHUNK_IMAGES", 7)
    monkeypatch.setenv(runtime.WORKERS, "2")
    here = measured(tmp_path / "here")
    monkeypatch.setenv(runtime.RUNNER, name)

    def lost(*_: object) -> None:
        raise AssertionError("the cluster did not do the work")

    monkeypatch.setattr(isolation._Crew, "_alone", lost)
    with warnings.catch_warnings():
        # what the engines' own code does while it starts and stops is not ours to mend
        warnings.simplefilter("ignore")
        pd.testing.assert_frame_equal(here, measured(tmp_path / name))
    assert (tmp_path / "here" / measured_set.FILE).read_bytes() == (tmp_path / name / measured_set.FILE).read_bytes()


def test_an_unknown_runner_is_reported_with_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(runtime.RUNNER, "spark")
    with pytest.raises(InputError, match=r"spark.*local, dask, ray"), runner():
        pass


@pytest.mark.parametrize(("name", "package"), [("dask", "distributed"), ("ray", "ray")])
def test_a_missing_extra_is_reported_with_its_remedy(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(runtime.RUNNER, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MachineError, match=rf"pip install 'hallmark-ml\[{name}\]'") as caught, runner():
        pass
    assert "\n" not in str(caught.value)


def test_an_address_without_a_scheduler_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    dask = pytest.importorskip("dask")
    pytest.importorskip("distributed")
    monkeypatch.setenv(runtime.RUNNER, "dask")
    settings = {"scheduler-address": "tcp://127.0.0.1:9", "distributed.comm.timeouts.connect": "1s"}
    with dask.config.set(settings), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(MachineError, match=r"no scheduler at tcp://127\.0\.0\.1:9"), runner():
            pass


class Ray:
    """Ray's `remote`, whose tasks run at once; it counts how often each function is sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def remote(self, function: Any) -> Any:
        self.sent.append(function)

        def run(*arguments: Any, **named: Any) -> Any:
            future: Future[Any] = Future()
            future.set_result(function(*arguments, **named))
            return SimpleNamespace(future=lambda: future)

        return SimpleNamespace(remote=run)


def test_ray_gets_each_function_once_and_all_its_arguments() -> None:
    ray = Ray()
    executor = runners.RayExecutor(ray)
    assert executor.submit(int, "12", base=3).result() == 5
    assert executor.submit(int, "12").result() == 12
    assert executor.submit(max, 3, 7).result() == 7
    assert ray.sent == [int, max]


def test_a_ray_cluster_that_runs_keeps_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(runtime.WORKERS, "3")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert runners._ray_size() == {"num_cpus": 3}
    monkeypatch.setenv("RAY_ADDRESS", "")
    assert runners._ray_size() == {"num_cpus": 3}
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert runners._ray_size() == {}
