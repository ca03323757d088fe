from __future__ import annotations

from typing import TYPE_CHECKING

from flows import markdown

if TYPE_CHECKING:
    from pathlib import Path


def test_names_from_data_stay_text() -> None:
    text = markdown.table(["class", "n"], [["a|b", 1], ["<img src=x>", 2], ["two\nlines", 3], ["`code` [x](y)", 4]])
    assert text.splitlines() == [
        "| class | n |",
        "| --- | ---: |",
        "| a\\|b | 1 |",
        "| \\<img src=x\\> | 2 |",
        "| two lines | 3 |",
        "| \\`code\\` \\[x\\]\\(y\\) | 4 |",
    ]


def test_a_long_table_says_how_much_it_leaves_out() -> None:
    text = markdown.table(["class"], [[number] for number in range(markdown.MOST_ROWS + 7)])
    assert text.endswith("\n\n… and 7 more")
    assert f"| {markdown.MOST_ROWS - 1} |" in text
    assert f"| {markdown.MOST_ROWS} |" not in text


def test_a_refusal_tells_its_whole_story(tmp_path: Path) -> None:
    story = {
        "stage": "validate",
        "message": "one class only; add another",
        "classes": {"cat": 12},
        "gates": [{"name": "share", "value": 0.123456}, {"name": "n"}],
        "examples": ["a_b.png"],
        "limit": 0.5,
    }
    text = markdown.refusal(story, tmp_path)
    for part in ("one class only; add another", "| cat | 12 |", "| share | 0.1235 |", "- a\\_b.png", "0.5"):
        assert part in text
    assert str(tmp_path / "index.html") in text
    assert "file://" not in text
