"""Hydra overrides change params.yaml and nothing else of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallmark.contracts.errors import InputError
from hallmark.pipeline.overrides import apply, plain_values
from hallmark.pipeline.params import Document

TEXT = """\
# the seed of all
seed: 0
model:
  name: auto  # chosen from the data
  dropout: 0.1
train:
  # how fast
  lr: 0.001
  names: [a, b]
"""


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "preset").mkdir()
    (tmp_path / "model" / "vit.yaml").write_text("name: vit\ndropout: 0.2\n")
    (tmp_path / "preset" / "quick.yaml").write_text("train: {lr: 0.01}\nseed: 7\n")
    (tmp_path / "preset" / "wrong.yaml").write_text("train: {rate: 0.01}\n")
    return tmp_path


def test_a_value_is_set_and_comments_are_kept(conf: Path) -> None:
    assert apply(TEXT, ["train.lr=0.5"], conf=conf) == TEXT.replace("lr: 0.001", "lr: 0.5")


def test_a_group_merges_its_preset(conf: Path) -> None:
    new = apply(TEXT, ["model=vit"], conf=conf)
    assert re.search(r"name: vit +# chosen from the data", new)
    assert "dropout: 0.2" in new
    assert "lr: 0.001" in new


def test_a_global_preset_reaches_every_section(conf: Path) -> None:
    new = apply(TEXT, ["preset=quick", "train.lr=3"], conf=conf)
    assert "seed: 7" in new
    assert "lr: 3" in new


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.lrr=1", r"did you mean 'train\.lr'\?"),
        ("trian.lr=1", r"did you mean 'train'\?"),
        ("model=vitt", "did you mean 'vit'"),
        ("train.lr=1,2", "hallmark tune"),
        ("+train.new=1", "only key=value"),
        ("~train.lr", "only key=value"),
        ("train.lr", "is not an override"),
        ('train.names={"a": 1}', "no quotes around the names"),
        ("preset=wrong", "unknown key 'rate'"),
        ("train.lr.x=1", "not a section"),
        ("train.zzz=1", r"known here: lr, names"),
        ("qqqq=1", r"known here: model, seed, train"),
        ("train.lr=/my images/a=b", r"as 'train\.lr=\"my text\"'"),
    ],
)
def test_what_cannot_be_applied_is_refused(conf: Path, override: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        apply(TEXT, [override], conf=conf)


def test_all_faults_are_reported_at_once(conf: Path) -> None:
    with pytest.raises(InputError, match=r"(?s)2 faults.*lrr.*sead"):
        apply(TEXT, ["train.lrr=1", "sead=1"], conf=conf)


PLAIN_TEXTS = st.one_of(
    st.integers().map(str),
    st.floats().map(repr),
    st.floats(allow_nan=False, allow_infinity=False).map("{:+.3e}".format),
    st.sampled_from(["true", "False", "NULL", "null", "-0", "007", "1.", ".5", "nan", "-inf", "a/b", "models:/m@c"]),
    st.from_regex(r"[A-Za-z0-9_./+-]{1,8}", fullmatch=True),
)


@given(text=PLAIN_TEXTS)
def test_a_value_parsed_without_hydra_equals_hydras(text: str) -> None:
    conf = Path("no/such/folder")
    plain = plain_values([f"train.lr={text}"], conf=conf)
    if plain is not None:
        written = Document(apply(TEXT, [f"train.lr={text}"], conf=conf), name="params.yaml").values["train"]["lr"]
        assert repr(plain["train.lr"]) == repr(written)


def test_a_preset_of_a_section_within_a_section_is_left_to_hydra(tmp_path: Path) -> None:
    (tmp_path / "train" / "schedule").mkdir(parents=True)
    assert plain_values(["train.schedule=cosine"], conf=tmp_path) is None
    assert plain_values(["train.lr=1"], conf=tmp_path) == {"train.lr": 1}
    assert plain_values(["train=quick"], conf=tmp_path) is None
