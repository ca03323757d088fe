"""Experiment figures as inline SVG: no scripts, nothing fetched, text as text."""

from __future__ import annotations

import io
import math
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hallmark.experiments.space import Space

# matplotlib draws in placeholder colours, which become the page's CSS variables, so a figure fits both themes
COLOURS = {
    "#010101": "var(--accent)",
    "#020202": "var(--good)",
    "#030303": "var(--bad)",
    "#040404": "var(--track)",
    "#050505": "var(--muted)",
}
INK, GOOD, BAD, FAINT, TEXT = COLOURS
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "hallmark",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "axes.edgecolor": TEXT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def importances(shares: Mapping[str, float]) -> str:
    """One bar per value: its importance for being among the best trials."""
    names = list(shares)[::-1]
    with _drawing(height=0.7 + 0.32 * len(names)) as (axes, out):
        axes.barh(names, [shares[name] for name in names], color=INK, height=0.6)
        axes.set_xlim(0, 1)
        axes.set_xlabel("importance for being among the best trials (PED-ANOVA)")
    return out[0]


def parallel(rows: Sequence[tuple[Mapping[str, Any], float]], space: Space, quality: str) -> str:
    """Parallel coordinates, one line per trial, darker is better; ``rows`` hold (values by key, quality)."""
    axes_names = [dimension.key for dimension in space.dimensions]
    ordered = sorted(rows, key=lambda row: row[1])
    low, high = ordered[0][1], ordered[-1][1]
    with _drawing(width=8.5, height=3.2) as (axes, out):
        from matplotlib import colormaps

        shades = colormaps["viridis_r"]
        for values, reached in ordered:
            heights = [_height(dimension, values[dimension.key]) for dimension in space.dimensions]
            share = (reached - low) / (high - low) if high > low else 1.0
            best = reached == high
            axes.plot(
                range(len(heights) + 1),
                [*heights, share],
                color=BAD if best else shades(share),
                linewidth=2.2 if best else 1.0,
                alpha=0.95 if best else 0.7,
            )
        for number, dimension in enumerate(space.dimensions):
            axes.axvline(number, color=FAINT, linewidth=0.8, zorder=0)
            for value in dimension.choices or (dimension.low, dimension.high):
                words = f"{value:.3g}" if isinstance(value, float) else str(value)
                axes.annotate(
                    words, (number, _height(dimension, value)), textcoords="offset points", xytext=(4, 0), fontsize=7
                )
        axes.axvline(len(axes_names), color=FAINT, linewidth=0.8, zorder=0)
        for height, value in ((0.0, low), (1.0, high)):
            axes.annotate(
                f"{value:.4f}", (len(axes_names), height), textcoords="offset points", xytext=(4, 0), fontsize=7
            )
        axes.set_xticks(range(len(axes_names) + 1), [*axes_names, quality], fontsize=8)
        axes.set_yticks([])
        axes.set_ylim(-0.06, 1.06)
        axes.set_xlim(-0.1, len(axes_names) + 0.6)
        axes.spines["left"].set_visible(False)
    return out[0]


def history(points: Sequence[tuple[int, float]], quality: str, baseline: float | None) -> str:
    """The quality of each trial, the best so far, and the ``baseline`` of the current params.yaml."""
    with _drawing(width=8.5, height=2.6) as (axes, out):
        best = -math.inf
        so_far = [best := max(best, value) for _, value in points]
        axes.scatter(
            [number + 1 for number, _ in points], [value for _, value in points], s=14, color=INK, label="trial"
        )
        axes.step([number + 1 for number, _ in points], so_far, where="post", color=GOOD, label="best so far")
        if baseline is not None:
            axes.axhline(baseline, color=BAD, linewidth=1, linestyle="--", label="current params.yaml")
        axes.set_xlabel("trial")
        axes.set_ylabel(quality)
        axes.legend(frameon=False, fontsize=8)
    return out[0]


def front(rows: Sequence[tuple[float, float, bool]], quality: str) -> str:
    """Quality over latency; ``rows`` hold (milliseconds, quality, whether on the front)."""
    with _drawing(width=6.5, height=3.2) as (axes, out):
        for chosen, colour, name in ((False, FAINT, "trial"), (True, INK, "on the front")):
            part = [(x, y) for x, y, on in rows if on is chosen]
            if part:
                axes.scatter([x for x, _ in part], [y for _, y in part], s=22, color=colour, label=name)
        axes.set_xlabel("milliseconds an image (one thread)")
        axes.set_ylabel(quality)
        axes.legend(frameon=False, fontsize=8)
    return out[0]


def _height(dimension: Any, value: Any) -> float:
    if dimension.choices:
        return float(dimension.choices.index(value) / max(1, len(dimension.choices) - 1))
    low, high, at = dimension.low, dimension.high, value
    if dimension.log:
        low, high, at = math.log(low), math.log(high), math.log(at)
    return float((at - low) / (high - low))


@contextmanager
def _drawing(*, width: float = 6.5, height: float = 3.0) -> Iterator[tuple[Any, list[str]]]:
    """Yields axes and a list; on exit the list holds the SVG."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    out: list[str] = []
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        canvas: Any = FigureCanvasSVG(figure)
        yield figure.add_subplot(), out
        stream = io.StringIO()
        canvas.print_svg(stream, metadata={"Date": None, "Creator": None})
        text = stream.getvalue()
    for placeholder, colour in COLOURS.items():
        text = text.replace(placeholder, colour)
    # drop matplotlib's metadata, which names web addresses
    out.append(re.sub(r"\s*<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL))
