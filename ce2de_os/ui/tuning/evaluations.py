"""Evaluations: one at a time, in a thread, while the page shows how far it is."""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ce2de_os.errors import Ce2deError, ConfigError
from ce2de_os.ui.errors import said

if TYPE_CHECKING:
    from ce2de_os.progress import Phase
    from ce2de_os.quality.comparison import Comparison

logger = logging.getLogger(__name__)

Evaluate = Callable[["Phase"], "Comparison"]


@dataclass(frozen=True)
class EvaluationRun:
    """An evaluation, as far as it is.

    Attributes:
        index: what is evaluated.
        judge: whose judgments count; ``""``: those of all.
        phase: what is being done.
        done: steps of the phase that are done.
        total: its steps.
        result: the comparison; ``None``: not yet, or it failed.
        plot: the picture of it, SVG; empty: latency was not measured.
        problem: what went wrong, and what to do; empty texts: nothing.
    """

    index: str
    judge: str
    phase: str = "Starting"
    done: int = 0
    total: int = 0
    result: Comparison | None = None
    plot: bytes = field(default=b"", repr=False)
    problem: tuple[str, str] = ("", "")

    @property
    def is_running(self) -> bool:
        """Return whether it goes on."""
        return self.result is None and not self.problem[0]


class Evaluations:
    """Runs one evaluation at a time, and keeps the last one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest: EvaluationRun | None = None

    @property
    def latest(self) -> EvaluationRun | None:
        """The one that runs, or the last one; ``None``: there was none since the server started."""
        return self._latest

    def start(self, index: str, judge: str, evaluate: Evaluate) -> None:
        """Start one.

        Raises:
            ConfigError: another one runs.
        """
        with self._lock:
            if self._latest is not None and self._latest.is_running:
                raise ConfigError(f"an evaluation of {self._latest.index} is running; wait until it ends")
            self._latest = EvaluationRun(index, judge)
        threading.Thread(target=self._run, args=[evaluate], name="evaluation", daemon=True).start()

    def _run(self, evaluate: Evaluate) -> None:
        try:
            result = evaluate(lambda name, done, total: self._note(phase=name, done=done, total=total))
            self._note(phase="Drawing", done=0, total=0)
            self._note(plot=plot_of(result), result=result)
        except Ce2deError as error:
            self._note(problem=said(error))
        except Exception:
            logger.exception("An evaluation failed", extra={"action": "evaluate"})
            self._note(problem=("the evaluation failed", "see the log of 'ce2de ui'"))

    def _note(self, **values: object) -> None:
        if self._latest is not None:
            self._latest = replace(self._latest, **values)  # type: ignore[arg-type]


def plot_of(found: Comparison) -> bytes:
    """Draw quality against latency, as SVG; empty where latency was not measured."""
    if any(one.latency_ms is None for one in found.systems):
        return b""
    from ce2de_os.quality.comparison_plot import draw

    with tempfile.TemporaryDirectory(prefix="ce2de-ui-") as folder:
        _, picture = draw(found, Path(folder) / "plot.svg")
        return picture.read_bytes()
