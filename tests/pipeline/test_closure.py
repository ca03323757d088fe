"""The digest of a stage's code: what it covers, and what does not change it."""

from __future__ import annotations

import importlib
import itertools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hallmark.contracts.errors import InputError
from hallmark.pipeline import closure
from hallmark.pipeline.closure import Code
from hallmark.pipeline.dvcfile import modules
from tasks import STAGES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[2]
COUNTER = itertools.count()

FILES = {
    "__init__.py": "",
    "stage.py": "def run():\n    from PACKAGE.room import helper\n",
    "room/__init__.py": '"""A room."""\n',
    "room/helper.py": "from PACKAGE.room import shape, deep\n",
    "room/shape.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from PACKAGE.room import unused\n",
    "room/deep.py": "from PACKAGE.api import answer\n",
    "room/unused.py": "x = 1\n",
    "api/__init__.py": "from PACKAGE.api.inner import answer\n",
    "api/inner.py": "answer = 42\n",
    "api/other.py": "",
}
IN = {"stage.py", "room/helper.py", "room/shape.py", "room/deep.py", "api/__init__.py", "api/inner.py"}


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the import path."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("made_")]:
        del sys.modules[name]


def make(base: Path, files: Mapping[str, str | bytes] = FILES) -> str:
    """Writes a package of a name of its own; the name."""
    package = f"made_{next(COUNTER)}"
    for name, text in files.items():
        path = base / package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.replace("PACKAGE", package).encode())
    importlib.invalidate_caches()
    return package


def covered(package: str) -> set[str]:
    return {path.removeprefix(f"{package}/") for path in Code((package,)).closure(f"{package}.stage").why}


def digest(package: str) -> str:
    code = Code((package,))
    return code.digest(code.closure(f"{package}.stage"))


def test_all_that_is_imported_counts_and_nothing_else(base: Path) -> None:
    package = make(base)
    assert covered(package) == IN
    why = Code((package,)).closure(f"{package}.stage").why
    assert why[f"{package}/room/deep.py"] == tuple(
        f"{package}.{name}" for name in ("stage", "room.helper", "room.deep")
    )


@pytest.mark.parametrize("name", sorted(FILES))
def test_an_edit_changes_the_digest_exactly_where_the_file_is_used(base: Path, name: str) -> None:
    package = make(base)
    before = digest(package)
    with (base / package / name).open("a") as file:
        file.write("# edited\n")
    after = digest(package)
    assert (after != before) == (name in IN)
    found = closure.changes(before, after)
    assert found.edited == ([f"{package}/{name}"] if name in IN else [])
    assert not [*found.added, *found.removed]


def test_files_that_come_and_go_are_reported(base: Path) -> None:
    package = make(base)
    before = digest(package)
    (base / package / "room" / "new.py").write_text("")
    (base / package / "room" / "helper.py").write_text(f"from {package}.room import new, deep\n")
    found = closure.changes(before, digest(package))
    assert found.added == [f"{package}/room/new.py"]
    assert found.removed == [f"{package}/room/shape.py"]
    assert found.edited == [f"{package}/room/helper.py"]


def test_line_endings_modes_and_times_do_not_matter(base: Path) -> None:
    package = make(base)
    before = digest(package)
    for name in FILES:
        path = base / package / name
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
        path.chmod(0o755)
    assert digest(package) == before


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("room/templates/page.html", 'TEMPLATES = Path(__file__).parent / "templates"'),
        ("room/templates/deep/style.css", 'TEMPLATES = Path(__file__).parent / "templates"'),
        ("room/table.yaml", 'TABLE = Path(__file__).with_name("table.yaml")'),
        ("room/helper.css", "STYLE = Path(__file__).with_suffix('.css')"),
        ("room/weights/model.bin", "importlib.resources.files(__package__) / 'weights'"),
    ],
)
def test_a_file_that_is_no_python_belongs_to_the_module_that_names_it(base: Path, file: str, text: str) -> None:
    package = make(base, {**FILES, "room/helper.py": f"from PACKAGE.room import shape, deep\n{text}\n", file: b"\x00"})
    assert covered(package) == {*IN, file}
    assert Code((package,)).unused() == []
    before = digest(package)
    (base / package / file).write_bytes(b"\x01")
    assert digest(package) != before


def test_a_file_that_an_unused_module_reads_does_not_count(base: Path) -> None:
    package = make(base, {**FILES, "room/unused.py": 'open("table.yaml")\n', "room/table.yaml": "", "room/x.txt": ""})
    assert covered(package) == IN
    assert Code((package,)).unused() == [f"{package}/room/x.txt"]


def test_bytecode_does_not_count(base: Path) -> None:
    package = make(base, {**FILES, "room/__pycache__/helper.cpython-311.pyc": b"", "room/.helper.py.swp": b""})
    assert covered(package) == IN


def test_code_that_does_not_parse_is_reported_with_its_line(base: Path) -> None:
    package = make(base, {**FILES, "room/shape.py": "x = 1\ndef (:\n"})
    with pytest.raises(InputError, match=r"shape\.py, line 2 is not valid Python"):
        Code((package,))


@settings(max_examples=25, deadline=None)
@given(st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=14))
def test_the_closure_is_what_can_be_reached(
    tmp_path_factory: pytest.TempPathFactory, edges: set[tuple[int, int]]
) -> None:
    base = tmp_path_factory.mktemp("graph")
    sys.path.insert(0, str(base))
    try:
        text = {n: "".join(f"from PACKAGE import m{b}\n" for a, b in sorted(edges) if a == n) for n in range(7)}
        package = make(base, {"__init__.py": "", **{f"m{n}.py": source for n, source in text.items()}})
        reached, before = {0}, set[int]()
        while reached != before:
            before = set(reached)
            reached |= {b for a, b in edges if a in before}
        assert set(Code((package,)).closure(f"{package}.m0").why) == {f"{package}/m{n}.py" for n in reached}
    finally:
        sys.path.remove(str(base))


def test_every_file_of_the_packages_is_read_by_a_module() -> None:
    # DVC reads the page (see .dvc/config), type checkers the other file
    assert Code().unused() == ["hallmark/py.typed", "hallmark/versioning/templates/plots.html"]


def test_one_digest_file_a_stage_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "code"
    for _ in range(2):  # anew where there is one
        closure.write(closure.texts(modules(STAGES)), folder)
    assert {path.name for path in folder.iterdir()} == {f"{name}.sha256" for name in modules(STAGES)}
    assert list(folder.parent.iterdir()) == [folder]
    text = (folder / "train.sha256").read_text()
    paths = list(closure.entries(text))
    assert paths == sorted(paths)
    assert {"tasks/train.py", "hallmark/learning/loop.py"} <= set(paths)
    assert not {"tasks/evaluate.py", "flows/cli.py"} & set(paths)
    assert all((ROOT / path).is_file() for path in paths)
