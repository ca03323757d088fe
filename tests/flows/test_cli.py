"""The command line: light where it must be, and each command does what it says on a workspace that has run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT, make_clone

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Clone

HEAVY = (
    "hydra",
    "torch",
    "lightning",
    "lightning_fabric",
    "prefect",
    "mlflow",
    "dvc",
    "great_expectations",
    "optuna",
    "pandas",
    "numpy",
)
PROBE = """
import sys
sys.argv = ["hallmark", *{arguments!r}]
from flows.cli import main
code = 0
try:
    main()
except SystemExit as stop:
    code = stop.code
print("imported:", sorted(name for name in {heavy!r} if name in sys.modules), "exit:", code)
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, home: Path, digits: Path, prefect_server: str) -> Clone:
    workspace = make_clone(
        tmp_path_factory.mktemp("cli") / "workspace", home, "preset=quick", f"ingest.source={digits}"
    ).served_by(prefect_server)
    run = workspace.hallmark("run")
    assert run.returncode == 0, run.stdout + run.stderr
    return workspace


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["run", "--help"], 0),
        (["run", "nowhere"], 2),
        (["tune", "--help"], 0),
        (["configure"], 0),
        (["run", "train.lrr=1"], 2),
    ],
)
def test_help_and_a_params_error_import_nothing_heavy(
    clone: Callable[..., Clone], arguments: list[str], code: int
) -> None:
    answer = clone("light").call("-c", PROBE.format(arguments=arguments, heavy=HEAVY))
    assert f"imported: [] exit: {code}" in answer.stdout, answer.stdout + answer.stderr


def test_every_command_has_help(clone: Callable[..., Clone]) -> None:
    workspace = clone("help")
    listed = workspace.hallmark("--help").stdout
    commands = ("init", "upgrade", "run", "configure", "tune", "ablate", "crossval", "schedule", "predict", "serve")
    for command in (*commands, "review", "report", "accept", "doctor"):
        assert command in listed
        answer = workspace.hallmark(command, "--help")
        assert answer.returncode == 0
        assert "Usage" in answer.stdout


@pytest.mark.pipeline
def test_predict_asks_the_champion(done: Clone, digits: Path) -> None:
    answer = done.hallmark("predict", "--json", str(digits / "0" / "000.png"), str(digits / "1" / "000.png"))
    assert answer.returncode == 0, answer.stdout + answer.stderr
    rows = [json.loads(line) for line in answer.stdout.splitlines()]
    assert [set(row["probabilities"]) for row in rows] == [{"0", "1", "2"}] * 2
    assert all(abs(sum(row["probabilities"].values()) - 1) < 1e-5 for row in rows)
    missing = done.hallmark("predict", "no-such-file.png")
    assert missing.returncode == 2
    assert "no-such-file.png" in missing.stderr
    assert "Traceback" not in missing.stderr


@pytest.mark.pipeline
def test_one_bad_path_costs_its_own_row(done: Clone, digits: Path, tmp_path: Path) -> None:
    import shutil

    import pandas as pd

    shutil.copytree(digits / "0", tmp_path / "in" / "deep" / "er")
    (tmp_path / "in" / "bad.png").write_bytes(b"text")
    count = len(list((digits / "0").iterdir()))
    for name in ("scores.parquet", "scores.csv"):
        out = tmp_path / name
        answer = done.hallmark("predict", str(tmp_path / "in"), str(tmp_path / "no*"), "--out", str(out))
        assert answer.returncode == 3, answer.stderr
        assert "2 of" in answer.stderr
        table = pd.read_parquet(out) if out.suffix == ".parquet" else pd.read_csv(out, keep_default_na=False)
        assert len(table) == count + 2
        assert table["error"].tolist()[:2] == [
            "cannot be decoded: not_an_image: it carries the signature of no image format", "",
        ]  # fmt: skip
        assert table["error"].tolist()[-1] == "no file matches this pattern"
        assert {"path", "label", "probability", "probability_0", "calibrated_2"} <= set(table.columns)
    refused = done.hallmark("predict", str(digits / "0"), "--out", str(tmp_path / "scores.xlsx"))
    assert (refused.returncode, "ends in .parquet or .csv" in refused.stderr) == (2, True)


@pytest.mark.pipeline
def test_a_changed_model_neither_predicts_nor_serves(done: Clone, digits: Path) -> None:
    (description,) = (done.root / "mlartifacts").rglob("package/model.json")
    before = description.read_bytes()
    description.write_bytes(before.replace(b'"0"', b'"zero"'))
    try:
        for command in (("predict", str(digits / "0" / "000.png")), ("serve", "--port", "0"), ("doctor",)):
            answer = done.hallmark(*command)
            assert answer.returncode == 4, answer.stdout + answer.stderr
            assert "model.json is changed" in answer.stdout + answer.stderr
            assert "Traceback" not in answer.stderr
    finally:
        description.write_bytes(before)


@pytest.mark.pipeline
def test_the_registered_model_is_the_trained_one(done: Clone, digits: Path) -> None:
    """As a user of MLflow, away from the workspace: one row per image's bytes, label and probabilities."""
    program = (
        "import sys, mlflow, pandas as pd, pathlib\n"
        "model = mlflow.pyfunc.load_model('models:/hallmark@champion')\n"
        "frame = pd.DataFrame({'image': [pathlib.Path(sys.argv[1]).read_bytes()]})\n"
        "print(model.predict(frame).to_json(orient='records'))\n"
    )
    image = digits / "2" / "003.png"
    uri = f"sqlite:///{done.root / 'mlflow.db'}"
    import subprocess
    import sys

    loaded = subprocess.run(
        [sys.executable, "-I", "-c", program, str(image)],
        cwd=digits,
        env={**done.environment, "MLFLOW_TRACKING_URI": uri},
        capture_output=True,
        text=True,
        check=False,
    )
    assert loaded.returncode == 0, loaded.stderr
    row = json.loads(loaded.stdout.splitlines()[-1])[0]
    own = json.loads(done.hallmark("predict", "--json", str(image)).stdout)
    assert row["label"] == own["label"]
    probabilities = own["probabilities"]
    assert [value for value in row.values() if isinstance(value, float)] == pytest.approx(
        list(probabilities.values()), abs=1e-5
    )


@pytest.mark.pipeline
def test_doctor_reports_health_and_repairs(done: Clone) -> None:
    healthy = done.hallmark("doctor")
    assert healthy.returncode == 0, healthy.stdout + healthy.stderr
    for words in ("torch 2.13.0", "dvc.lock: parses, 13 stages recorded", "every stage is up to date", "agrees"):
        assert words in healthy.stdout, healthy.stdout

    lock = done.root / "dvc.lock"
    whole = lock.read_text()
    lock.write_text(whole[: len(whole) // 2] + "\n  torn: [")
    repaired = done.hallmark("doctor")
    assert "corrupt: it does not parse" in repaired.stdout, repaired.stdout + repaired.stderr
    assert (done.root / "dvc.lock.torn").exists()
    again = done.hallmark("run")
    assert again.returncode == 0, again.stdout + again.stderr
    assert lock.read_text() == whole
    assert "restored" in again.stdout

    (done.root / "mlflow.db").unlink()
    registered = done.hallmark("doctor")
    assert "registered the model again" in registered.stdout, registered.stdout + registered.stderr
    assert "agrees" in done.hallmark("doctor").stdout


def test_the_shown_commands_exist() -> None:
    """The README names no command that is not there."""
    readme = (ROOT / "README.md").read_text()
    for command in ("run", "predict", "schedule", "doctor", "report", "review"):
        assert f"hallmark {command}" in readme
