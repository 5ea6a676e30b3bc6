"""Show the progress of a distillation on stderr: a live bar on a terminal, else a line at intervals."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from ce2de_os.distill.training.trainer import Progress

LINE_SECONDS = 30.0
_BARS = "▁▂▃▄▅▆▇█"
_TITLES = {
    "texts": "Reading the texts",
    "pairs": "Reading the pairs",
    "negatives": "Finding negatives",
    "documents": "Reading documents",
    "queries": "Collecting queries",
    "survey": "Looking them over",
    "translate": "Translating",
    "candidates": "Finding candidates",
    "scores": "Scoring pairs",
    "teacher": "Teacher reads",
    "head": "Student's start",
    "train": "Training",
    "export": "Exporting",
    "evaluate": "Comparing",
    "speed": "Timing",
    "probe": "Probing layers",
}


class ConsoleProgress:
    """Shows the phases of a distillation; a context manager."""

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        console = Console(file=stream or sys.stderr)
        self._console = console
        self._live = console.is_terminal
        title, share, note = "{task.description:<18}", "{task.percentage:>4.0f}%", "{task.fields[note]}"
        clocks = TimeElapsedColumn(), TimeRemainingColumn()
        columns = TextColumn(title), BarColumn(), TextColumn(share), *clocks, TextColumn(note)
        self._bar = Bar(*columns, console=console, disable=quiet or not self._live)
        self._tasks: dict[str, TaskID] = {}
        self._printed = 0.0
        self._quiet = quiet

    def __enter__(self) -> ConsoleProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def phase(self, name: str, done: int, total: int) -> None:
        """Show a phase of the preparation."""
        self.show(name, done / max(total, 1), f"{done:,} of {total:,}" if total > 1 else "")

    def training(self, progress: Progress, done: float) -> None:
        """Show the training: loss, dev metric, tokens a second."""
        rate = progress.tokens / max(progress.elapsed_s, 1e-9)
        self.show("train", done, f"loss {progress.loss:.4f}  dev {_curve(progress)}  {rate:,.0f} tokens/s")

    def show(self, name: str, done: float, note: str) -> None:
        """Show the step ``name`` at share ``done``, with a note in words."""
        if self._quiet:
            return
        if self._live:
            if name not in self._tasks:
                self._tasks[name] = self._bar.add_task(_TITLES.get(name, name), total=1.0, note="")
            self._bar.update(self._tasks[name], completed=done, note=note)
        elif done in (0, 1) or time.monotonic() - self._printed > LINE_SECONDS:
            self._printed = time.monotonic()
            self._console.print(
                f"{_TITLES.get(name, name)}: {done:.0%} {note}".rstrip(), highlight=False, soft_wrap=True
            )


def _curve(progress: Progress) -> str:
    """Draw the dev metric so far in one line, with its last value."""
    values = [value for _, value in progress.dev]
    if not values:
        return "-"
    low, span = min(values), max(max(values) - min(values), 1e-9)
    bars = "".join(_BARS[int((value - low) / span * (len(_BARS) - 1))] for value in values)
    return f"{bars} {values[-1]:.3f}"
