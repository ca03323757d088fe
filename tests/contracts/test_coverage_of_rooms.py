"""Every module of the rooms whose functions are mutated is imported by a test of its room."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MUTATED = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mutmut"]["only_mutate"]
ROOMS = sorted(pattern.split("/")[1] for pattern in MUTATED)


def imported(path: Path) -> set[str]:
    """Modules that a file imports, and what it imports from packages, as dotted names."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_the_mutated_rooms_are_those_of_pure_functions() -> None:
    assert ROOMS == ["judgement", "pipeline", "quality", "sampling", "splitting", "statistics"]


@pytest.mark.parametrize("room", ROOMS)
def test_each_module_is_imported_by_a_test_of_its_room(room: str) -> None:
    modules = {f"hallmark.{room}.{path.stem}" for path in (ROOT / "hallmark" / room).glob("[!_]*.py")}
    assert len(modules) >= 3
    tested = set().union(*(imported(path) for path in (ROOT / "tests" / room).glob("test_*.py")))
    assert not modules - tested, "modules that no test of their room imports"
