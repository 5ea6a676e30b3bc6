"""Write plots as PNG and SVG files, with one common style."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE: dict[str, Any] = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.8,
    "svg.hashsalt": "ce2de",  # equal figures give equal files
}
"""matplotlib's settings for every plot; each adds its own."""


def save_plot(figure: Figure, file: Path) -> list[Path]:
    """Write ``file`` as PNG and as SVG, whatever its suffix; its folder must exist. Return both paths.

    Each is written to a temporary file, then renamed.
    """
    paths = [file.with_suffix(".png"), file.with_suffix(".svg")]
    for path in paths:
        partial = path.with_name(f".{path.name}.partial")
        kind = path.suffix.removeprefix(".")
        figure.savefig(partial, format=kind, dpi=200, metadata={"Date": None} if kind == "svg" else None)
        partial.replace(path)
    return paths
