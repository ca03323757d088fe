"""docs/architecture.md and the linter's contracts agree, and both cover every room."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
ROOMS = {path.parent.name for path in (ROOT / "hallmark").glob("*/__init__.py")}
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def contracts(kind: str) -> list[dict[str, Any]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return [each for each in settings["tool"]["importlinter"]["contracts"] if each["type"] == kind]


def levels() -> list[set[str]]:
    """The rooms of each level, from the bottom."""
    [order] = [each for each in contracts("layers") if each.get("containers") == ["hallmark"]]
    return [set(re.split(r"\s*\|\s*", level)) for level in reversed(order["layers"])]


def test_every_room_has_a_level() -> None:
    assert len(ROOMS) >= 17
    assert set.union(*levels()) == ROOMS


def test_the_page_lists_every_room_on_its_level_and_says_what_it_is_for() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| (.+) \|$", PAGE, re.M)
    assert {(int(level), room) for level, room, _ in rows} == {
        (number, room) for number, rooms in enumerate(levels(), start=1) for room in rooms
    }
    assert all(purpose.endswith(".") for _, _, purpose in rows)


def test_the_diagram_draws_the_levels_in_order() -> None:
    diagram = PAGE.partition("```mermaid")[2].partition("```")[0]
    edges = [
        [set(side.strip().split(" & ")) for side in line.split("-->")] for line in diagram.splitlines() if "-->" in line
    ]
    assert [lower for lower, _ in edges] == levels()[:-1]
    assert [upper for _, upper in edges] == levels()[1:]


def test_the_page_names_the_owner_of_each_protected_library() -> None:
    table = PAGE.partition("## One owner per library")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.+`) \| `([\w/]+)` \|$", table, re.M)
    page = {library: owner.replace("/", ".") for names, owner in rows for library in re.findall(r"`(\w+)`", names)}
    protected = {
        library: each["allowed_importers"][0]
        for each in contracts("protected")
        for library in each["protected_modules"]
    }
    assert len(protected) >= 8
    assert page == protected
