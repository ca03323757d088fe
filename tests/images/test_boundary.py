"""A data set from somebody else does not read this machine's files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from hallmark.images.boundary import Boundary, dvc_cache
from hallmark.images.sources import open_source
from tests.images.conftest import lay, png

if TYPE_CHECKING:
    from pathlib import Path

ONE, TWO, SECRET = png(1), png(2), b"a secret of this machine"


def reasons(source: Path, **options: object) -> dict[str, str]:
    """path → why there are no bytes, and that no secret is among those there are."""
    opened = open_source(str(source), **options)  # type: ignore[arg-type]
    by_path = {opened.entries[index].path: content for index, content in opened.contents(2**20)}
    if "follow_outside" not in options:
        assert SECRET not in [content.data for content in by_path.values()]
    return {path: content.reason for path, content in by_path.items()}


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    return lay(tmp_path, {"private/secret.png": SECRET}) / "private/secret.png"


def test_links_of_a_folder(tmp_path: Path, secret: Path) -> None:
    folder = lay(tmp_path / "set", {"cat/a.png": ONE, "dog/b.png": TWO})
    (folder / "cat/direct.png").symlink_to(secret)
    (folder / "cat/relative.png").symlink_to("../../private/secret.png")
    (folder / "cat/chain.png").symlink_to("direct.png")
    (folder / "cat/folder").symlink_to(secret.parent)
    (folder / "cat/through.png").symlink_to("folder/secret.png")
    (folder / "cat/inside.png").symlink_to("../dog/b.png")
    (folder / "cat/round.png").symlink_to(f"../../{folder.name}/dog/b.png")
    (folder / "cat/device.png").symlink_to("/dev/zero")
    (folder / "cat/environment.png").symlink_to("/proc/self/environ")
    out = dict.fromkeys(["direct", "relative", "chain", "folder", "through", "device", "environment"], "outside_source")
    expected = {f"cat/{name}" if name == "folder" else f"cat/{name}.png": reason for name, reason in out.items()}
    kept = dict.fromkeys(["cat/a.png", "dog/b.png", "cat/inside.png", "cat/round.png"], "")
    assert reasons(folder) == {**expected, **kept}
    (folder / "cat/device.png").unlink()
    (folder / "cat/environment.png").unlink()
    followed = reasons(folder, follow_outside=True)
    assert set(followed.values()) == {""}
    assert "cat/folder/secret.png" in followed


def test_a_source_may_be_a_link_itself(tmp_path: Path) -> None:
    lay(tmp_path / "elsewhere", {"cat/a.png": ONE})
    (tmp_path / "set").symlink_to("elsewhere")
    assert reasons(tmp_path / "set") == {"cat/a.png": ""}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_paths_of_a_manifest(tmp_path: Path, secret: Path, kind: str) -> None:
    folder = lay(tmp_path / "set", {"pics/a.png": ONE, "pics/b.png": TWO})
    (folder / "pics/link").symlink_to(secret.parent)
    lay(secret.parent, {"other.png": SECRET})
    expected = {
        "pics/a.png": "",
        str(folder / "pics/b.png"): "",
        str(secret): "outside_source",
        "../private/secret.png": "outside_source",
        "pics/link/secret.png": "outside_source",
        "pics\\link\\other.png": "outside_source",
        "/proc/self/environ": "outside_source",
        "/nowhere/c.png": "unreadable_file",
        "pics/c.png": "unreadable_file",
    }
    names = [name.replace("../", "pics/../../") for name in expected]
    frame = pd.DataFrame({"path": names, "label": "a"})
    if kind == "csv":
        frame.to_csv(folder / "m.csv", index=False)
    else:
        frame.to_parquet(folder / "m.parquet")
    expected["pics/link/other.png"] = expected.pop("pics\\link\\other.png")
    outcome = reasons(folder / f"m.{kind}")
    assert outcome == expected


def test_the_folder_that_a_person_names_for_the_images_is_inside(tmp_path: Path, secret: Path) -> None:
    lay(tmp_path, {"else/pics/a.png": ONE, "set/keep": b""})
    rows = f"../else/pics/a.png,a\n{tmp_path}/else/pics/a.png,b\n{secret},c\n"
    (tmp_path / "set/m.csv").write_text(f"path,label\n{rows}")
    assert set(reasons(tmp_path / "set/m.csv").values()) == {"outside_source"}
    outcome = reasons(tmp_path / "set/m.csv", images=str(tmp_path / "else"))
    assert outcome.pop(str(secret)) == "outside_source"
    assert set(outcome.values()) == {""}


def test_a_parquet_of_images_reads_no_path_outside(tmp_path: Path, secret: Path) -> None:
    lay(tmp_path / "set", {"a.png": ONE})
    paths = ["a.png", str(secret), "../private/secret.png"]
    images = [{"bytes": TWO, "path": "x"}, *({"bytes": None, "path": name} for name in paths)]
    pd.DataFrame({"image": images, "label": list("aabb")}).to_parquet(tmp_path / "set/t.parquet")
    assert list(reasons(tmp_path / "set/t.parquet").values()) == ["", "", "outside_source", "outside_source"]


def test_a_snapshot_of_the_hugging_face_cache(tmp_path: Path, secret: Path) -> None:
    hub = tmp_path / "hub/datasets--me--pets"
    lay(hub, {"blobs/1234": ONE, "blobs/5678": TWO})
    snapshot = lay(hub / "snapshots/abcd", {"cat/README": b""})
    (snapshot / "cat/a.png").symlink_to("../../../blobs/1234")
    (snapshot / "cat/out.png").symlink_to(secret)
    assert reasons(snapshot) == {"cat/a.png": "", "cat/README": "", "cat/out.png": "outside_source"}
    assert reasons(snapshot / "cat") == {"a.png": "", "README": "", "out.png": "outside_source"}
    # a folder that only looks like one
    fake = tmp_path / "datasets--x"
    (fake / "snapshots/abcd/cat").mkdir(parents=True)
    (fake / "blobs").symlink_to(secret.parent)
    (fake / "snapshots/abcd/cat/a.png").symlink_to("../../../blobs/secret.png")
    assert reasons(fake / "snapshots/abcd") == {"cat/a.png": "outside_source"}


def test_links_of_dvc_into_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    lay(tmp_path, {".dvc/cache/files/md5/ab/cd": ONE, "elsewhere/files/md5/ab/cd": TWO, "set/cat/keep": b""})
    (tmp_path / "set/cat/a.png").symlink_to(tmp_path / ".dvc/cache/files/md5/ab/cd")
    (tmp_path / "set/cat/b.png").symlink_to(tmp_path / "elsewhere/files/md5/ab/cd")
    assert reasons(tmp_path / "set")["cat/a.png"] == ""
    assert reasons(tmp_path / "set")["cat/b.png"] == "outside_source"
    (tmp_path / ".dvc/config").write_text("[core]\n    analytics = false\n[cache]\n    dir = ../elsewhere\n")
    assert reasons(tmp_path / "set")["cat/b.png"] == ""
    (tmp_path / ".dvc/config.local").write_text("[cache]\n    dir = /nowhere\n")
    assert dvc_cache(tmp_path) == tmp_path / "/nowhere"


def test_a_link_with_a_like_name_is_not_inside(tmp_path: Path) -> None:
    lay(tmp_path, {"set/a": ONE, "set-2/b": TWO})
    boundary = Boundary(tmp_path / "set")
    assert boundary.target(str(tmp_path / "set/../set-2/b")) is None
    assert boundary.target(str(tmp_path / "set")) == os.path.realpath(tmp_path / "set")
    assert boundary.target(str(tmp_path / "set/..")) is None
    assert Boundary().target("/etc/passwd") == "/etc/passwd"
