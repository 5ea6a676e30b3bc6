"""Quality against speed: students of several depths beside the full-depth model, as a table and a plot.

    python -m benchmarks.encode --data DATA --artifact runs/a/model --artifact runs/b/model --json speed.json
    python -m benchmarks.student_quality --data DATA --artifact runs/a/model --json a.json
    python -m benchmarks.frontier --speed speed.json --quality a.json b.json --out frontier

It only joins what the two others measured; a quality file belongs to the model of its own name. The full
depth joins in as `ce2de export RUN --out runs/6/model --full-depth` makes it. With ``--mean`` a model is one
point, its mean over the collections: for several models of one form, whose speed is equal.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ce2de_os.plot_files import STYLE, save_plot

COLORS = {"cranfield": "#0072b2", "cisi": "#d55e00", "debian": "#009e73"}  # told apart without red and green
MARKERS = {"cranfield": "o", "cisi": "s", "debian": "^"}

GOAL_KEPT = 0.99  # of the full depth's quality: what the dashed line across shows
NEAR = 8  # labels of models whose speed differs less may overlap
LABEL_STEP = 0.05  # of the height: the least distance of two labels
LEAST_RATIO = 12  # what the one from top to bottom shows: the default student is at least so fast


class Point(NamedTuple):
    """A model: its speed as a multiple of the 12-layer PyTorch model's, its size, and how well it finds.

    ``quality`` holds each collection's metric, ``kept`` its share of the teacher's.
    """

    name: str
    ratio: float
    megabytes: float
    quality: dict[str, float]
    kept: dict[str, float]


def points(speed: dict[str, Any], quality: Sequence[Path]) -> list[Point]:
    """Return the models of the quality files, fastest last."""
    encoders = speed["encoders"]
    found = []
    for path in quality:
        facts = json.loads(path.read_text(encoding="utf-8"))
        ratio = next(
            row["ratio"]["median"]
            for name, row in encoders.items()
            if name == f"{path.stem}, int8 (OnnxEncoder)"
        )
        values, kept = (
            {row["collection"]: row[what] for row in facts["rows"]} for what in ("student", "kept")
        )
        found.append(Point(path.stem, ratio, facts["megabytes"], values, kept))
    return sorted(found, key=lambda point: point.ratio)


def table(found: Sequence[Point]) -> str:
    """Return the models as a Markdown table."""
    names = list(found[0].kept)
    lines = [
        f"| model | times the 12-layer PyTorch model | MB | {' | '.join(names)} |",
        "|---|--:|--:|" + "--:|" * len(names),
    ]
    for point in found:
        cells = " | ".join(f"{point.quality[name]:.3f}, {point.kept[name]:.1%}" for name in names)
        lines.append(f"| {point.name} | {point.ratio:.1f}x | {point.megabytes:.1f} | {cells} |")
    return "\n".join(lines)


def draw(found: Sequence[Point], out: Path, *, mean: bool) -> None:
    """Write ``out.png`` and ``out.svg``."""
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 5.2), layout="constrained")
        FigureCanvasAgg(figure)
        (_draw_means if mean else _draw_points)(figure.subplots(), found)
        save_plot(figure, out)


def _draw_means(axes: Axes, found: Sequence[Point]) -> None:
    """Draw one point for each model, with its name to the right of it."""
    means = {point.name: fmean(point.quality.values()) for point in found}
    span = max(means.values()) - min(means.values()) or 1.0
    axes.axvline(LEAST_RATIO, color="#777777", linestyle="--", linewidth=1)
    axes.set_xlim(0, 1.45 * max(point.ratio for point in found))
    labels: list[tuple[float, float]] = []
    for point in sorted(found, key=lambda one: means[one.name]):
        value = means[point.name]
        near = [height + LABEL_STEP * span for ratio, height in labels if abs(ratio - point.ratio) < NEAR]
        free = max([value, *near])
        labels.append((point.ratio, free))
        axes.plot([point.ratio], [value], color=COLORS["cranfield"], marker="o", markersize=8)
        axes.annotate(
            f"{point.name}, {value:.3f}", (point.ratio, value), (1.03 * point.ratio + 0.3, free),
            va="center", fontsize=9, arrowprops={"arrowstyle": "-", "color": "#bbbbbb"},
        )  # fmt: skip
    axes.set_xlabel("documents a second, as a multiple of a 12-layer model's in PyTorch")
    axes.set_ylabel(f"mean of {', '.join(found[0].quality)}")
    axes.set_title("Quality against speed", loc="left", fontweight="bold")
    axes.margins(y=0.1)


def _draw_points(axes: Axes, found: Sequence[Point]) -> None:
    """Draw a named vertical line for each model, with a mark for each collection."""
    axes.axhline(100 * GOAL_KEPT, color="#777777", linestyle="--", linewidth=1)
    axes.axvline(LEAST_RATIO, color="#777777", linestyle="--", linewidth=1)
    axes.text(
        LEAST_RATIO,
        1,
        f" at least {LEAST_RATIO}x →",
        transform=axes.get_xaxis_transform(),
        va="top",
        fontsize=9,
    )
    for point in found:
        ends = 100 * min(point.kept.values()), 100 * max(point.kept.values())
        axes.vlines(point.ratio, *ends, color="#bbbbbb", linewidth=3, zorder=2)
        axes.annotate(
            point.name.replace("-", ",\n", 1), (point.ratio, ends[1]), (0, 8), textcoords="offset points",
            ha="center", fontsize=9,
        )  # fmt: skip
    for name in found[0].kept:
        axes.plot(
            [point.ratio for point in found], [100 * point.kept[name] for point in found], linestyle="",
            color=COLORS.get(name), marker=MARKERS.get(name, "o"), markersize=8, label=name, zorder=3,
        )  # fmt: skip
    axes.set_xlabel("documents a second, as a multiple of a 12-layer model's in PyTorch")
    axes.set_ylabel("kept of the 6-layer model's quality, %")
    axes.set_title("What depth costs and what it is worth", loc="left", fontweight="bold")
    axes.margins(y=0.14)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))


def main() -> None:
    """Join, print and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--speed", type=Path, required=True, help="what benchmarks.encode wrote")
    parser.add_argument("--quality", type=Path, nargs="+", required=True, help="student_quality's files")
    parser.add_argument("--out", type=Path, required=True, help="files to write, without their ending")
    parser.add_argument("--mean", action="store_true", help="draw each model's mean over the collections")
    args = parser.parse_args()
    found = points(json.loads(args.speed.read_text(encoding="utf-8")), args.quality)
    print(table(found))
    draw(found, args.out, mean=args.mean)


if __name__ == "__main__":
    main()
