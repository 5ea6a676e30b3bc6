"""Plot a comparison: quality, with its uncertainty, against latency."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import NullFormatter, ScalarFormatter

from ce2de_os.errors import ConfigError
from ce2de_os.evaluation.figures import MAIN_METRIC
from ce2de_os.plot_files import STYLE, save_plot
from ce2de_os.quality.comparison import Comparison, Latency, SystemResult
from ce2de_os.quality.systems import BM25, DENSE, TUNED

# Colors that color-blind readers can distinguish; markers distinguish them in gray.
_STYLES: dict[str, tuple[str, str]] = {
    BM25: ("#000000", "o"),
    DENSE: ("#0072B2", "s"),
    "hybrid min_max": ("#D55E00", "^"),
    "hybrid l2": ("#009E73", "v"),
    "hybrid z_score": ("#CC79A7", "D"),
    "hybrid rrf": ("#56B4E9", "P"),
    TUNED: ("#E69F00", "*"),
}
_WIDE = 8.0  # ratio of latencies from which the scale is logarithmic
_RC: Any = STYLE | {"axes.axisbelow": True}


def draw(found: Comparison, file: Path) -> list[Path]:
    """Write ``file`` as PNG and as SVG, whatever its suffix; its folder must exist. Return both paths.

    Raises:
        ConfigError: latency was not measured.
    """
    if any(one.latency_ms is None for one in found.systems):
        raise ConfigError("the plot needs latencies; time at least one query: `latency_queries=1`")
    with rc_context(_RC):
        return save_plot(_canvas(found), file)


def _canvas(found: Comparison) -> Canvas:
    canvas = Canvas(figsize=(9.5, 5.5), layout="constrained")
    axes = canvas.subplots()
    places = {one.name: _place(one) for one in found.systems}
    for one in found.systems:
        _draw_system(axes, one, places)
    times = [x for x, _ in places.values()]
    if max(times) > _WIDE * min(times):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("latency of a search, ms: median, and line to the 90th percentile")
    axes.set_ylabel(f"{MAIN_METRIC}, 95% bootstrap interval")
    axes.set_title(_title(found), loc="left", fontweight="bold")
    canvas.legend(loc="outside right upper", frameon=False)
    return canvas


def _draw_system(axes: Axes, one: SystemResult, places: dict[str, tuple[float, float]]) -> None:
    x, y = places[one.name]
    figure, latency = one.figures[MAIN_METRIC], _latency(one)
    base = _base(one)
    color, marker = _STYLES.get(base, ("#777777", "X"))
    if base != one.name:
        # From a system to the same one with the cross-encoder.
        axes.plot(*zip(places[base], (x, y), strict=True), color=color, linewidth=0.8, alpha=0.5, zorder=1)
    axes.errorbar(
        x, y, xerr=[[0.0], [latency.p90 - latency.p50]],
        yerr=[[max(0.0, y - figure.low)], [max(0.0, figure.high - y)]], fmt=marker, color=color,
        markersize=12 if marker == "*" else 8, markerfacecolor="white" if base != one.name else color,
        elinewidth=1.2, alpha=0.9, label=one.name.replace("$", r"\$"),
    )  # fmt: skip


def _place(one: SystemResult) -> tuple[float, float]:
    return _latency(one).p50, one.figures[MAIN_METRIC].mean


def _base(one: SystemResult) -> str:
    """Return the name of a system's reference, if it only adds a cross-encoder to it; else its own name."""
    return one.reference if one.options.get("rerank_depth") and one.reference else one.name


def _latency(one: SystemResult) -> Latency:
    if one.latency_ms is None:
        raise ConfigError(f"{one.name}: its latency was not measured")
    return one.latency_ms


def _title(found: Comparison) -> str:
    half = " of the test half" if found.tuning else ""
    return f"{found.index}: {found.queries:,} queries{half}".replace("$", r"\$")
