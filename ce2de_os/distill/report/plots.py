"""Draw the report's plots: each as an SVG in the page's text color, and as a PNG on white."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, NullLocator

WIDTH_INCHES, PNG_DPI = 5.2, 200  # narrow, so that the letters are still readable on a phone
STUDENT_COLOR, TEACHER_COLOR, OTHER_COLOR = "#e4572e", "#3b82c4", "#8a94a0"
_INK = "#010203"  # this color is replaced by the page's own
_STYLE: Any = {  # matplotlib types the keys as one literal of all settings
    "svg.fonttype": "none",
    "svg.hashsalt": "ce2de",  # the same figures give the same file
    "text.parse_math": False,  # names may hold dollar signs
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.grid": True,
    "grid.alpha": 0.18,
    **{f"{part}.color": _INK for part in ("text", "xtick", "ytick", "grid")},
    **{f"axes.{part}color": _INK for part in ("edge", "label", "title")},
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Plot:
    """A drawing; ``name`` is the PNG's file name without suffix, ``alt`` describes it."""

    name: str
    alt: str
    svg: str
    png: bytes


class Bar(NamedTuple):
    """A value with its interval; ``kind`` is ``"student"``, ``"teacher"`` or ``"other"``."""

    label: str
    value: float
    low: float
    high: float
    kind: str = "other"


class Point(NamedTuple):
    """A student: how many times as fast as its DE, and the share of the DE's quality that it keeps."""

    label: str
    ratio: float
    kept: float


Series = Sequence[tuple[float, float]]
"""Pairs of x and y."""


def training_plot(loss: Series, dev: Series, dev_label: str) -> Plot:
    """Plot loss and the held-out measure over training tokens; an empty series is left out."""
    panels = [(series, label) for series, label in ((loss, "loss"), (dev, dev_label)) if series]
    with matplotlib.rc_context(_STYLE):
        canvas, axes = _canvas([1.7] * len(panels))
        end = max(x for series, _ in panels for x, _ in series)
        for ax, (series, label) in zip(axes, panels, strict=True):
            x, y = zip(*series, strict=True)
            color = STUDENT_COLOR if label == dev_label else TEACHER_COLOR
            ax.plot(x, y, color=color, linewidth=1.6, marker="o" if len(x) < 40 else "", markersize=3)
            ax.set_title(label)
            ax.set_xlim(0, end * 1.03)
            ax.xaxis.set_major_formatter(FuncFormatter(_short))
            if label == dev_label:
                ax.yaxis.set_major_formatter(FuncFormatter(_percent))
        axes[-1].set_xlabel("training tokens")
        return _plot(canvas, "report_training", f"{' and '.join(label for _, label in panels)} over tokens")


def quality_plot(collections: Sequence[tuple[str, Sequence[Bar]]], metric: str) -> Plot:
    """Plot each system's mean with its interval, one panel per collection; a line marks the DE."""
    with matplotlib.rc_context(_STYLE):
        canvas, axes = _canvas([0.5 + 0.22 * len(bars) for _, bars in collections])
        for ax, (name, bars) in zip(axes, collections, strict=True):
            for row, bar in enumerate(bars):
                ax.plot([bar.low, bar.high], [row, row], color=_color(bar.kind), linewidth=2, alpha=0.55)
                ax.plot([bar.value], [row], marker="o", color=_color(bar.kind), markersize=5)
                if bar.kind == "teacher":
                    ax.axvline(bar.value, color=TEACHER_COLOR, linewidth=0.8, linestyle=":")
            ax.set_yticks(range(len(bars)), [bar.label for bar in bars])
            ax.invert_yaxis()
            ax.grid(visible=False, axis="y")
            ax.tick_params(axis="y", length=0)
            ax.set_title(name)
        axes[-1].set_xlabel(f"{metric}, mean and 95% interval")
        return _plot(canvas, "report_quality", f"{metric} of every system with 95% intervals")


def frontier_plot(point: Point, metric: str) -> Plot:
    """Plot the share of the DE's quality against speed; the DE is at 1 and 100%."""
    with matplotlib.rc_context(_STYLE):
        canvas, (ax,) = _canvas([2.6])
        ax.set_xscale("log")
        ax.plot([1], [1], marker="s", color=TEACHER_COLOR, markersize=6, linestyle="")
        ax.annotate("DE", (1, 1), (6, -3), textcoords="offset points")
        ax.plot([point.ratio], [point.kept], marker="o", color=STUDENT_COLOR, markersize=6)
        ax.annotate(
            _printable(point.label), (point.ratio, point.kept), (-6, -3),
            textcoords="offset points", ha="right", color=_INK,
        )  # fmt: skip
        low, high = min(1.0, point.ratio) / 1.5, max(1.0, point.ratio) * 1.5
        ax.set_xlim(low, high)
        ax.margins(y=0.2)
        ax.set_xticks([tick for tick in (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128) if low <= tick <= high])
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} x"))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.yaxis.set_major_formatter(FuncFormatter(_percent))
        ax.set_xlabel("documents a second, as a multiple of the DE's")
        ax.set_title(f"share of the DE's {metric} kept")
        return _plot(canvas, "report_frontier", f"share of the DE's {metric} kept, against speed")


def probe_plot(models: Sequence[tuple[str, list[float]]], metric: str) -> Plot:
    """Plot the metric of a search with each layer's states, one line per model; mark the best layer."""
    with matplotlib.rc_context(_STYLE):
        canvas, (ax,) = _canvas([2.2])
        for (name, values), color in zip(models, (STUDENT_COLOR, TEACHER_COLOR), strict=False):
            ax.plot(range(len(values)), values, color=color, linewidth=1.6, marker="o", markersize=3)
            best = values.index(max(values))
            ax.plot([best], [values[best]], color=color, marker="o", markersize=8, label=_printable(name))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_xlabel("layer")
        ax.set_title(f"{_printable(metric)} by layer")
        ax.legend()
        return _plot(canvas, "report_probe", f"{metric} by layer")


def _canvas(heights: Sequence[float]) -> tuple[Canvas, list[Axes]]:
    canvas = Canvas(figsize=(WIDTH_INCHES, sum(heights) + 0.5), layout="constrained")
    grid: Any = canvas.subplots(len(heights), 1, squeeze=False, gridspec_kw={"height_ratios": heights})
    return canvas, list(grid[:, 0])


def _plot(canvas: Canvas, name: str, alt: str) -> Plot:
    svg, png = io.StringIO(), io.BytesIO()
    with warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes; the tables still hold it.
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        canvas.savefig(svg, format="svg", transparent=True, metadata={"Date": None})
        canvas.savefig(png, format="png", dpi=PNG_DPI, facecolor="white", metadata={"Software": None})
    return Plot(name, alt, _inline(svg.getvalue(), name, alt), png.getvalue())


def _inline(svg: str, name: str, alt: str) -> str:
    """Return the bare ``<svg>`` element: no prologue, unique ids, scaled and colored by the page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)  # repeated in every plot, and not referenced
    svg = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{name}_", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = svg.replace(_INK, "currentColor")
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(alt)}"', 1)


def _color(kind: str) -> str:
    return {"student": STUDENT_COLOR, "teacher": TEACHER_COLOR}.get(kind, OTHER_COLOR)


def _printable(text: str) -> str:
    """Remove from ``text`` the control characters that XML does not allow."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _percent(value: float, _: object = None) -> str:
    return f"{value:.0%}" if round(value * 100, 6).is_integer() else f"{value:.1%}"


def _short(value: float, _: object = None) -> str:
    """Format 1,200,000 as 1.2M."""
    for unit, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{letter}"
    return f"{value:g}"
