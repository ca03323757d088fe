"""In a folder of the user's own, with Hallmark installed from its wheel: the same pipeline, and no code."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hallmark.pipeline.closure import texts
from hallmark.pipeline.dvcfile import digest_file, modules
from tasks import STAGES
from tests.conftest import CODE, ROOT, Clone, isolated

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.pipeline
NAMES = [stage.name for stage in STAGES]
BUILT_FROM = (*CODE, "build-backend", "MANIFEST.in", "README.md", "LICENSE")
TEMPLATES = "flows/workspace/"


@dataclass(frozen=True, kw_only=True)
class Installation:
    """A fresh environment with the wheel; its packages come from this one, Hallmark does not."""

    wheel: Path
    python: Path
    packages: Path

    def edit(self, name: str) -> None:
        """Changes a module of the installed package, as an upgrade does."""
        path = self.packages / name
        path.write_text(path.read_text() + "\n# edited\n")


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    folder = tmp_path_factory.mktemp("installation")
    sources = folder / "sources"
    for name in BUILT_FROM:
        source, target = ROOT / name, sources / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    pip = [sys.executable, "-m", "pip", "--quiet"]
    offline = ["--no-deps", "--no-index"]
    # by way of the source distribution, which has to hold what the wheel needs
    build = "import backend; print(backend.build_sdist('.'))"
    path = {"PYTHONPATH": "build-backend", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=sources, env=path, check=True, capture_output=True, text=True
    )
    archive = sources / done.stdout.splitlines()[-1]
    out = folder / "out"
    subprocess.run([*pip, "wheel", *offline, "--no-build-isolation", f"--wheel-dir={out}", archive], check=True)
    (wheel,) = out.iterdir()
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(environment), "platbase": str(environment)}))
    # a line in a .pth file adds a folder, and does not read the .pth files in it: this project's own stays out
    (packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    subprocess.run([*pip, f"--python={python}", "install", *offline, wheel], check=True)
    return Installation(wheel=wheel, python=python, packages=packages)


@pytest.fixture
def workspace(installation: Installation, tmp_path: Path, home: Path, digits: Path) -> Callable[[str], Clone]:
    """Makes workspaces over the digits by ``hallmark init``."""

    def make(name: str) -> Clone:
        python = str(installation.python)
        outside = Clone(root=tmp_path, environment=isolated(home, python), python=python)
        done = outside.hallmark("init", name, "--source", str(digits))
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"cd {name}" in done.stdout
        made = replace(outside, root=tmp_path / name)
        assert made.hallmark("configure", "preset=quick").returncode == 0
        return made

    return make


def states(clone: Clone) -> dict[str, str]:
    entries = json.loads((clone.root / "reports" / "run.json").read_text())
    return {name: entries[name]["state"] for name in NAMES}


def test_the_wheel_holds_the_repositorys_own_settings(installation: Installation) -> None:
    with zipfile.ZipFile(installation.wheel) as archive:
        packed = {name: archive.read(name) for name in archive.namelist()}
    templates = {name.removeprefix(TEMPLATES): data for name, data in packed.items() if name.startswith(TEMPLATES)}
    assert {"params.yaml", "dvc.yaml", ".dvc/config", ".gitignore"} <= set(templates)
    assert {name for name in templates if name.startswith("conf/")} == {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "conf").rglob("*") if path.is_file()
    }
    assert [name for name, data in templates.items() if (ROOT / name).read_bytes() != data] == []
    code = [path for name in ("hallmark", "tasks", "flows") for path in (ROOT / name).rglob("*") if path.is_file()]
    wanted = {path.relative_to(ROOT).as_posix() for path in code if "__pycache__" not in path.parts}
    assert wanted - set(packed) == set()
    tops = {name.partition("/")[0] for name in packed}
    assert tops == {
        *("hallmark", "tasks", "flows", "hallmark_dvc.py", "hallmark_dvc.pth"),
        f"{installation.wheel.name.removesuffix('-py3-none-any.whl')}.dist-info",
    }


def test_both_engines_work_and_make_the_same(
    installation: Installation, workspace: Callable[[str], Clone], clone: Callable[..., Clone], prefect_server: str
) -> None:
    one, other = workspace("one").served_by(prefect_server), workspace("other").served_by(prefect_server)
    where = one.call("-c", "import hallmark, flows; print(hallmark.__file__, flows.__file__)").stdout.split()
    assert all(Path(path).is_relative_to(installation.packages) for path in where)

    done = one.hallmark("run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Code changed" not in done.stdout
    repro = other.dvc("repro")
    assert repro.returncode == 0, repro.stdout + repro.stderr

    mine, theirs = one.outputs(), other.outputs()
    assert sorted(mine) == sorted(theirs)
    assert [name for name in mine if mine[name] != theirs[name]] == []
    assert (one.root / "dvc.lock").read_text() == (other.root / "dvc.lock").read_text()
    again = one.dvc("repro")
    assert "Data and pipelines are up to date" in again.stdout + again.stderr
    assert "Nothing to do" in other.hallmark("run").stdout

    # the code is what the repository's own workspace records
    for name, text in texts(modules(STAGES)).items():
        assert mine[digest_file(name).as_posix()].decode() == text
    own = clone("repository")
    assert own.dvc("repro", "code").returncode == 0
    assert code_of(own) == code_of(one)

    _an_upgrade_re_runs_what_it_changed(installation, one, other)


def code_of(clone: Clone) -> str:
    """The entry of the stage ``code`` in dvc.lock."""
    return (clone.root / "dvc.lock").read_text().partition("  demo:")[0]


def _an_upgrade_re_runs_what_it_changed(installation: Installation, one: Clone, other: Clone) -> None:
    # a module that no stage uses
    installation.edit("hallmark/serving/server.py")
    assert set(json.loads(one.dvc("status", "--json").stdout)) == {"code"}
    unused = one.hallmark("run")
    assert "Nothing to do" in unused.stdout, unused.stdout + unused.stderr
    assert "Code changed" not in unused.stdout

    # one that report alone uses: reported first, and it alone runs, under either engine
    installation.edit("hallmark/reporting/words.py")
    line = "Code changed since the last run of report (`python -m tasks dvcfile --explain report`"
    healthy = one.hallmark("doctor")
    assert line in healthy.stdout, healthy.stdout + healthy.stderr
    done = one.hallmark("run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert line in done.stdout.partition("Starting the flow")[0], done.stdout
    assert states(one) == {**dict.fromkeys(NAMES, "cached"), "report": "ran"}
    repro = other.dvc("repro")
    assert line in repro.stdout.partition("Running stage 'report'")[0], repro.stdout + repro.stderr
    assert [name for name in NAMES if f"Running stage '{name}'" in repro.stdout] == ["report"]
    assert one.outputs() == other.outputs()
    assert "Nothing to do" in one.hallmark("run").stdout


def test_other_commands_work(workspace: Callable[[str], Clone], digits: Path, prefect_server: str) -> None:
    one = workspace("one").served_by(prefect_server)
    (one.root / "photos").symlink_to(digits)
    done = one.hallmark("run", "photos", "train.patience=3")
    assert done.returncode == 0, done.stdout + done.stderr
    params = (one.root / "params.yaml").read_text()
    assert "source: photos" in params
    assert "patience: 3" in params
    one.git("add", "--all")
    one.git("commit", "--quiet", "--message=first run")
    for arguments in (
        *(("predict", str(digits / "0" / "000.png")), ("report",), ("accept",), ("configure",), ("doctor",)),
        ("ablate", "balance", "--seeds", "2"),  # a light copy of the workspace, and trials
    ):
        answer = one.hallmark(*arguments)
        assert answer.returncode == 0, f"{arguments}: {answer.stdout + answer.stderr}"
    for command in (("plots", "show"), ("exp", "run", "--set-param", "train.patience=4"), ("exp", "show", "--csv")):
        answer = one.dvc(*command)
        assert answer.returncode == 0, f"{command}: {answer.stdout + answer.stderr}"
    assert "Hallmark: plots" in (one.root / "dvc_plots" / "index.html").read_text()
    assert one.hallmark("run", "nowhere").returncode == 2
