"""Plot the layer probe: a column for each metric, a row for each collection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from ce2de_os.distill.report.probe import CHOSEN_BY, METRICS, Probe, ProbedModel
from ce2de_os.evaluation import confidence_interval
from ce2de_os.plot_files import STYLE, save_plot

_NAMES = {"CE": "cross-encoder", "DE": "dual encoder"}
# Two colors that color-blind readers can distinguish; dashes and markers distinguish them in gray.
_STYLES: dict[str, dict[str, Any]] = {
    "CE": {"color": "#0072B2", "linestyle": "-", "marker": "o"},
    "DE": {"color": "#D55E00", "linestyle": (0, (5, 2)), "marker": "s"},
}
_NAME_CHARS = 48
_RC: Any = STYLE | {"axes.grid.axis": "y"}


def draw(probe: Probe, folder: Path) -> list[Path]:
    """Write ``probe.png`` and ``probe.svg`` into ``folder``, which must exist; return both paths."""
    with rc_context(_RC):
        return save_plot(_figure(probe), folder / "probe.png")


def _figure(probe: Probe) -> Figure:
    rows = len(probe.collections)
    header = 0.75 + 0.27 * len(probe.models)  # inches for title, legend and note
    height = header + 0.35 + 2.65 * rows
    layout = ConstrainedLayoutEngine(rect=(0, 0, 1, 1 - header / height), hspace=0.06, wspace=0.04)
    figure = Figure(figsize=(11, height), layout=layout)
    axes = figure.subplots(rows, len(METRICS), squeeze=False, sharex=True)
    for row, collection in enumerate(probe.collections):
        for column, metric in enumerate(METRICS):
            _panel(axes[row][column], probe, collection.name, metric)
            if row == 0:
                axes[row][column].set_title(metric, loc="left", fontweight="bold")
            if row == rows - 1:
                axes[row][column].set_xlabel("layer (0: the embeddings)")
        counts = f"{len(collection.documents):,} documents, {len(collection.queries):,} queries"
        axes[row][0].set_ylabel(f"{collection.name}\n{counts}", fontsize=10)
    left = 0.012
    figure.text(left, 1 - 0.10 / height, _title(probe), fontsize=16, fontweight="bold", va="top")
    figure.legend(
        *axes[0][0].get_legend_handles_labels(), loc="upper left", frameon=False, fontsize=11.5,
        bbox_to_anchor=(left, 1 - 0.48 / height), handlelength=3.2, borderaxespad=0, borderpad=0,
    )  # fmt: skip
    note = "Rings mark the best layer of a panel, bands the 95% bootstrap interval over queries."
    figure.text(left, 1 - (header - 0.25) / height, note, fontsize=9.5, color="#555555", va="top")
    return figure


def _panel(axes: Axes, probe: Probe, collection: str, metric: str) -> None:
    peaks = []
    for model in probe.models:
        curve, style = model.best, _STYLES[model.role]
        values = curve.values(metric, collection)
        intervals = [confidence_interval(layer[metric]) for layer in curve.scores[collection]]
        layers, best = range(len(values)), curve.best_layer(metric, collection)
        low, high = zip(*intervals, strict=True)
        axes.fill_between(layers, low, high, color=style["color"], alpha=0.13, linewidth=0)
        axes.plot(layers, values, linewidth=2.2, markersize=5, label=_label(model), **style)
        peaks.append((values[best], best, style["color"]))
    peaks.sort(reverse=True)
    for order, (value, layer, color) in enumerate(peaks):
        axes.plot(
            layer, value, marker="o", markersize=13, markeredgewidth=2, markerfacecolor="none",
            markeredgecolor=color,
        )  # fmt: skip
        # If two peaks are close, the number of the lower one is below it.
        below = order > 0 and abs(layer - peaks[0][1]) <= 1
        axes.annotate(
            f"{value:.2f}", (layer, value), xytext=(0, -22 if below else 11), textcoords="offset points",
            ha="center", color=color, fontweight="bold",
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )  # fmt: skip
    axes.set_ylim(0, axes.get_ylim()[1] * 1.12)
    axes.margins(x=0.06)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.tick_params(length=0)


def _title(probe: Probe) -> str:
    curve = probe.models[0].best
    best, depth = curve.best_layer(), len(curve.values(CHOSEN_BY)) - 1
    where = "its embeddings, below layer 1" if best == 0 else f"layer {best} of {depth}"
    return f"The cross-encoder's retrieval signal ({CHOSEN_BY}) is strongest at {where}"


def _label(model: ProbedModel) -> str:
    name = Path(model.name).name or model.name
    name = name if len(name) <= _NAME_CHARS else f"{name[: _NAME_CHARS - 1]}…"
    # A dollar sign would start a formula.
    return f"{_NAMES[model.role]} {name} (text {_words(model)})".replace("$", r"\$")


def _words(model: ProbedModel) -> str:
    reading = model.best.reading
    paired = "paired with itself" if reading.input == "pair" else "alone"
    pooled = "mean of its tokens" if reading.pooling == "mean" else "first token"
    return f"{paired}, {pooled}{', centered' if reading.centred else ''}"
