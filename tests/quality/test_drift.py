from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hallmark.contracts.errors import InputError
from hallmark.contracts.tables import MANIFEST, MEASUREMENTS, read_table, write_table
from hallmark.quality.drift import accept, compare, profile, read_accepted

ROOT = Path(__file__).parents[2]


def images(seed: int, count: int = 3000, *, light: float = 0.5, cats: float = 0.5, side: int = 64) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "label": np.where(rng.random(count) < cats, "cat", "dog"),
            "format": "JPEG",
            "width": np.int32(side),
            "height": np.int32(side),
            "brightness": np.clip(rng.normal(light, 0.1, count), 0, 1),
            "contrast": rng.uniform(0.1, 0.3, count),
            "sharpness": rng.lognormal(0, 1, count),
            "noise": rng.exponential(0.01, count),
        }
    )


def as_read(profiled: dict[str, object]) -> dict[str, object]:
    read: dict[str, object] = json.loads(json.dumps(profiled))
    return read


def test_a_set_has_not_drifted_from_itself_nor_from_another_draw_of_the_same() -> None:
    one = images(0)
    same = compare(as_read(profile(one)), one)
    assert {result["psi"] for result in same["measures"].values()} == {0.0}
    assert same["classes"]["psi"] == 0.0
    assert {result["difference"] for name, result in same["measures"].items() if name not in ("side", "aspect")} == {
        0.0
    }
    # few images differ by chance alone, which is no drift: at 1 % a test, none of these in 20 x 4
    levels = [
        result["level"]
        for seed in range(1, 21)
        for result in compare(profile(images(seed, 100)), images(seed + 100, 100))["measures"].values()
    ]
    assert levels.count("none") >= len(levels) - 3
    assert "those of the accepted set" in same["words"][0]


@pytest.mark.parametrize(
    ("changed", "name", "words"),
    [
        ({"light": 0.65}, "brightness", "Brightness differs"),
        ({"side": 96}, "side", "Side differs"),
        ({"cats": 0.8}, "classes", "most of all 'cat': 50.9% then"),
    ],
)
def test_drift_is_reported_with_its_size(changed: dict[str, float], name: str, words: str) -> None:
    result = compare(profile(images(0)), images(1, **changed))  # type: ignore[arg-type]
    assert (result["classes"] if name == "classes" else result["measures"][name])["level"] == "strong"
    assert pd.Series(result["words"]).str.contains(words).any(), result["words"]
    if name == "brightness":
        assert result["measures"][name]["difference"] == pytest.approx(1.5, abs=0.1)
    others = {one: value["level"] for one, value in result["measures"].items() if one != name}
    assert set(others.values()) == {"none"}, others


def test_classes_that_come_and_go_are_named() -> None:
    result = compare(profile(images(0)), images(1).replace({"label": {"dog": "fox"}}))
    assert (result["classes"]["new"], result["classes"]["gone"]) == (["fox"], ["dog"])
    assert "has not seen: 'fox'" in " ".join(result["words"])


def test_what_is_committed_is_a_profile_or_nothing_yet(tmp_path: Path) -> None:
    assert compare(read_accepted(ROOT / "data" / "accepted.json"), images(0, 10)) is not None
    for text in ("[]", '{"images": 3}', "{"):
        (tmp_path / "accepted.json").write_text(text)
        with pytest.raises(InputError, match="hallmark accept"):
            read_accepted(tmp_path / "accepted.json")


def test_accepting_describes_the_usable_images_at_hand(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no validated data set"):
        accept(tmp_path)
    measured = images(0, 20).assign(path=[f"{n:02d}" for n in range(20)], quarantined=[False] * 15 + [True] * 5)
    manifest = measured[["path", "label"]].assign(**{name: 0 for name in MANIFEST if name not in ("path", "label")})
    rest = {name: 0 for name in MEASUREMENTS if name not in measured.columns}
    (tmp_path / "data" / "ingest").mkdir(parents=True)
    (tmp_path / "data" / "validate").mkdir()
    write_table(manifest, MANIFEST, tmp_path / "data" / "ingest" / "manifest.parquet")
    table = tmp_path / "data" / "validate" / "measurements.parquet"
    write_table(measured.drop(columns="label").assign(**rest), MEASUREMENTS, table)
    assert accept(tmp_path) == 15
    accepted = read_accepted(tmp_path / "data" / "accepted.json")
    usable = read_table(table, MEASUREMENTS).query("not quarantined").merge(manifest[["path", "label"]], on="path")
    assert compare(accepted, usable)["classes"]["psi"] == 0.0


def test_a_class_on_one_side_only_has_a_share_of_0_on_the_other() -> None:
    cats, both = images(0, 400, cats=1.1), images(1, 400)
    dogs = float((both["label"] == "dog").mean())
    appeared = compare(as_read(profile(cats)), both)["classes"]
    assert appeared["shares"]["dog"] == [0.0, pytest.approx(dogs, abs=1e-6)]
    assert (appeared["new"], appeared["gone"]) == (["dog"], [])
    vanished = compare(as_read(profile(both)), cats)["classes"]
    assert vanished["shares"]["dog"] == [pytest.approx(dogs, abs=1e-6), 0.0]
    assert (vanished["new"], vanished["gone"]) == ([], ["dog"])
