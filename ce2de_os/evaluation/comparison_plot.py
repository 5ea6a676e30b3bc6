"""Plot a comparison of runs: a column for each metric, a row for all languages and for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from ce2de_os.evaluation.comparison import Figures, RunComparison, is_better, is_equivalent
from ce2de_os.plot_files import STYLE, save_plot

# Colors that color-blind readers can distinguish; markers distinguish them in gray.
_BASELINE, _BETTER, _OTHER = "#000000", "#0072B2", "#D55E00"
_NAME_CHARS = 32
_RC: Any = STYLE | {"axes.spines.left": False, "axes.grid.axis": "x", "axes.axisbelow": True}


def draw(found: RunComparison, file: Path) -> list[Path]:
    """Write ``file`` as PNG and as SVG, whatever its suffix; its folder must exist. Return both paths."""
    with rc_context(_RC):
        return save_plot(_canvas(found), file)


def _canvas(found: RunComparison) -> Canvas:
    rows = list(_rows(found))
    row_height = 0.75 + 0.42 * len(found.figures)  # inches: a line for each system, and the axis
    canvas = Canvas(
        figsize=(2.2 + 2.9 * len(found.metrics), 0.9 + row_height * len(rows)), layout="constrained"
    )
    axes = canvas.subplots(len(rows), len(found.metrics), squeeze=False, sharex="col", sharey=True)
    for row, (name, figures) in enumerate(rows):
        for column, metric in enumerate(found.metrics):
            _panel(axes[row][column], found, figures, metric)
            if row == 0:
                axes[row][column].set_title(metric, loc="left", fontweight="bold")
        axes[row][0].set_ylabel(name, fontsize=10)
    canvas.suptitle(_title(found), x=0.01, ha="left", fontsize=10, color="#555555")
    return canvas


def _rows(found: RunComparison) -> Iterator[tuple[str, Figures]]:
    """Yield the label and the figures of each row of panels."""
    yield ("all languages" if found.languages else "") + f"\n{found.queries:,} queries", found.figures
    for one in found.languages:
        if one.figures:
            yield f"{_plain(one.language)} alone\n{one.queries:,} queries", one.figures


def _panel(axes: Axes, found: RunComparison, figures: Figures, metric: str) -> None:
    if found.baseline is not None:
        middle = figures[found.baseline][metric].mean
        axes.axvspan(middle - found.margin, middle + found.margin, color="#000000", alpha=0.07, linewidth=0)
        axes.axvline(middle, color=_BASELINE, linewidth=1, linestyle=(0, (4, 3)))
    for place, name in enumerate(figures):
        figure = figures[name][metric]
        is_baseline = name == found.baseline
        color = _BASELINE if is_baseline else _BETTER if is_better(figure) else _OTHER
        reach = [[max(0.0, figure.mean - figure.low)], [max(0.0, figure.high - figure.mean)]]
        axes.errorbar(
            figure.mean, place, xerr=reach, color=color, markersize=7, elinewidth=1.6, capsize=3,
            fmt="s" if is_baseline else "^" if is_better(figure) else "o",
        )  # fmt: skip
        axes.annotate(
            f"{figure.mean:.3f}{' ≈' if is_equivalent(figure) else ''}", (figure.mean, place), xytext=(0, 7),
            textcoords="offset points", ha="center", color=color, fontsize=9,
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )  # fmt: skip
    axes.set_yticks(range(len(figures)), [_plain(name) for name in figures])
    axes.set_ylim(len(figures) - 0.5, -0.7)  # the first system on top
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.tick_params(length=0)


def _title(found: RunComparison) -> str:
    if found.baseline is None:
        return "Means over queries with 95% bootstrap intervals."
    return (
        f"Means with 95% bootstrap intervals; the band is {_plain(found.baseline)} ± {found.margin:g}.\n"
        "▲ significantly better, ≈ significantly equivalent (p < 0.05, Bonferroni)."
    )


def _plain(name: str) -> str:
    name = name if len(name) <= _NAME_CHARS else f"{name[: _NAME_CHARS - 1]}…"
    # A dollar sign would start a formula.
    return name.replace("$", r"\$")
