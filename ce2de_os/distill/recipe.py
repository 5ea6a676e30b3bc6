"""The whole distillation: texts, teacher, head, training, and the folder with the finished student."""

from __future__ import annotations

import json
import logging
import platform
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ce2de_os.distill.bodies import as_bert
from ce2de_os.distill.config import DistillConfig
from ce2de_os.distill.cross_encoder import load_cross_encoder
from ce2de_os.distill.init import cut_student, solve_head
from ce2de_os.distill.precision import resolve
from ce2de_os.distill.teacher import SHARD_TEXTS, Teacher, load_teacher, teacher_shards
from ce2de_os.distill.texts import Passage, sample_passages
from ce2de_os.distill.trainer import Progress, Report, TrainingSet, train
from ce2de_os.errors import DataError
from ce2de_os.student import TOKENIZER_FILE, StudentModel

logger = logging.getLogger(__name__)

RECIPE_FILE, CHECKPOINT_FILE, SAMPLE_FILE = "recipe.json", "checkpoint.pt", "sample.json"
HEAD_TEXTS = 20_000  # for the closed-form head: 17 texts for each of its 1,152 inputs
HELD_OUT = 2000
HELD_OUT_SHARE = 0.05
SAMPLE_TEXTS = 1000  # real texts on which the export measures parity
_WORDS_PER_TOKEN = 0.57  # English prose in WordPieces, special tokens included

Phase = Callable[[str, int, int], None]
"""Receives the name of a step, how much of it is done, and how much there is."""


def distill(
    texts: Sequence[Path],
    config: DistillConfig,
    out: Path,
    *,
    cache: Path | None = None,
    phase: Phase,
    report: Report,
) -> dict[str, Any]:
    """Make a student and write it to ``out``; returns its recipe.

    Going on after an interruption is the same call.

    ``cache`` holds the teacher's embeddings, so that several students can share them; ``None`` means
    ``out/teacher``.

    Raises:
        DataError: the texts cannot be used, ``out`` holds a finished or another student.
        ConfigError: teacher or layers do not exist.
    """
    if (out / RECIPE_FILE).exists():
        raise DataError(
            f"{out}: holds a finished student; export it with 'ce2de export', or choose another --out"
        )
    started = time.monotonic()
    if config.threads:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    precision = resolve(config.precision)
    teacher = load_teacher(config.teacher)
    student = _student(teacher, config)
    passages, ids = _passages(texts, teacher, config, phase)
    targets = _targets(teacher, ids, cache or out / "teacher", precision, phase)
    data = TrainingSet(ids, targets, min(HELD_OUT, int(HELD_OUT_SHARE * len(ids))))
    out.mkdir(parents=True, exist_ok=True)
    if not (out / CHECKPOINT_FILE).exists():
        solve_head(student, ids[:HEAD_TEXTS], targets[:HEAD_TEXTS].astype(np.float32), precision)
    prepared_s = time.monotonic() - started
    progress = train(student, data, config, precision, out / CHECKPOINT_FILE, report)
    recipe = _recipe(config, precision, passages, data, progress, prepared_s)
    _write(out, student, teacher, passages[data.trained :], recipe)
    return recipe


def _student(teacher: Teacher, config: DistillConfig) -> StudentModel:
    if config.init == "ce" and config.cross_encoder:
        source = as_bert(load_cross_encoder(config.cross_encoder).body, config.cross_encoder)
    else:
        source = as_bert(teacher.model, teacher.name)
    copied = [None if config.init == "random" else layer for layer in config.layers]
    return cut_student(
        source, copied, dim=teacher.dim, readout=config.readout, pooled=config.pooled,
        copy_embeddings=config.init != "random",
    )  # fmt: skip


def _passages(
    texts: Sequence[Path], teacher: Teacher, config: DistillConfig, phase: Phase
) -> tuple[list[Passage], list[list[int]]]:
    phase("texts", 0, 1)
    passages = sample_passages(texts, int(config.unique_tokens * _WORDS_PER_TOKEN), config.seed)
    teacher.tokenizer.enable_truncation(config.max_length)
    ids = [encoding.ids for encoding in teacher.tokenizer.encode_batch_fast([p.text for p in passages])]
    teacher.tokenizer.no_truncation()
    phase("texts", 1, 1)
    return passages, ids


def _targets(
    teacher: Teacher, ids: list[list[int]], cache: Path, precision: str, phase: Phase
) -> NDArray[np.float16]:
    shards: list[NDArray[np.float16]] = []
    phase("teacher", 0, len(ids))
    for shard in teacher_shards(teacher, ids, cache, precision):
        shards.append(shard)
        phase("teacher", min(len(shards) * SHARD_TEXTS, len(ids)), len(ids))
    return np.concatenate(shards)


def _recipe(
    config: DistillConfig,
    precision: str,
    passages: list[Passage],
    data: TrainingSet,
    progress: Progress,
    prepared_s: float,
) -> dict[str, Any]:
    counts = Counter(passage.source for passage in passages)
    return {
        **asdict(config),
        "layers": list(config.layers),
        "precision": precision,
        "texts": dict(sorted(counts.items())),
        "passages": len(passages),
        "passage_tokens": sum(len(row) for row in data.ids),
        "tokens_seen": progress.tokens,
        "steps": progress.steps,
        "final_loss": round(progress.loss, 4),
        "dev_overlap": [list(measured) for measured in progress.dev],
        "preparation_minutes": round(prepared_s / 60, 1),
        "training_minutes": round(progress.elapsed_s / 60, 1),
        "machine": platform.machine(),
        "versions": {name: version(name) for name in ("torch", "transformers", "tokenizers", "numpy")},
    }


def _write(
    out: Path, student: StudentModel, teacher: Teacher, held_out: list[Passage], recipe: dict[str, Any]
) -> None:
    student.save(out)
    teacher.tokenizer.save(str(out / TOKENIZER_FILE))
    sample = [passage.text for passage in held_out[:SAMPLE_TEXTS]]
    (out / SAMPLE_FILE).write_text(json.dumps(sample, ensure_ascii=False), encoding="utf-8")
    # Written last: its presence says that the folder is complete.
    (out / RECIPE_FILE).write_text(json.dumps(recipe, indent=2) + "\n", encoding="utf-8")
    (out / CHECKPOINT_FILE).unlink(missing_ok=True)
