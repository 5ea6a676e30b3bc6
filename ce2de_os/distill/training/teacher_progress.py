"""The progress of a teacher's training: its clock, its measurements and its checkpoints."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import TrainerCallback

from ce2de_os.distill.training.teacher_config import TeacherConfig
from ce2de_os.errors import ConfigError, DataError
from ce2de_os.reading import read_object
from ce2de_os.writing import saving

logger = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 45.0
DEV_CHECKS = 8  # measurements on the held-out queries in one run, evenly spread
_MEASURE_PAUSE = 6  # with a budget in minutes, train at least this many times as long as measuring takes
_PROGRESS_FILE = "progress.json"


@dataclass
class TeacherProgress:
    """The progress of a run.

    Attributes:
        steps: optimizer steps.
        passes: forward and backward passes; several make one step.
        elapsed_s: time spent training and measuring, over all runs.
        loss: running mean of the loss.
        dev: ``(steps, MRR@10)`` for each measurement on the held-out queries, the first before any step.
        best_step: the step of the best measurement after training has begun; 0 for none yet.
    """

    steps: int = 0
    passes: int = 0
    elapsed_s: float = 0.0
    loss: float = 0.0
    dev: list[tuple[int, float]] = field(default_factory=list)
    best_step: int = 0

    def done(self, config: TeacherConfig) -> float:
        """Return the finished share of the run, 0 to 1."""
        if config.steps is not None:
            return min(1.0, self.steps / config.steps)
        return min(1.0, self.elapsed_s / (60 * config.minutes))


class TeacherReport(Protocol):
    """Receives the progress after each step."""

    def __call__(self, progress: TeacherProgress, done: float) -> None:
        """Report the progress; ``done`` is the finished share of the run, 0 to 1."""


def rate(done: float, warmup: float) -> float:
    """Return the learning rate's factor at share ``done`` of the run: linear rise, then linear fall to 0."""
    if done < warmup:
        return max(0.01, done / warmup)
    return (1.0 - done) / (1.0 - warmup)


def last_checkpoint(work: Path) -> str | None:
    """Return the newest complete checkpoint in ``work``; ``None`` if there is none."""
    complete = [path.parent for path in work.glob(f"checkpoint-*/{_PROGRESS_FILE}")]
    steps = {int(number): path for path in complete if (number := path.name.partition("-")[2]).isdecimal()}
    return str(steps[max(steps)]) if steps else None


class ProgressKeeper(TrainerCallback):  # type: ignore[misc]
    """Measures time and quality, and decides when to write and when to stop; the Trainer calls it.

    ``measure`` returns the metric on the held-out queries, higher is better.
    """

    def __init__(
        self, work: Path, config: TeacherConfig, measure: Callable[[], float], report: TeacherReport
    ) -> None:
        self.progress = TeacherProgress()
        self._work, self._config, self._measure, self._report = work, config, measure, report
        self._started = self._saved_s = 0.0
        self._measured_s = self._measuring_s = 0.0
        self._again: Callable[[], torch.Tensor] | None = None

    @property
    def best_folder(self) -> Path:
        """The model with the best measurement."""
        return self._work / f"best-{self.progress.best_step}"

    def rate(self, step: int) -> float:
        """Return the learning rate's factor for the step that follows ``step`` steps."""
        if self._config.steps is not None:
            return rate(min(1.0, step / self._config.steps), self._config.warmup)
        return rate(self.progress.done(self._config), self._config.warmup)

    def add_loss(self, loss: float, again: Callable[[], torch.Tensor]) -> None:
        """Add the loss of one pass; ``again`` computes it with the weights as they are then.

        Raises:
            ConfigError: it is not a finite number.
        """
        if not abs(loss) < float("inf"):
            raise self._diverged()
        self._again = again
        self.progress.passes += 1
        self.progress.loss += (loss - self.progress.loss) * max(0.01, 1 / self.progress.passes)

    def on_train_begin(  # noqa: D102 - these are the Trainer's names
        self, args: Any, state: Any, control: Any, **kwargs: Any  # noqa: ANN401
    ) -> None:  # fmt: skip
        found = last_checkpoint(self._work)
        if found is not None:
            self.progress = _read(Path(found) / _PROGRESS_FILE)
            self._set_rate(kwargs["optimizer"], kwargs["lr_scheduler"])
            logger.info(
                "resuming from a checkpoint", extra={"action": "teacher_resume", "steps": state.global_step}
            )
        self._started = time.monotonic() - self.progress.elapsed_s
        self._saved_s = self.progress.elapsed_s
        if not self.progress.dev:
            self._report(self.progress, 0.0)
            self._take_measure(kwargs["model"])

    def on_step_end(  # noqa: D102
        self, args: Any, state: Any, control: Any, **kwargs: Any  # noqa: ANN401
    ) -> None:  # fmt: skip
        progress = self.progress
        progress.steps = state.global_step
        progress.elapsed_s = _agreed(time.monotonic() - self._started)
        done = progress.done(self._config)
        measured = self._is_due(done)
        if measured or progress.elapsed_s - self._saved_s > CHECKPOINT_SECONDS:
            self._check_weights(kwargs["model"])
            control.should_save = True
        if measured:
            self._take_measure(kwargs["model"])
            self._keep_best(kwargs["model"], state.is_world_process_zero)
        self._report(progress, done)
        if done >= 1:
            control.should_training_stop = True

    def on_save(  # noqa: D102
        self, args: Any, state: Any, control: Any, **kwargs: Any  # noqa: ANN401
    ) -> None:  # fmt: skip
        self._saved_s = self.progress.elapsed_s
        if not state.is_world_process_zero:
            return
        # Written last: its presence says that the checkpoint is complete.
        path = self._work / f"checkpoint-{state.global_step}" / _PROGRESS_FILE
        beside = path.with_suffix(".partial")
        beside.write_text(json.dumps(asdict(self.progress)), encoding="utf-8")
        beside.replace(path)
        for folder in (*self._work.glob("best-*"), *self._work.glob("checkpoint-*")):
            if folder not in (self.best_folder, path.parent):
                shutil.rmtree(folder)

    def _is_due(self, done: float) -> bool:
        """Return whether to measure now."""
        if len(self.progress.dev) - 1 >= int(done * DEV_CHECKS):
            return False
        if self._config.steps is not None or done >= 1:
            return True
        return self.progress.elapsed_s - self._measured_s > _MEASURE_PAUSE * self._measuring_s

    def _take_measure(self, model: torch.nn.Module) -> None:
        began = time.monotonic()
        value = round(self._measure(), 4)
        self._measuring_s = _agreed(time.monotonic() - began)
        self._measured_s = self.progress.elapsed_s + self._measuring_s
        model.train()
        self.progress.dev.append((self.progress.steps, value))
        logger.info(
            "measured on held-out queries",
            extra={"action": "teacher_dev", "mrr": value, "steps": self.progress.steps},
        )

    def _keep_best(self, model: Any, writes: bool) -> None:  # noqa: ANN401
        measured = dict(self.progress.dev)
        last = self.progress.dev[-1][0]
        if self.progress.best_step and measured[last] < measured[self.progress.best_step]:
            return
        self.progress.best_step = last
        if writes:
            beside = self._work / "best.partial"
            for folder in (beside, self.best_folder):
                shutil.rmtree(folder, ignore_errors=True)
            with saving(beside):
                model.save_pretrained(beside)
                beside.replace(self.best_folder)

    def _check_weights(self, model: torch.nn.Module) -> None:
        """Check that the weights to keep give a finite loss: a step may have ruined them."""
        model.eval()
        with torch.no_grad():
            finite = self._again is None or bool(self._again().isfinite())
        model.train()
        if not finite:
            raise self._diverged()

    def _diverged(self) -> ConfigError:
        kept = " to resume from the last good checkpoint" if last_checkpoint(self._work) else ""
        return ConfigError(
            f"the loss is not a number after step {self.progress.steps}: the learning rate is too high; "
            f"set `lr` below {self._config.lr:g}{kept}"
        )

    def _set_rate(self, optimizer: Any, scheduler: Any) -> None:  # noqa: ANN401
        """Replace a checkpoint's learning rate by the configured one."""
        scheduler.base_lrs = [self._config.lr] * len(optimizer.param_groups)
        for group in optimizer.param_groups:
            group["initial_lr"] = self._config.lr
            group["lr"] = self._config.lr * self.rate(self.progress.steps)


def _read(path: Path) -> TeacherProgress:
    facts = read_object(path)
    try:
        facts["dev"] = [(int(step), float(value)) for step, value in facts["dev"]]
        return TeacherProgress(**facts)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: damaged; delete {path.parent} to train from the beginning") from error


def _agreed(elapsed_s: float) -> float:
    """Return the first process's clock: all processes must stop and write at the same step."""
    if not torch.distributed.is_initialized():
        return elapsed_s
    device = "cuda" if torch.cuda.is_available() else "cpu"
    seconds = torch.tensor([elapsed_s], dtype=torch.float64, device=device)
    torch.distributed.broadcast(seconds, src=0)
    return float(seconds.item())
