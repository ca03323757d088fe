from __future__ import annotations

import os

from hallmark.contracts import progress


def test_reports_reach_the_listener_of_the_block_alone() -> None:
    outer: list[progress.Progress] = []
    inner: list[progress.Progress] = []
    progress.report("nobody listens", 1)
    with progress.listening(outer.append):
        with progress.listening(inner.append):
            progress.report("training", 3, 9, figures={"epoch": "1 of 3"})
        progress.report("predicting", 4)
    progress.report("nobody listens", 1)
    assert [each.what for each in outer] == ["predicting"]
    assert [(each.what, each.done, each.total, dict(each.figures)) for each in inner] == [
        ("training", 3, 9, {"epoch": "1 of 3"})
    ]


def test_an_item_counts_once_it_has_been_dealt_with() -> None:
    heard: list[progress.Progress] = []
    seen = []
    with progress.listening(heard.append):
        for item in progress.counted("abc", "reading files", 3, unit="files"):
            seen.append((item, heard[-1].done))
    assert seen == [("a", 0), ("b", 1), ("c", 2)]
    assert [each.done for each in heard] == [0, 1, 2, 3]


def test_a_forked_process_tells_nobody() -> None:
    read, write = os.pipe()

    def tell(report: progress.Progress) -> None:
        os.write(write, report.what.encode())

    with progress.listening(tell):
        child = os.fork()
        if child == 0:
            progress.report("from the child")
            os._exit(0)
        os.waitpid(child, 0)
        progress.report("from the parent")
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        assert stream.read() == b"from the parent"
