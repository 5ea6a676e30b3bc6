"""The training loop: resumable at any moment, repeatable with a token budget."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ce2de_os.arrays import Embeddings, l2_normalize, token_batches
from ce2de_os.distill import losses
from ce2de_os.distill.config import DistillConfig
from ce2de_os.distill.precision import autocast
from ce2de_os.distill.teacher import embed_ids
from ce2de_os.errors import DataError
from ce2de_os.student import Ids, StudentModel, pad, padded_length

logger = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 30.0
DEV_CHECKS = 8  # measurements on the held-out texts in one run, evenly spread
NEIGHBOURS = 10
HEAD_RATE = 2.0  # the head learns faster than the body: it is linear and well started
_SORT_TEXTS = 4096  # texts sorted by length together: few enough that epochs differ, enough to avoid padding


@dataclass(frozen=True)
class TrainingSet:
    """Token ids with the teacher's embeddings ``targets``, ``(N, D)`` float16.

    The last ``held_out`` texts are measured on, not trained on.
    """

    ids: Ids
    targets: NDArray[np.float16]
    held_out: int

    @property
    def trained(self) -> int:
        """How many texts are trained on."""
        return len(self.ids) - self.held_out


@dataclass
class Progress:
    """Where a run stands.

    Attributes:
        epoch: passes over the texts that are complete.
        batch: batches of the current pass that are done.
        steps: optimiser steps.
        tokens: tokens trained on, special tokens included, padding not.
        elapsed_s: time spent training, over all sittings.
        loss: running mean of the loss.
        dev: ``(tokens, overlap)`` for each measurement on the held-out texts.
    """

    epoch: int = 0
    batch: int = 0
    steps: int = 0
    tokens: int = 0
    elapsed_s: float = 0.0
    loss: float = 0.0
    dev: list[tuple[int, float]] = field(default_factory=list)

    def done(self, config: DistillConfig) -> float:
        """The share of the run that is behind, 0 to 1."""
        if config.tokens is not None:
            return min(1.0, self.tokens / config.tokens)
        return min(1.0, self.elapsed_s / (60 * config.minutes))


class Report(Protocol):
    """Receives the progress after each step."""

    def __call__(self, progress: Progress, done: float) -> None:
        """``done`` is the share of the run that is behind, 0 to 1."""


def train(
    student: StudentModel,
    data: TrainingSet,
    config: DistillConfig,
    precision: str,
    checkpoint: Path,
    report: Report,
) -> Progress:
    """Train ``student`` in place until the budget is spent.

    ``checkpoint`` is written twice a minute; if it exists, the run goes on from there with the batches that
    an uninterrupted run would have seen.

    Raises:
        DataError: the checkpoint belongs to another configuration or other texts.
    """
    optimizer = _optimizer(student, config)
    progress = _restore(checkpoint, student, optimizer, config, data)
    started, saved = time.monotonic() - progress.elapsed_s, time.monotonic()
    student.train()
    for batch in _batches(data, config, progress):
        factor = schedule(progress.done(config), config.warmup, config.decay)
        loss = _step(student, optimizer, data, batch, config, precision, factor)
        progress.steps += 1
        progress.tokens += sum(len(data.ids[row]) for row in batch)
        progress.elapsed_s = time.monotonic() - started
        progress.loss += (loss - progress.loss) * max(0.01, 1 / progress.steps)
        done = progress.done(config)
        if len(progress.dev) < int(done * DEV_CHECKS):
            _measure(student, data, precision, progress)
        report(progress, done)
        if done >= 1:
            break
        if time.monotonic() - saved > CHECKPOINT_SECONDS:
            _save(checkpoint, student, optimizer, progress, config, data)
            saved = time.monotonic()
    student.eval()
    return progress


def schedule(done: float, warmup: float, decay: float) -> float:
    """The learning rate's factor at share ``done`` of the run: linear rise, flat, linear fall to 0."""
    rise = done / warmup if warmup else 1.0
    fall = (1.0 - done) / decay if decay else 1.0
    return max(0.0, min(1.0, rise, fall)) if done > 0 else min(1.0, 0.01 if warmup else 1.0)


def epoch_batches(lengths: Sequence[int], config: DistillConfig, epoch: int) -> list[list[int]]:
    """The batches of one pass: texts of similar length together, in an order drawn from seed and epoch."""
    rng = np.random.default_rng((config.seed, epoch))
    order = rng.permutation(len(lengths))
    batches: list[list[int]] = []
    for start in range(0, len(order), _SORT_TEXTS):
        part = order[start : start + _SORT_TEXTS].tolist()
        for positions in token_batches([lengths[row] for row in part], config.batch_tokens):
            rows = [part[position] for position in positions]
            batches += [rows[i : i + config.batch_texts] for i in range(0, len(rows), config.batch_texts)]
    return [batches[index] for index in rng.permutation(len(batches))]


def neighbour_overlap(student: Embeddings, teacher: Embeddings, k: int = NEIGHBOURS) -> float:
    """Share of each text's ``k`` nearest texts by the teacher that are also its ``k`` nearest by the student.

    A falling loss does not prove that rankings survive; this is a ranking measure that needs no judgements.
    """
    near_student, near_teacher = _nearest(student, k), _nearest(teacher, k)
    common = [len(set(a) & set(b)) for a, b in zip(near_student, near_teacher, strict=True)]
    return float(np.mean(common)) / k


def _nearest(embeddings: Embeddings, k: int) -> list[list[int]]:
    similarities = embeddings @ embeddings.T
    np.fill_diagonal(similarities, -np.inf)
    nearest: list[list[int]] = np.argpartition(-similarities, k, axis=1)[:, :k].tolist()
    return nearest


def _measure(student: StudentModel, data: TrainingSet, precision: str, progress: Progress) -> None:
    if data.held_out <= NEIGHBOURS:
        return  # too few texts to have neighbours
    student.eval()
    embeddings = embed_ids(student, data.ids[data.trained :], precision)
    student.train()
    targets = l2_normalize(data.targets[data.trained :].astype(np.float32))
    overlap = neighbour_overlap(embeddings, targets)
    progress.dev.append((progress.tokens, round(overlap, 4)))
    logger.info(
        "measured on held-out texts",
        extra={"action": "distill_dev", "overlap": overlap, "steps": progress.steps},
    )


def _batches(data: TrainingSet, config: DistillConfig, progress: Progress) -> Iterator[list[int]]:
    """Endless batches from where ``progress`` stands, which is moved along."""
    lengths = [padded_length(len(row)) for row in data.ids[: data.trained]]
    while True:
        batches = epoch_batches(lengths, config, progress.epoch)
        for batch in batches[progress.batch :]:
            progress.batch += 1
            yield batch
        progress.epoch, progress.batch = progress.epoch + 1, 0


def _step(
    student: StudentModel,
    optimizer: torch.optim.Optimizer,
    data: TrainingSet,
    batch: list[int],
    config: DistillConfig,
    precision: str,
    factor: float,
) -> float:
    targets = torch.from_numpy(data.targets[batch].astype(np.float32))
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
    with autocast(precision):
        embeddings = student(*pad([data.ids[row] for row in batch]))
    loss = losses.by_name(config.loss, embeddings, torch.nn.functional.normalize(targets, dim=1))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
    optimizer.step()
    return float(loss.detach())


def _optimizer(student: StudentModel, config: DistillConfig) -> torch.optim.Optimizer:
    if not config.train_embeddings:
        student.body.embeddings.requires_grad_(False)
    body = [parameter for parameter in student.body.parameters() if parameter.requires_grad]
    groups = [
        {"params": body, "peak": config.lr},
        {"params": list(student.head.parameters()), "peak": HEAD_RATE * config.lr},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.98), weight_decay=0.01, fused=True)


def _run_key(config: DistillConfig, data: TrainingSet) -> dict[str, Any]:
    """What must be equal for a checkpoint to fit; the budget may be changed between sittings."""
    key = asdict(config)
    for free in ("minutes", "tokens", "threads", "precision"):
        del key[free]
    return key | {"texts": len(data.ids), "first": list(data.ids[0]), "layers": list(config.layers)}


def _save(
    path: Path,
    student: StudentModel,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    config: DistillConfig,
    data: TrainingSet,
) -> None:
    state = {
        "key": _run_key(config, data),
        "progress": asdict(progress),
        "student": student.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    # A kill in the middle of writing must leave the previous checkpoint whole.
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def _restore(
    path: Path,
    student: StudentModel,
    optimizer: torch.optim.Optimizer,
    config: DistillConfig,
    data: TrainingSet,
) -> Progress:
    if not path.is_file():
        return Progress()
    state = torch.load(path, weights_only=True)
    if state["key"] != _run_key(config, data):
        raise DataError(
            f"{path}: a run with other settings or texts was started here; "
            "repeat it with the same ones to go on, or choose another --out"
        )
    student.load_state_dict(state["student"])
    optimizer.load_state_dict(state["optimizer"])
    progress = Progress(**state["progress"])
    logger.info("going on from a checkpoint", extra={"action": "distill_resume", "steps": progress.steps})
    return progress
