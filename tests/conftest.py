"""Workspaces of their own for tests that run the pipeline: a copy of the code in a fresh Git repository."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
CODE = [
    *("hallmark", "tasks", "flows", "conf", "pyproject.toml", "params.yaml", "dvc.yaml"),
    *("data/review.csv", "data/accepted.json", "data/ablation.json", "data/none"),
    *(".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore"),
]

# how long an example takes says what the machine is doing, not whether the code is right; the same for explicit waits:
# each ends a test that hangs, and none is an assertion of speed
settings.register_profile("hallmark", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("hallmark")

if "PYTEST_XDIST_WORKER" in os.environ:
    # threads of OpenMP and BLAS that spin while another test's hold their core: tests/tasks/test_clean.py took 92 s of
    # CPU rather than 17
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # a shell that started the suite in the background: processes that tests stop by Ctrl+C would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True, kw_only=True)
class Clone:
    """A workspace to run commands in, away from this one's caches and servers."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    python: str = sys.executable

    def call(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Runs ``python ARGUMENTS`` in the workspace, as a process group of its own, and waits for it."""
        return subprocess.run(
            [self.python, *arguments],
            cwd=self.root,
            env={**self.environment, **more},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            start_new_session=True,
        )

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Starts ``python ARGUMENTS`` silently, as a process group of its own that a test may kill."""
        return subprocess.Popen(
            [self.python, *arguments],
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def served_by(self, address: str) -> Clone:
        """The same workspace, whose commands use a running Prefect server: each saves the 10 s of CPU of its own."""
        return replace(self, environment={**self.environment, "PREFECT_API_URL": address})

    def hallmark(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """``hallmark ARGUMENTS``."""
        return self.call("-m", "flows.cli", *arguments, **more)

    def killed(self, *arguments: str, when: Callable[[], bool], still: bool = False) -> list[str]:
        """Starts ``hallmark ARGUMENTS`` and kills that process alone once ``when`` holds.

        The command lines of those of its children that outlive it by 20 s; they are ended, for Prefect's server does
        not notice. ``still``: the process is stopped, and killed if ``when`` holds then as well.
        """
        process = self.start("-m", "flows.cli", *arguments)
        deadline = time.monotonic() + 500
        while not when():
            assert process.poll() is None, "it was done before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.1)
        if still:
            os.kill(process.pid, signal.SIGSTOP)
            while not when():
                os.kill(process.pid, signal.SIGCONT)
                assert process.poll() is None, "it was done before it could be killed"
                time.sleep(0.1)
                os.kill(process.pid, signal.SIGSTOP)
        children = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        _, left = psutil.wait_procs(children, timeout=20)
        outlived = [" ".join(child.cmdline()) for child in left]
        for child in left:
            child.kill()
        return outlived

    def dvc(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """``dvc ARGUMENTS``."""
        return self.call("-m", "dvc", *arguments, **more)

    def git(self, *arguments: str) -> str:
        """``git ARGUMENTS``, its output."""
        return subprocess.run(
            ["git", *arguments], cwd=self.root, check=True, capture_output=True, text=True, env=self.environment
        ).stdout

    def outputs(self) -> dict[str, bytes]:
        """The bytes of every output of the pipeline, reports/run.json and run.js (what the clock said) apart."""
        files = [path for folder in ("data", "reports") for path in (self.root / folder).rglob("*") if path.is_file()]
        return {
            path.relative_to(self.root).as_posix(): path.read_bytes()
            for path in sorted(files)
            if path.name not in ("run.json", "run.js")
        }


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that run pipelines first, the same share of them in each half of the list: a half is what each of two
    processes starts on, and short tests are what they share out at the end."""
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    weights = {path: sum(map(_is_slow, group)) for path, group in files.items()}
    slow = sorted((path for path in files if weights[path]), key=lambda path: -weights[path])
    quick = [item for path, group in files.items() if not weights[path] for item in group]
    first, second = ([item for path in slow[start::2] for item in files[path]] for start in (0, 1))
    middle = max(0, len(items) // 2 - len(first))
    items[:] = [*first, *quick[:middle], *second, *quick[middle:]]


def _is_slow(item: pytest.Item) -> bool:
    return item.get_closest_marker("pipeline") is not None


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder without anybody's profiles; its Prefect database is migrated once for the whole session."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def clone(tmp_path: Path, home: Path) -> Callable[..., Clone]:
    """Makes workspaces: ``clone("a", "train.max_epochs=2")`` is one with those overrides already in params.yaml."""

    def make(name: str, *overrides: str) -> Clone:
        return make_clone(tmp_path / name, home, *overrides)

    return make


def make_clone(root: Path, home: Path, *overrides: str) -> Clone:
    """Copies the code, applies overrides to params.yaml and commits all to a fresh Git repository."""
    from hallmark.pipeline.overrides import apply

    for name in CODE:
        source, target = ROOT / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            # with its bytecode, which nothing has to compile again; *.pyc.* is being written
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.pyc.*"))
        else:
            shutil.copy(source, target)
    if overrides:
        params = root / "params.yaml"
        params.write_text(apply(params.read_text(), overrides, conf=root / "conf"))
    made = Clone(root=root, environment=isolated(home))
    made.git("init", "--quiet", "--initial-branch=main")
    made.git("add", "--all")
    made.git("commit", "--quiet", "--message=start")
    return made


def isolated(home: Path, python: str = sys.executable) -> dict[str, str]:
    """The environment of a workspace's commands, which run under ``python`` and see nobody's profiles or servers."""
    cleared = (
        "PREFECT_API_URL",
        "PREFECT_PROFILE",
        "MLFLOW_TRACKING_URI",
        "CI",
        "PYTHONPATH",
        "PYTHONDONTWRITEBYTECODE",
    )
    environment = {key: value for key, value in os.environ.items() if key not in cleared}
    return environment | {
        "HOME": str(home),
        "PATH": f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}",
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "true",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "NO_ALBUMENTATIONS_UPDATE": "1",
        # a server of a test answers late on a busy machine; those that are dead on purpose have less
        "HALLMARK_SERVER_SECONDS": "120",
        "GIT_AUTHOR_NAME": "a tester",
        "GIT_AUTHOR_EMAIL": "tester@localhost",
        "GIT_COMMITTER_NAME": "a tester",
        "GIT_COMMITTER_EMAIL": "tester@localhost",
    }


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small source: 60 images of each of three digits, 8 × 8 grey PNG, in class folders."""
    from PIL import Image
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("digits")
    bunch = load_digits()
    for label in (0, 1, 2):
        (folder / str(label)).mkdir()
        for number, image in enumerate(bunch.images[bunch.target == label][:60]):
            Image.fromarray((image * 15).astype("uint8")).save(folder / str(label) / f"{number:03d}.png")
    return folder


@pytest.fixture(scope="session")
def prefect_server(home: Path) -> Iterator[str]:
    """A running Prefect server's API address; one for all the tests of this process, which run one after the other."""
    import socket
    import time

    import httpx

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # a database of its own: the servers that runs start use the other
    environment = {**os.environ, "PREFECT_HOME": str(home / "served"), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    process = subprocess.Popen(
        [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/api/health", timeout=5).status_code == 200:
                    break
            except httpx.TransportError:
                assert process.poll() is None, "the server died at its start"
                assert time.monotonic() < deadline, "the server did not start in two minutes"
            time.sleep(0.3)
        yield f"http://127.0.0.1:{port}/api"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)
