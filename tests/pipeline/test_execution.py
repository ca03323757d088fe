"""A stage writes to empty partial paths; its outputs appear when it ends, or not at all."""

from __future__ import annotations

import errno
import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

import tasks.ingest
from hallmark.contracts import require
from hallmark.contracts.errors import GateRefused, InputError, MachineError
from hallmark.contracts.telemetry import note
from hallmark.pipeline.configuration import params_with
from hallmark.pipeline.execution import execute
from hallmark.pipeline.params import read
from hallmark.pipeline.stage import Stage
from hallmark.reporting.refusal import write_refusal
from tasks import STAGES

if TYPE_CHECKING:
    from collections.abc import Callable

STAGE = Stage(name="clean", inputs=("split",), outputs=("clean", "ledger"))


@dataclass(frozen=True)
class Report:
    n: int


def module(run: Callable[..., Report]) -> ModuleType:
    made = ModuleType("clean")
    made.run = run  # type: ignore[attr-defined]
    return made


def good(params: Any, *, split: Path, clean: Path, ledger: Path) -> Report:
    assert not any(clean.iterdir())
    note(samples_per_second=5.0)
    (clean / "table").write_text(params)
    ledger.write_text("ledger")
    return Report(n=1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data" / "split").mkdir(parents=True)
    return tmp_path


def test_outputs_appear_with_their_report_and_the_clock_apart(root: Path) -> None:
    execute(STAGE, module(good), "one", root)
    assert (root / "data/clean/table").read_text() == "one"
    assert json.loads((root / "reports/clean.json").read_text()) == {"n": 1}
    clock = json.loads((root / "reports/run.json").read_text())["clean"]
    assert clock["samples_per_second"] == 5.0
    assert clock["state"] == "ran"
    assert clock["peak_memory_bytes"] > 1 << 20


def test_a_report_holds_letters_as_they_are(root: Path) -> None:
    @dataclass(frozen=True)
    class Named:
        name: str

    def run(params: Any, *, split: Path, clean: Path, ledger: Path) -> Any:
        ledger.write_text("ledger")
        return Named(name=params)

    execute(STAGE, module(run), "œuf", root)
    assert (root / "reports/clean.json").read_text(encoding="utf-8") == '{\n  "name": "œuf"\n}\n'


def test_a_field_of_an_error_becomes_the_key_of_the_stage_that_ran(root: Path) -> None:
    def refuses(params: Any, *, split: Path, clean: Path, ledger: Path) -> Report:
        if params == "shared":
            with require.within("model"):
                require.in_range(1, 3, depth=4)
        require.at_least(20, min_images=3)
        return Report(n=0)

    stage = Stage(name="clean", inputs=("split",), outputs=("clean", "ledger"), shared=("model",))
    with pytest.raises(InputError, match=r"^clean\.min_images is 3, below 20; give 20 or more$") as caught:
        execute(stage, module(refuses), "own", root)
    assert caught.value.message == "clean.min_images is 3, below 20"
    with pytest.raises(InputError, match=r"^model\.depth is 4, outside"):
        execute(stage, module(refuses), "shared", root)


def test_siblings_of_an_error_become_keys_of_the_stage_too(root: Path) -> None:
    def refuses(params: Any, *, split: Path, clean: Path, ledger: Path) -> Report:
        with require.within("model"):
            raise MachineError("no {free} ({depth})", remedy="lower {depth}", field="width", siblings=["depth"])

    stage = Stage(name="clean", inputs=("split",), outputs=("clean", "ledger"), shared=("model",))
    with pytest.raises(MachineError) as caught:
        execute(stage, module(refuses), "own", root)
    assert str(caught.value) == "model.width: no {free} (model.depth); lower model.depth"
    assert caught.value.remedies == ("lower model.depth",)


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"source": "{root}/none"}, "ingest.source: there is no '{root}/none'; give a folder of class folders"),
        (
            {"max_files": 1},
            "ingest.source: the folder '{root}/images' has more than 1 files or rows (ingest.max_files); "
            "raise ingest.max_files if that is right",
        ),
        ({"source": "{root}/table.csv"}, "ingest.source: table.csv lists no file; give a manifest"),
    ],
)
def test_errors_of_ingest_name_the_whole_key(root: Path, params: dict[str, Any], text: str) -> None:
    for name in ("a/1.png", "b/2.png"):
        (root / "images" / name).parent.mkdir(parents=True)
        (root / "images" / name).touch()
    (root / "table.csv").write_text("path,label\n")
    document = read(Path(__file__).parents[2] / "params.yaml")
    values = {
        f"ingest.{key}": str(value).format(root=root) if key == "source" else value for key, value in params.items()
    }
    values = {"ingest.source": str(root / "images"), **values}
    (stage,) = (each for each in STAGES if each.name == "ingest")
    ingest = params_with(STAGES, document, values, package="tasks")["ingest"]
    with pytest.raises(InputError) as caught:
        execute(stage, tasks.ingest, ingest, root)
    assert str(caught.value).startswith(text.format(root=root))


def test_an_output_folder_left_empty_holds_a_note(root: Path) -> None:
    """DVC warns of each empty folder, and so it would of every stage that has nothing to draw."""

    def draws_nothing(params: Any, *, split: Path, clean: Path, plots: Path) -> Report:
        (clean / "table").write_text(params)
        return Report(n=0)

    stage = Stage(name="clean", inputs=("split",), outputs=("clean", "plots"))
    execute(stage, module(draws_nothing), "one", root)
    assert [path.name for path in (root / "data/clean").iterdir()] == ["table"]
    (note,) = (root / "reports/plots/clean").iterdir()
    assert "nothing" in note.read_text()


def test_a_failure_keeps_the_old_outputs(root: Path) -> None:
    execute(STAGE, module(good), "one", root)

    def bad(params: Any, *, split: Path, clean: Path, ledger: Path) -> Report:
        (clean / "half").write_text("half")
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        execute(STAGE, module(bad), "two", root)
    assert (root / "data/clean/table").read_text() == "one"
    assert not list(root.rglob(".partial-*"))


def test_a_full_disk_is_the_machine_in_the_way(root: Path) -> None:
    def full(params: Any, *, split: Path, clean: Path, ledger: Path) -> Report:
        with Path("/dev/full").open("w") as device:
            device.write("x")
        return Report(n=1)

    with pytest.raises(MachineError, match=r"clean: the disk is full.*earlier outputs are untouched"):
        execute(STAGE, module(full), "two", root)


def test_no_permission_is_the_machine_in_the_way(root: Path) -> None:
    def denied(params: Any, *, split: Path, clean: Path, ledger: Path) -> Report:
        raise PermissionError(errno.EACCES, "Permission denied", "/somewhere")

    with pytest.raises(MachineError, match=r"no permission \(/somewhere\)"):
        execute(STAGE, module(denied), "two", root)


def test_a_missing_input_names_what_to_run(root: Path) -> None:
    (root / "data" / "split").rmdir()
    with pytest.raises(InputError, match="data/split not there; run the stages before it"):
        execute(STAGE, module(good), "one", root)


def test_a_missing_file_that_git_keeps_names_what_brings_it_back(root: Path) -> None:
    stage = Stage(name="clean", inputs=("split", "review"), outputs=("clean",))
    with pytest.raises(InputError, match=r"data/review\.csv not there; `git restore data/review\.csv` brings it back"):
        execute(stage, module(good), "one", root)


def test_a_report_with_nan_is_our_mistake(root: Path) -> None:
    def nan(params: Any, *, split: Path, clean: Path, ledger: Path) -> Report:
        ledger.write_text("")
        return Report(n=float("nan"))  # type: ignore[arg-type]

    with pytest.raises(ValueError, match="not JSON compliant"):
        execute(STAGE, module(nan), "one", root)


def test_a_refusal_keeps_its_story_until_the_stage_succeeds(root: Path) -> None:
    def refuse(params: Any, *, split: Path, clean: Path, ledger: Path) -> Report:
        raise GateRefused("too much is broken")

    with pytest.raises(GateRefused, match="too much is broken") as refused:
        execute(STAGE, module(refuse), "one", root)
    write_refusal("clean", refused.value, root)
    folder = root / ".hallmark/refusals/clean"
    assert (folder / "index.html").exists()
    execute(STAGE, module(good), "one", root)
    assert not folder.exists()
