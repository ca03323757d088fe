"""Charts as inline SVG without scripts, fonts or network; the page's CSS variables colour them for both themes.

Every function returns markup that scales with its column. Numbers are rounded, so equal data give equal bytes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 640.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 54.0, 12.0, 14.0, 52.0
INKS = ("var(--accent)", "var(--second)", "var(--third)", "var(--muted)")


def interval(value: float | None, low: float | None, high: float | None, *, least: float, most: float) -> Markup:
    """A point and its interval on a track from ``least`` to ``most``, without an axis."""
    if value is None or low is None or high is None:
        return Markup('<span class="muted">undefined</span>')
    span = (most - least) or 1.0

    def at(number: float) -> float:
        return 2 + 96 * min(max((number - least) / span, 0.0), 1.0)

    start, end = at(low), at(high)
    return _markup(
        '<svg class="interval" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<line x1="2" x2="98" y1="5" y2="5" class="track"/>'
        f'<rect x="{start:.2f}" y="2.5" width="{max(end - start, 0.6):.2f}" height="5" class="range"/>'
        f'<rect x="{at(value) - 0.6:.2f}" y="0.5" width="1.2" height="9" class="point"/></svg>'
    )


def lines(
    x: Sequence[float],
    series: Mapping[str, Sequence[float | None]],
    *,
    x_title: str,
    y_title: str,
    mark: float | None = None,
    mark_title: str = "",
) -> Markup:
    """Curves over a common x; None breaks a curve. ``mark`` draws a vertical line at one x."""
    numbers = [value for values in series.values() for value in values if value is not None]
    if not numbers or not x:
        return Markup('<p class="muted">Nothing was recorded.</p>')
    low, high = _nice(min(numbers), max(numbers))
    frame = _Frame(min(x), max(x), low, high)
    parts = [frame.axes(x_title, y_title, whole_x=True)]
    if mark is not None:
        parts.append(
            f'<line class="mark" x1="{frame.x(mark):.1f}" x2="{frame.x(mark):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        )
        side = ("end", -6) if frame.x(mark) > WIDTH / 2 else ("start", 6)
        parts.append(
            f'<text class="note" x="{frame.x(mark) + side[1]:.1f}" y="{HEIGHT / 2:g}" text-anchor="{side[0]}">'
            f"{escape(mark_title)}</text>"
        )
    for index, values in enumerate(series.values()):
        ink = INKS[index % len(INKS)]
        for run in _runs(x, values):
            points = " ".join(f"{frame.x(a):.1f},{frame.y(b):.1f}" for a, b in run)
            parts.append(f'<polyline class="curve" points="{points}" style="stroke:{ink}"/>')
            if len(run) == 1:
                parts.append(
                    f'<circle cx="{frame.x(run[0][0]):.1f}" cy="{frame.y(run[0][1]):.1f}" r="3" fill="{ink}"/>'
                )
    return _svg(parts, f"{y_title} over {x_title}") + _legend(list(series))


def reliability(rows: Sequence[Mapping[Any, Any]]) -> Markup:
    """Accuracy over confidence, with Wilson intervals, against the diagonal of perfect calibration."""
    frame = _Frame(0.0, 1.0, 0.0, 1.0)
    parts = [frame.axes("confidence", "accuracy", whole_x=False)]
    parts.append(
        f'<line class="mark" x1="{frame.x(0):.1f}" y1="{frame.y(0):.1f}" x2="{frame.x(1):.1f}" y2="{frame.y(1):.1f}"/>'
    )
    for row in rows:
        x, low, high = frame.x(row["confidence"]), frame.y(row["low"]), frame.y(row["high"])
        parts.append(f'<line class="whisker" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>')
    points = " ".join(f"{frame.x(row['confidence']):.1f},{frame.y(row['accuracy']):.1f}" for row in rows)
    parts.append(f'<polyline class="curve" points="{points}" style="stroke:{INKS[0]}"/>')
    parts.extend(
        f'<circle cx="{frame.x(row["confidence"]):.1f}" cy="{frame.y(row["accuracy"]):.1f}" r="3.5" fill="{INKS[0]}"/>'
        for row in rows
    )
    return _svg(parts, "accuracy over confidence")


def shares(parts: Sequence[tuple[str, int, str]]) -> Markup:
    """A stacked bar of parts ``(name, count, css class)``, with a legend below."""
    total = sum(count for _, count, _ in parts)
    if total == 0:
        return Markup("")
    start, bars, names = 0.0, [], []
    for name, count, style in parts:
        if count:
            width = 100 * count / total
            bars.append(f'<rect x="{start:.3f}" y="0" width="{width:.3f}" height="10" class="{style}"/>')
            names.append(f'<li><i class="{style}"></i>{escape(name)} <b>{count:,}</b></li>')
            start += width
    return _markup(
        '<svg class="shares" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" '
        f'aria-label="shares">{"".join(bars)}</svg><ul class="legend">{"".join(names)}</ul>'
    )


def intervals(rows: Sequence[tuple[str, float, float, float, str]], *, title: str, about_zero: bool = True) -> Markup:
    """One dot with its interval per row; ``rows`` hold (name, value, low, high, ``keep``, ``drop`` or another verdict).

    ``about_zero``: the scale includes zero, marked by a vertical line.
    """
    ink = {"keep": "var(--good)", "drop": "var(--bad)"}
    low, high = min(each[2] for each in rows), max(each[3] for each in rows)
    low, high = _nice(min(0.0, low), max(0.0, high)) if about_zero else _nice(low, high)
    # margins for the names on narrow screens, and for half of the last number
    left, right, row, top = 16 + 10.2 * max(len(each[0]) for each in rows), 30.0, 24.0, 8.0
    foot = top + row * len(rows)

    def x(value: float) -> float:
        return left + (value - low) / ((high - low) or 1.0) * (WIDTH - left - right)

    parts = [
        f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top}" y2="{foot:.1f}"/>'
        f'<text x="{x(tick):.1f}" y="{foot + 18:.1f}" text-anchor="middle">{tick:g}</text>'
        for tick in _ticks(low, high)
    ]
    if about_zero:
        parts.append(f'<line class="mark" x1="{x(0):.1f}" x2="{x(0):.1f}" y1="{top}" y2="{foot:.1f}"/>')
    for index, (name, value, least, most, verdict) in enumerate(rows):
        y, colour = top + row * (index + 0.5), ink.get(verdict, "var(--muted)")
        parts.append(
            f'<text x="{left - 10:.1f}" y="{y + 4:.1f}" text-anchor="end">{escape(name)}</text>'
            f'<line x1="{x(least):.1f}" x2="{x(most):.1f}" y1="{y:.1f}" y2="{y:.1f}" stroke="{colour}" '
            f'stroke-width="2"/><circle cx="{x(value):.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>'
        )
    parts.append(f'<text class="note" x="{WIDTH - RIGHT}" y="{foot + 38:.1f}" text-anchor="end">{escape(title)}</text>')
    return _svg(parts, title, height=foot + 44)


class _Frame:
    """Maps data coordinates to SVG coordinates."""

    def __init__(self, x_low: float, x_high: float, y_low: float, y_high: float) -> None:
        self.x_low, self.x_high = x_low, x_high if x_high > x_low else x_low + 1
        self.y_low, self.y_high = y_low, y_high if y_high > y_low else y_low + 1

    def x(self, value: float) -> float:
        return LEFT + (value - self.x_low) / (self.x_high - self.x_low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (value - self.y_low) / (self.y_high - self.y_low) * (HEIGHT - TOP - BOTTOM)

    def axes(self, x_title: str, y_title: str, *, whole_x: bool) -> str:
        out = []
        for tick in _ticks(self.y_low, self.y_high):
            y = self.y(tick)
            out.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            out.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
        for tick in _ticks(self.x_low, self.x_high):
            if whole_x and tick != round(tick):
                continue
            out.append(f'<text x="{self.x(tick):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{tick:g}</text>')
        out.append(
            f'<text class="note" x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">{escape(x_title)}</text>'
            f'<text class="note" x="{LEFT}" y="{HEIGHT - 4}">↑ {escape(y_title)}</text>'
        )
        return "".join(out)


def _markup(text: str) -> Markup:
    return Markup(text)  # noqa: S704  all data in it is already escaped


def _svg(parts: Sequence[str], title: str, *, height: float = HEIGHT) -> Markup:
    return _markup(
        f'<svg class="chart" viewBox="0 0 {WIDTH:g} {height:g}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg>"
    )


def _legend(names: Sequence[str]) -> Markup:
    items = "".join(
        f'<li><i style="background:{INKS[index % len(INKS)]}"></i>{escape(name)}</li>'
        for index, name in enumerate(names)
    )
    return _markup(f'<ul class="legend">{items}</ul>')


def _runs(x: Sequence[float], values: Sequence[float | None]) -> list[list[tuple[float, float]]]:
    runs: list[list[tuple[float, float]]] = [[]]
    for a, b in zip(x, values, strict=True):
        if b is None:
            runs.append([])
        else:
            runs[-1].append((a, b))
    return [run for run in runs if run]


def _nice(low: float, high: float) -> tuple[float, float]:
    """Round bounds around the data, never equal.

    >>> _nice(0.0, 0.0)
    (-0.2, 0.2)
    """
    step = _step(high - low or abs(high) or 1.0)
    bottom, top = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    return (bottom, top) if top > bottom else (bottom - step, top + step)


def _ticks(low: float, high: float) -> list[float]:
    step = _step(high - low)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 10) for index in range(first, last + 1)]


def _step(span: float) -> float:
    """1, 2 or 5 times a power of ten: about five steps in the span.

    >>> _step(1.0), _step(37.0)
    (0.2, 10.0)
    """
    rough = span / 5
    power = float(10.0 ** math.floor(math.log10(rough)))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
