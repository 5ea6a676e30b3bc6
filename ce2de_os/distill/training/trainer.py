"""The training loop: resumable at any moment, repeatable with a token budget.

accelerate manages devices and processes: one CPU, one GPU, or several with ``accelerate launch``, each
process taking every n-th batch.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from ce2de_os.arrays import token_batches
from ce2de_os.distill.config import DistillConfig
from ce2de_os.distill.precision import autocast
from ce2de_os.distill.processes import set_mixed_precision
from ce2de_os.distill.training.batches import TrainingBatch, TrainingSet, batches
from ce2de_os.distill.training.losses import ranking_loss, text_loss
from ce2de_os.distill.training.ranking_data import RankingBatch, RankingSet
from ce2de_os.errors import DataError
from ce2de_os.student import Ids, StudentModel, pad, padded_length
from ce2de_os.writing import saving

logger = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 30.0
DEV_CHECKS = 8  # measurements of the dev metric in one run, evenly spread
CURVE_POINTS = 100
HEAD_RATE = 2.0  # the head learns faster than the body: it is linear and well started
FREE_SETTINGS = ("minutes", "tokens", "threads", "precision", "lr")  # may change between two runs

Measure = Callable[[StudentModel], float | None]
"""The dev metric, higher is better; ``None`` if there is nothing to measure on."""


@dataclass
class Progress:
    """The progress of a run.

    Attributes:
        steps: optimizer steps.
        tokens: tokens trained on, special tokens included, padding not.
        elapsed_s: time spent training, over all runs.
        loss: running mean of the loss.
        curve: ``(tokens, loss)``, about a hundred points.
        dev: ``(tokens, metric)`` for each measurement of the dev metric.
    """

    steps: int = 0
    tokens: int = 0
    elapsed_s: float = 0.0
    loss: float = 0.0
    curve: list[tuple[int, float]] = field(default_factory=list)
    dev: list[tuple[int, float]] = field(default_factory=list)

    def done(self, config: DistillConfig) -> float:
        """Return the finished share of the run, 0 to 1."""
        if config.tokens is not None:
            return min(1.0, self.tokens / config.tokens)
        return min(1.0, self.elapsed_s / (60 * config.minutes))


class Report(Protocol):
    """Receives the progress after each step."""

    def __call__(self, progress: Progress, done: float) -> None:
        """Report the progress; ``done`` is the finished share of the run, 0 to 1."""


def train(
    student: StudentModel,
    data: TrainingSet,
    config: DistillConfig,
    precision: str,
    checkpoint: Path,
    report: Report,
    measure: Measure,
) -> Progress:
    """Train ``student`` in place until the budget is spent; keep the weights with the best measurement.

    ``checkpoint`` is written twice a minute; if it exists, the run resumes from there with the batches that
    an uninterrupted run would have seen.

    Raises:
        DataError: the checkpoint belongs to another configuration or other texts, or the loss is no longer a
            number; the last good checkpoint is kept.
    """
    run = _Run(student, data, config, precision, checkpoint)
    progress = run.restore()
    started, saved = time.monotonic() - progress.elapsed_s, time.monotonic()
    student.train()
    for group in run.batches(progress.steps):
        loss = run.step(group, schedule(progress.done(config), config.warmup, config.decay), progress.steps)
        progress.steps += 1
        progress.loss += (loss - progress.loss) * max(0.01, 1 / progress.steps)
        progress.tokens, progress.elapsed_s = run.agree(
            progress.tokens, _tokens(group, data), time.monotonic() - started
        )
        done = progress.done(config)
        if len(progress.curve) < int(done * CURVE_POINTS):
            progress.curve.append((progress.tokens, round(progress.loss, 5)))
        if len(progress.dev) < int(done * DEV_CHECKS):
            run.measure(measure, progress)
        report(progress, done)
        if done >= 1:
            break
        if time.monotonic() - saved > CHECKPOINT_SECONDS:
            run.save(progress)
            saved = time.monotonic()
    run.take_best(progress)
    student.eval()
    return progress


def schedule(done: float, warmup: float, decay: float) -> float:
    """Return the learning rate's factor at share ``done`` of the run: linear rise, flat, fall to 0."""
    rise = done / warmup if warmup else 1.0
    fall = (1.0 - done) / decay if decay else 1.0
    return max(0.0, min(1.0, rise, fall)) if done > 0 else min(1.0, 0.01 if warmup else 1.0)


class _Run:
    """A student with its optimizer, on whatever devices there are."""

    def __init__(
        self,
        student: StudentModel,
        data: TrainingSet,
        config: DistillConfig,
        precision: str,
        checkpoint: Path,
    ) -> None:
        self.student, self.data, self.config = student, data, config
        self.precision, self.checkpoint, self.best = precision, checkpoint, checkpoint.with_name("best.pt")
        set_mixed_precision("fp32")  # `precision` is set at each place that uses it
        self.accelerator = Accelerator(cpu=not torch.cuda.is_available())
        self.device = self.accelerator.device
        self.model, self.optimizer = self.accelerator.prepare(student, _optimizer(student, config))

    def batches(self, steps: int) -> Iterator[list[TrainingBatch]]:
        """Yield this process's batches of each step after the first ``steps``."""
        world, own = self.accelerator.num_processes, self.accelerator.process_index
        each = self.config.accumulate * world
        stream = batches(self.data, self.config, steps * each)
        while True:
            yield list(islice(stream, each))[own::world]

    def step(self, group: Sequence[TrainingBatch], factor: float, number: int) -> float:
        """Make one optimizer step on the mean loss of ``group``; return that loss."""
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = parameters["peak"] * factor
        total = 0.0
        for index, batch in enumerate(group):
            last = index == len(group) - 1
            with nullcontext() if last else self.accelerator.no_sync(self.model):
                loss = self._loss(batch) / len(group)
                self.accelerator.backward(loss)
            total += float(loss.detach())
        if not math.isfinite(total):
            raise DataError(
                f"step {number + 1}: the loss is no longer a number; the last good checkpoint is kept in "
                f"{self.checkpoint.parent}: start the same run again with a lower learning rate than "
                f"{self.config.lr:g} to resume from it"
            )
        self.accelerator.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return total

    def _loss(self, batch: TrainingBatch) -> Tensor:
        terms = []
        if batch.texts is not None:
            targets = torch.from_numpy(self.data.targets[batch.texts].astype(np.float32)).to(self.device)
            embeddings = self._embed([self.data.ids[row] for row in batch.texts])
            terms.append(
                text_loss(self.config.losses, embeddings, torch.nn.functional.normalize(targets, dim=1))
            )
        if batch.ranking is not None and self.data.ranking is not None:
            terms.append(self._ranking_loss(batch.ranking, self.data.ranking))
        return torch.stack(terms).sum()

    def _ranking_loss(self, batch: RankingBatch, data: RankingSet) -> Tensor:
        size, candidates = batch.documents.shape
        embeddings = self._embed(data.texts(batch))
        logits, rows = (
            torch.from_numpy(values).to(self.device) for values in (batch.logits, batch.documents)
        )
        documents = embeddings[size:].view(size, candidates, -1)
        return ranking_loss(
            self.config.losses, embeddings[:size], documents, logits, self.config.temperature, rows
        )

    def _embed(self, ids: Ids) -> Tensor:
        """Embed texts in forward passes of similar length; return embeddings in the given order."""
        parts, order = [], []
        with autocast(self.precision, self.device.type):
            for rows in token_batches([padded_length(len(row)) for row in ids], self.config.batch_tokens):
                parts.append(self.model(*(t.to(self.device) for t in pad([ids[row] for row in rows]))))
                order += rows
        return torch.cat(parts)[torch.tensor(np.argsort(order), device=self.device)]

    def agree(self, tokens: int, own: int, elapsed_s: float) -> tuple[int, float]:
        """Agree on tokens and time: the same in all processes, so that all stop at the same step."""
        if self.accelerator.num_processes == 1:
            return tokens + own, elapsed_s
        both = torch.tensor([float(own), elapsed_s / self.accelerator.num_processes], device=self.device)
        summed = self.accelerator.reduce(both, reduction="sum")
        return tokens + int(summed[0]), float(summed[1])

    def measure(self, measure: Measure, progress: Progress) -> None:
        """Measure the dev metric, and keep the weights if they are the best so far."""
        self.student.eval()
        value = measure(self.student)
        self.student.train()
        if value is None:
            return
        best = max((earlier for _, earlier in progress.dev), default=-math.inf)
        progress.dev.append((progress.tokens, round(value, 4)))
        logger.info("measured", extra={"action": "distill_dev", "metric": value, "steps": progress.steps})
        if round(value, 4) >= best and self.accelerator.is_main_process:
            _write(self.best, {"student": self.student.state_dict()})

    def take_best(self, progress: Progress) -> None:
        """Restore the best weights if the last measurement was not the best."""
        self.accelerator.wait_for_everyone()
        if progress.dev and progress.dev[-1][1] < max(value for _, value in progress.dev):
            self.student.load_state_dict(_load(self.best)["student"])
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            self.best.unlink(missing_ok=True)

    def save(self, progress: Progress) -> None:
        """Write the checkpoint."""
        if self.accelerator.is_main_process:
            state = {
                "key": _run_key(self.config, self.data),
                "progress": asdict(progress),
                "student": self.student.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            }
            _write(self.checkpoint, state)

    def restore(self) -> Progress:
        """Load the checkpoint if there is one."""
        if not self.checkpoint.is_file():
            return Progress()
        state = _load(self.checkpoint, self.device)
        if state["key"] != _run_key(self.config, self.data):
            raise DataError(
                f"{self.checkpoint}: a run with other settings or texts was started here; "
                "repeat it with the same ones to resume, or choose another folder"
            )
        self.student.load_state_dict(state["student"])
        try:
            self.optimizer.load_state_dict(state["optimizer"])
        except ValueError as error:
            raise DataError(
                f"{self.checkpoint}: written by another version, which trained other weights; delete it to "
                "train from the beginning"
            ) from error
        for group, peak in zip(self.optimizer.param_groups, _peaks(self.config), strict=True):
            group["peak"] = peak
        progress = Progress(**state["progress"])
        logger.info("resuming from a checkpoint", extra={"action": "distill_resume", "steps": progress.steps})
        return progress


def _load(path: Path, device: torch.device | None = None) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location=device)
    except (OSError, EOFError, RuntimeError, UnpicklingError, ValueError, KeyError) as error:
        raise DataError(f"{path}: damaged; delete it to train from the beginning") from error
    if not isinstance(state, dict) or "student" not in state:
        raise DataError(f"{path}: not a checkpoint of a student; delete it to train from the beginning")
    return state


def _tokens(group: Sequence[TrainingBatch], data: TrainingSet) -> int:
    rows: list[Sequence[int]] = []
    for batch in group:
        rows += [data.ids[row] for row in batch.texts or ()]
        if batch.ranking is not None and data.ranking is not None:
            rows += data.ranking.texts(batch.ranking)
    return sum(map(len, rows))


def _peaks(config: DistillConfig) -> tuple[float, float]:
    return config.lr, HEAD_RATE * config.lr


def _optimizer(student: StudentModel, config: DistillConfig) -> torch.optim.Optimizer:
    if not config.train_embeddings:
        student.body.embeddings.requires_grad_(False)
    body = [parameter for parameter in student.body.parameters() if parameter.requires_grad]
    parts = (body, list(student.head.parameters()))
    groups = [{"params": part, "peak": peak} for part, peak in zip(parts, _peaks(config), strict=True)]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.98), weight_decay=0.01, fused=True)


def _run_key(config: DistillConfig, data: TrainingSet) -> dict[str, Any]:
    """Return the settings that a checkpoint must match; budget and learning rate may change."""
    key = {name: value for name, value in config.plain().items() if name not in FREE_SETTINGS}
    queries = len(data.ranking.queries) if data.ranking is not None else 0
    first = [int(token) for token in data.ids[0]] if len(data.ids) else []
    return key | {"texts": len(data.ids), "first": first, "queries": queries}


def _write(path: Path, state: dict[str, Any]) -> None:
    # A kill in the middle of writing must leave the previous file whole.
    partial = path.with_suffix(".partial")
    with saving(path, partial):
        torch.save(state, partial)
        partial.replace(path)
