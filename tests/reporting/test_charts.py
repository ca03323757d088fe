from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from hallmark.reporting import charts


def drawing(markup: str) -> ET.Element:
    return ET.fromstring(markup[: markup.index("</svg>") + 6])


def test_a_gap_breaks_the_curve() -> None:
    svg = drawing(charts.lines([1, 2, 3, 4, 5], {"loss": [3, 2, None, 1, 0.5]}, x_title="epoch", y_title="loss"))
    assert len(svg.findall("polyline")) == 2


def test_curves_keep_their_order_on_the_drawing() -> None:
    svg = drawing(
        charts.lines([1, 2, 3], {"loss": [3.0, 2.0, 1.0]}, x_title="e", y_title="l", mark=2, mark_title="best")
    )
    line = svg.find("polyline")
    assert line is not None
    points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert [y for _, y in points] == sorted(y for _, y in points)  # downwards on the drawing
    assert points[-1][1] <= charts.HEIGHT - charts.BOTTOM


def test_one_epoch_is_a_dot_and_no_data_is_stated() -> None:
    assert drawing(charts.lines([1], {"loss": [0.5]}, x_title="e", y_title="l")).find("circle") is not None
    assert "Nothing was recorded" in charts.lines([1], {"loss": [None]}, x_title="e", y_title="l")


def test_an_interval_is_drawn_at_its_numbers() -> None:
    svg = drawing(charts.interval(0.5, 0.25, 0.75, least=0, most=1))
    span, point = svg.findall("rect")
    assert float(span.attrib["x"]) == pytest.approx(26)
    assert float(span.attrib["width"]) == pytest.approx(48)
    assert float(point.attrib["x"]) + 0.6 == pytest.approx(50)
    assert "undefined" in charts.interval(None, None, None, least=0, most=1)


def test_shares_fill_the_bar() -> None:
    svg = drawing(charts.shares([("train", 3, "a"), ("val", 0, "b"), ("<test>", 1, "c")]))
    assert sum(float(rect.attrib["width"]) for rect in svg.findall("rect")) == pytest.approx(100)
    assert "&lt;test&gt;" in charts.shares([("<test>", 1, "c")])
    assert charts.shares([("train", 0, "a")]) == ""


def test_reliability_draws_every_bin() -> None:
    rows = [{"confidence": 0.6, "accuracy": 0.5, "low": 0.2, "high": 0.8}] * 3
    svg = drawing(charts.reliability(rows))
    assert len(svg.findall("circle")) == 3


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0])
@pytest.mark.parametrize("about_zero", [True, False])
def test_equal_values_are_drawn(value: float, about_zero: bool) -> None:
    drawing = charts.intervals(
        [("a", value, value, value, ""), ("b", value, value, value, "")], title="t", about_zero=about_zero
    )
    assert drawing.count("<circle") >= 2


def test_gains_are_drawn_about_zero_and_means_are_not() -> None:
    rows = [("ema", 0.02, 0.01, 0.03, "keep"), ("<clean>", -0.01, -0.03, 0.01, "cannot tell")]
    svg = drawing(charts.intervals(rows, title="gain"))
    (zero,) = [line for line in svg.findall("line") if line.attrib.get("class") == "mark"]
    first, second = svg.findall("circle")
    bars = [line for line in svg.findall("line") if "stroke" in line.attrib]
    at = [float(dot.attrib["cx"]) for dot in (first, second)]
    assert at[0] > float(zero.attrib["x1"]) > at[1]
    assert [(float(bar.attrib["x1"]) + float(bar.attrib["x2"])) / 2 for bar in bars] == pytest.approx(at, abs=0.1)
    assert [dot.attrib["fill"] for dot in (first, second)] == ["var(--good)", "var(--muted)"]
    assert "&lt;clean&gt;" in charts.intervals(rows, title="gain")

    means = drawing(charts.intervals([("accuracy", 0.93, 0.92, 0.94, "")], title="mean", about_zero=False))
    assert [line for line in means.findall("line") if line.attrib.get("class") == "mark"] == []
    assert "0" not in [text.text for text in means.findall("text")], "the scale of means need not include zero"
