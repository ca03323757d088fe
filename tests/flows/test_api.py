"""``hallmark.init`` and ``hallmark.run``: as the commands, with results and exceptions for Python."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

import hallmark
from flows import api
from hallmark.contracts.errors import GateRefused, HallmarkError, InputError, MachineError
from tests.conftest import isolated


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for the command line in a workspace: what it prints and its exit code are written here by a test."""
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "__init__.py").write_text("")
    return tmp_path / "flows" / "cli.py"


@pytest.mark.parametrize(
    ("code", "kind"), [(1, HallmarkError), (2, InputError), (3, GateRefused), (4, MachineError), (7, HallmarkError)]
)
def test_an_exit_code_is_an_exception_with_the_message(
    program: Path, code: int, kind: type[HallmarkError], capfd: pytest.CaptureFixture[str]
) -> None:
    program.write_text(
        "import sys\nprint('a line', sys.argv[1:])\nprint('a warning', file=sys.stderr)\n"
        f"print('hallmark: what is wrong; remedy', file=sys.stderr)\nsys.exit({code})\n"
    )
    (program.parents[1] / ".hallmark" / "refusals" / "validate").mkdir(parents=True)
    (program.parents[1] / ".hallmark" / "refusals" / "validate" / "index.html").write_text("refused")
    with pytest.raises(kind, match=r"^what is wrong; remedy$") as raised:
        api.run("photos", {"train.lr": 0.5, "model": "vit"}, program.parents[1])
    assert type(raised.value) is kind
    out, err = capfd.readouterr()
    # the path is relative to the current folder, not to the workspace
    arguments = ["run", f'ingest.source="{Path.cwd() / "photos"}"', "train.lr=0.5", 'model="vit"']
    assert out == f"a line {arguments}\n"
    assert err == "a warning\n"


def test_an_interrupt_reaches_the_run(
    program: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program.write_text(
        "import pathlib, time\ntry:\n    print('begun', flush=True)\n    time.sleep(300)\n"
        "except KeyboardInterrupt:\n    pathlib.Path('interrupted').touch()\n"
        "    raise SystemExit('hallmark: stopped')\n"
    )

    class Output:
        def write(self, text: str) -> None:
            raise KeyboardInterrupt

        def flush(self) -> None: ...

    monkeypatch.setattr(sys, "stdout", Output())
    with pytest.raises(KeyboardInterrupt):
        api.run(None, [], program.parents[1])
    assert (program.parents[1] / "interrupted").exists()
    assert capsys.readouterr().err == "stopped\n"


def test_wrong_arguments_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no folder .*nowhere'; create a workspace"):
        hallmark.run(workspace=tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"overrides is the text 'train\.lr=1'; give a list"):
        hallmark.run(overrides="train.lr=1", workspace=tmp_path)


@pytest.mark.pipeline
def test_a_workspace_from_python(
    tmp_path: Path,
    digits: Path,
    home: Path,
    prefect_server: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name, value in (isolated(home) | {"PREFECT_API_URL": prefect_server}).items():
        monkeypatch.setenv(name, value)
    for name in ("MLFLOW_TRACKING_URI", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    workspace = hallmark.init("project", source=digits)
    assert workspace == tmp_path / "project"
    with pytest.raises(InputError, match="it is a workspace already"):
        hallmark.init("project")
    with pytest.raises(InputError, match=r"has no 'train\.lrr'; did you mean 'train\.lr'"):
        hallmark.run(overrides=["train.lrr=1"], workspace=workspace)

    run = hallmark.run(overrides={"preset": "quick", "train.patience": 3}, workspace="project")
    assert yaml.safe_load((workspace / "params.yaml").read_text())["train"]["patience"] == 3
    assert "train       ran" in capfd.readouterr().out
    assert run.decision == "promoted"
    assert len(run.ledger) == 180
    right = (run.predictions["label"] == run.predictions["predicted"]).mean()
    assert run.figures.loc["accuracy", "value"] == pytest.approx(right)
    assert "accuracy" in run._repr_html_()
    model = hallmark.load("models:/hallmark@champion", workspace=workspace)
    rows = model.predict([digits / name for name in run.predictions["path"]])
    assert rows["label"].tolist() == run.predictions["predicted"].tolist()
    with pytest.raises(InputError, match="the registry has no models:/other@champion"):
        hallmark.load("models:/other@champion", workspace=workspace)

    # a model that the promotion gate refuses is a result; a refused data set is an exception
    refused = hallmark.run(overrides=["register.gate.objective=0.999"], workspace=workspace)
    assert (refused.decision, refused.model_uri) == ("refused", None)
    assert refused.reasons
    with pytest.raises(GateRefused, match="the images are refused: none of 180 files"):
        hallmark.run(overrides=["validate.min_side=100"], workspace=workspace)
