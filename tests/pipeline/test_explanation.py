"""What `python -m tasks dvcfile --explain STAGE` tells."""

from __future__ import annotations

from hallmark.pipeline.closure import Closure
from hallmark.pipeline.explanation import explain

WHY = {
    "room/helper.py": ("tasks.split", "room.helper"),
    "room/page.html": ("tasks.split", "room.helper"),
    "tasks/split.py": ("tasks.split",),
}
CLOSURE = Closure(module="tasks.split", why=WHY)
NOW = "".join(f"{number}  {path}\n" for number, path in enumerate(WHY))


def test_each_file_has_the_chain_that_leads_to_it() -> None:
    lines = explain("split", CLOSURE, NOW, NOW).splitlines()
    assert lines[0].startswith("split runs on 3 files")
    assert lines[1] == "None changed since dvc.lock."
    assert [line.split() for line in lines[3:]] == [
        ["room/helper.py", "imported:", "tasks.split", ">", "room.helper"],
        ["room/page.html", "read", "by:", "tasks.split", ">", "room.helper"],
        ["tasks/split.py", "the", "stage", "itself"],
    ]


def test_what_changed_comes_first() -> None:
    recorded = "0  room/helper.py\n0  room/old.py\n9  tasks/split.py\n"
    lines = explain("split", CLOSURE, NOW, recorded).splitlines()
    assert lines[1] == "Changed since dvc.lock: 1 edited, 1 added, 1 removed."
    marked = [line.split()[:2] for line in lines[3:6]]
    assert marked == [["removed", "room/old.py"], ["added", "room/page.html"], ["edited", "tasks/split.py"]]
    assert lines[6].split()[0] == "room/helper.py"


def test_a_missing_record_is_reported() -> None:
    lines = explain("split", CLOSURE, NOW, None, why_unknown="it never ran.").splitlines()
    assert lines[1] == "Changes are unknown: it never ran."
