"""params.yaml of the project itself: the faults that are reported before a run, and its presets."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path

import pytest

from hallmark.contracts.errors import InputError, MachineError
from hallmark.pipeline.configuration import configure, stage_params
from hallmark.pipeline.overrides import apply
from tasks import STAGES

HERE = Path(__file__).parents[2]
MODELS = sorted(path.stem for path in (HERE / "conf" / "model").glob("*.yaml"))


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """The project's params.yaml and presets."""
    shutil.copy(HERE / "params.yaml", tmp_path)
    shutil.copytree(HERE / "conf", tmp_path / "conf")
    return tmp_path


def set_to(workspace: Path, *overrides: str) -> None:
    configure(STAGES, workspace, list(overrides), package="tasks")


@pytest.mark.parametrize(("first", "then"), list(itertools.permutations(MODELS, 2)))
def test_a_model_goes_after_another(workspace: Path, first: str, then: str) -> None:
    set_to(workspace, f"model={first}")
    set_to(workspace, f"model={then}")


def test_all_contradictions_are_reported_at_once_and_nothing_is_written(workspace: Path) -> None:
    before = (workspace / "params.yaml").read_text(encoding="utf-8")
    with pytest.raises(InputError) as caught:
        set_to(
            workspace, "model.name=perceptron", "model.width=64", "model.norm=batch",
            "train.lr=-1", "train.patience=-1", "train.clip_value=1", "augment.policy=wild",
        )  # fmt: skip
    first, *faults = str(caught.value).splitlines()
    assert first == "params.yaml has 6 faults:"
    lines = before.splitlines()
    for fault, key in zip(faults, ("policy", "width", "norm", "lr", "patience", "clip_norm"), strict=True):
        number = int(fault.partition("line ")[2].partition(":")[0])
        assert lines[number - 1].strip().startswith(f"{key}:"), fault
    assert (workspace / "params.yaml").read_text(encoding="utf-8") == before


def test_batch_norm_without_batches_is_reported_before_the_run(workspace: Path) -> None:
    with pytest.raises(InputError, match=r"line \d+: model\.norm is batch, but of batches of 2 one may hold a single"):
        set_to(workspace, "model.norm=batch", "train.batch_size=2")
    set_to(workspace, "model.norm=batch", "train.batch_size=3")


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("train.lr=0.002", "  lr: 0.002"),
        ("model.backbone=x", "  backbone: x"),
        ("validate.classes=[cat, dog]", "  classes: [cat, dog]"),
        ("objective.costs={1: {7: 10}}", "  costs: {1: {7: 10}}"),
        ("evaluate.robustness.noise=[]", "    noise: []"),
        ("synthesize.target=off", "  target: off"),
    ],
)
def test_one_line_changes_and_its_comment_stays(workspace: Path, override: str, line: str) -> None:
    before = (workspace / "params.yaml").read_text(encoding="utf-8")
    after = apply(before, [override], conf=workspace / "conf")
    both = zip(before.splitlines(), after.splitlines(), strict=True)
    changed = [(old, new) for old, new in both if old != new]
    assert len(changed) == 1, changed
    old, new = changed[0]
    assert new.partition("#")[0].rstrip() == line
    assert new.partition("#")[2] == old.partition("#")[2]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("validate.classes=[1,2]", r'validate.classes\[0\] is 1, but must be text, in quotes: "1"'),
        ("augment.policy=[Rotate]", r"augment.policy\[0\] is 'Rotate', but must be a section"),
        ("train={lr: 0.1}", r"train is a section; set its values one by one, as train.scaling="),
        ("ingest.source=~/images", r"""in quotes, as 'ingest.source="my text"'"""),
        ("ingest.source=/my images/a,b", r"""in quotes, as 'ingest.source="my text"'"""),
        ("+train.x=1", "params.yaml holds every value"),
    ],
)
def test_a_wrong_override_says_what_to_write(workspace: Path, override: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        set_to(workspace, override)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("ingest.source=/nope",), r"ingest.source: there is no '/nope'"),
        (("train.lr=0.003", "ingest.source=/nope"), r"ingest.source: there is no '/nope'"),
        (("ingest.source={root}/pipe",), "is neither a folder nor a regular file"),
        (("ingest.source={root}/empty",), "is empty"),
        (("ingest.source={root}/broken",), "is a broken link"),
        (("ingest.source={root}/circle",), "is a broken link"),
        (("ingest.source={root}/empty.zip",), "the file .* is empty"),
        (("ingest.source=.",), r"ingest.source: '\.' holds data/ingest, which the stage ingest writes"),
        (("ingest.source=data",), "'data' holds data/ingest"),
        (("ingest.source=/",), "'/' holds data/ingest"),
        (("ingest.source=data/validate",), "'data/validate' is data/validate, which the stage validate writes"),
        (("ingest.source={root}/outputs",), "/outputs' is inside data/validate"),
        (("synthesize.external=data/synthesize",), "synthesize.external: 'data/synthesize' is data/synthesize"),
        (("synthesize.external=/nope",), r"synthesize.external: there is no '/nope'"),
        (("validate.suites=/nope",), r"validate.suites: there is no '/nope'"),
        (("train.lr=0.003", "train.lrr=1"), "did you mean 'train.lr'"),
        (("train.lr=0.003", "model=nope"), "no such preset"),
        (("train.lr=0.003", "train.lr=[1"), "is not an override"),
    ],
)
def test_a_refused_override_leaves_the_file_as_it_was(
    workspace: Path, tmp_path: Path, overrides: tuple[str, ...], message: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").symlink_to("gone")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "empty.zip").touch()
    for name in ("data/validate/part", "data/synthesize"):
        (workspace / name).mkdir(parents=True)
        (workspace / name / "1.png").touch()
    (tmp_path / "outputs").symlink_to(workspace / "data/validate/part")
    before = (workspace / "params.yaml").read_bytes()
    with pytest.raises(InputError, match=message):
        set_to(workspace, *(override.format(root=tmp_path) for override in overrides))
    assert (workspace / "params.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (
            ("model.name=resnet", "model.backbone=own/network"),
            "model.backbone is 'own/network', but model.name is resnet; set model.name to pretrained, or "
            "model.backbone to none",
        ),
        (
            ("model.name=pretrained", "model.backbone=none"),
            "model.backbone names nothing to start from, but model.name is pretrained; give auto",
        ),
        (("split.val=0.5", "split.test=0.5"), "split.val + split.test is 1, above 0.9; leave images to train on"),
        (
            ("validate.max_side=2", "validate.min_side=4"),
            "validate.max_side is 2, below validate.min_side (4); raise validate.max_side or lower validate.min_side",
        ),
        (
            ("ingest.images=data/demo", "ingest.source=data/demo"),
            "ingest.images and ingest.source are both 'data/demo'; a folder as the source is watched already: set "
            "ingest.images to data/none",
        ),
        (
            ("train.schedule=plateau", "train.patience=2"),
            "train.patience is 2: training would end before train.schedule plateau lowers the learning rate",
        ),
        (
            ("train.clip_norm=1", "train.clip_value=1"),
            "train.clip_norm and train.clip_value are both set; set one of them to 0",
        ),
        (
            ("balance.auto_mild=5", "balance.auto_severe=3"),
            "balance.auto_severe is 3, below balance.auto_mild (5); raise balance.auto_severe or lower "
            "balance.auto_mild",
        ),
        (
            ("report.thumbnail=100", "report.enlarged=50"),
            "report.enlarged is 50, below report.thumbnail (100); raise report.enlarged or lower report.thumbnail",
        ),
    ],
)
def test_values_that_contradict_each_other_are_named_with_their_section(
    workspace: Path, overrides: tuple[str, ...], text: str
) -> None:
    with pytest.raises(InputError) as caught:
        set_to(workspace, *overrides)
    location, _, rest = str(caught.value).partition(": ")
    assert location.startswith("params.yaml, line ")
    assert rest.startswith(text)
    key = text.partition(" ")[0].rpartition(".")[2]
    line = int(location.rpartition(" ")[2])
    assert (HERE / "params.yaml").read_text(encoding="utf-8").splitlines()[line - 1].strip().startswith(f"{key}:")


def test_a_source_without_a_folder_to_watch_is_named_with_its_section(workspace: Path) -> None:
    (workspace / "table.csv").write_text("file,kind\n1.png,cat\n")
    with pytest.raises(InputError, match=r"^ingest\.source: table\.csv has the columns file, kind but needs"):
        set_to(workspace, "ingest.source=table.csv")


def test_other_paths_are_checked_only_where_a_run_follows(workspace: Path) -> None:
    set_to(workspace, "train.lr=0.003")
    before = (workspace / "params.yaml").read_bytes()
    with pytest.raises(InputError, match=r"ingest.images: there is no 'data/none'"):
        configure(STAGES, workspace, ["train.lr=0.004"], package="tasks", all_sources=True)
    assert (workspace / "params.yaml").read_bytes() == before


def test_a_source_in_a_folder_that_may_not_be_entered(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exists(path: Path, **_: object) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    before = (workspace / "params.yaml").read_bytes()
    monkeypatch.setattr("pathlib.Path.is_symlink", exists)
    with pytest.raises(MachineError, match=r"ingest.source: no permission to read '/locked/set'"):
        set_to(workspace, "ingest.source=/locked/set")
    assert (workspace / "params.yaml").read_bytes() == before


def test_the_params_of_every_stage_are_read_from_the_workspace(workspace: Path) -> None:
    set_to(workspace, "train.lr=0.0125")
    params = stage_params(STAGES, workspace, package="tasks")
    assert list(params) == [stage.name for stage in STAGES]
    assert params["train"].lr == 0.0125


def test_a_missing_path_comes_with_a_remedy(workspace: Path) -> None:
    with pytest.raises(InputError) as caught:
        set_to(workspace, "ingest.source=/nope")
    assert caught.value.remedy
    set_to(workspace, "train.lr=0.003")
    with pytest.raises(InputError, match=r"git restore data/none"):
        configure(STAGES, workspace, ["train.lr=0.004"], package="tasks", all_sources=True)


def test_a_new_manifest_sets_the_folder_that_is_watched(workspace: Path) -> None:
    (workspace / "it's mine" / "images").mkdir(parents=True)
    (workspace / "it's mine" / "images" / "1.png").touch()
    (workspace / "it's mine" / "table.csv").write_text("path,label\nimages/1.png,cat\n")
    configure(STAGES, workspace, ['ingest.source="it\'s mine/table.csv"'], package="tasks")
    params = stage_params(STAGES, workspace, package="tasks")
    assert params["ingest"].source == "it's mine/table.csv"
    assert params["ingest"].images == "it's mine/images"
