"""Train a cross-encoder: an encoder with a new head learns to rank a query's passage above others.

The loop is Hugging Face's Trainer. This module adds a budget in steps or minutes, checkpoints by time, the
best state by a ranking metric on held-out queries, and a folder that appears when it is complete.
"""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import random
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import SequentialSampler
from transformers import (
    AutoModelForSequenceClassification,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    set_seed,
)

from ce2de_os.distill.data.negatives import TextEncoder, mined_once
from ce2de_os.distill.data.pairs import PairCounts, TrainingPair, draw_negatives, split, write_pairs
from ce2de_os.distill.models.bodies import keep_layers, set_dropout
from ce2de_os.distill.models.cross_encoder import CrossEncoder, Pair
from ce2de_os.distill.models.first_token import read_first_token
from ce2de_os.distill.models.hub import (
    best_device,
    fit_inputs,
    load_tokenizer,
    load_weights,
    longest_input,
    refuse_seq2seq,
    weights_digest,
)
from ce2de_os.distill.precision import resolve
from ce2de_os.distill.processes import set_mixed_precision
from ce2de_os.distill.training.dev import reciprocal_rank
from ce2de_os.distill.training.losses import bce_loss, softmax_loss
from ce2de_os.distill.training.teacher_config import TeacherConfig
from ce2de_os.distill.training.teacher_groups import QueryGroups, collate
from ce2de_os.distill.training.teacher_progress import (
    ProgressKeeper,
    TeacherProgress,
    TeacherReport,
    last_checkpoint,
)
from ce2de_os.errors import ConfigError, DataError
from ce2de_os.progress import Phase
from ce2de_os.reading import read_text
from ce2de_os.writing import replacing, saving

logger = logging.getLogger(__name__)

RUN_FILE = "run.json"  # in the folder in which the training works
TEACHER_FILE = "teacher.json"
SAMPLE_FILE = "sample.jsonl.gz"  # held-out pairs, on which the export measures
DEV_QUERIES, DEV_SHARE = 100, 0.1
DEV_NEGATIVES = 9  # with the positive ten passages: the rank counted by MRR@10 is that among all of them
FEWEST_PAIRS = 10
_PASS_TOKENS = {"cpu": 8192, "cuda": 16384}  # of pairs that are held in memory for one backward pass
_CHUNK_PAIRS = 8  # padded together on a CPU, where padding costs more than small products do
_ENDLESS_STEPS = 10_000_000


def train_teacher(
    pairs: Sequence[TrainingPair],
    counts: PairCounts,
    config: TeacherConfig,
    out: Path,
    *,
    first_stage: TextEncoder | None = None,
    phase: Phase,
    report: TeacherReport,
) -> dict[str, Any]:
    """Train a cross-encoder and write it to ``out``; return the content of its ``teacher.json``.

    Until it is finished the work is in ``OUT.training``, and the same call resumes from there.

    ``pairs`` are as `ce2de_os.distill.data.pairs.select_pairs` gives them; missing negatives are mined, by
    BM25 and with a ``first_stage`` by its vectors too.

    Raises:
        DataError: the pairs are too few or too much alike, ``out`` exists, or another run was started there.
        ConfigError: the base cannot be loaded, or the training diverges.
    """
    work = check_out(out)
    if len(pairs) < FEWEST_PAIRS:
        raise DataError(
            f"{len(pairs)} usable pairs of {counts.read} read ({counts.empty} with an empty side, "
            f"{counts.equal} with equal sides, {counts.repeated} repeated), expected at least "
            f"{FEWEST_PAIRS}; add different ones"
        )
    if config.threads:
        torch.set_num_threads(config.threads)
    set_seed(config.seed)
    encoder = load_base(config)
    mined = mined_once(pairs, first_stage, work, partial(phase, "negatives"))
    trained, dev = split(mined, min(DEV_QUERIES, max(1, int(DEV_SHARE * len(pairs)))), config.seed)
    if not trained:
        raise DataError(f"the {len(pairs)} pairs have one query in common; expected different queries")
    work.mkdir(parents=True, exist_ok=True)
    _check_run(work, config, trained, encoder.digest)
    keeper = ProgressKeeper(work, config, partial(dev_mrr, encoder, _dev_groups(dev, pairs, config)), report)
    trainer = _trainer(encoder, trained, config, work, keeper)
    try:
        trainer.train(resume_from_checkpoint=last_checkpoint(work))
    except OSError as error:
        raise DataError(f"{work}: {error.strerror or error}; the last checkpoint there is kept") from error
    facts = _facts(config, encoder.precision, counts, trained, dev, keeper.progress)
    facts["negatives_by"] = ["BM25", *([first_stage.fingerprint] if first_stage else [])]
    if trainer.is_world_process_zero():
        _finish(keeper.best_folder, encoder, dev, work, out, facts)
    return facts


def check_out(out: Path) -> Path:
    """Return the folder next to ``out`` in which the training works, after checking ``out``.

    Raises:
        DataError: ``out`` exists and is not an empty folder.
    """
    if (out / TEACHER_FILE).exists():
        raise DataError(f"{out}: holds a finished teacher; choose another `out`")
    if not out.name or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise DataError(f"{out}: exists; choose another `out`")
    work = out.with_name(f"{out.name}.training")
    if work.exists() and not (work / RUN_FILE).is_file() and not _is_begun(work):
        raise DataError(
            f"{work}: this run would work there, and delete it at its end, but it holds other files; "
            "choose another `out`"
        )
    return work


def _is_begun(work: Path) -> bool:
    """Return whether a folder without settings is of a run that has only read its pairs."""
    return work.is_dir() and all(path.name.startswith("pairs-") for path in work.iterdir())


def load_base(config: TeacherConfig) -> CrossEncoder:
    """Load the encoder with a head of one output: its own if it is a cross-encoder, else a random one.

    Raises:
        ConfigError: there is no such encoder, it is a sequence-to-sequence model, or it lacks weights below
            the head.
    """
    refuse_seq2seq(f"base '{config.base}'", config.base)
    device = best_device()
    # PyTorch's fused attention is slower than the plain one in training on a CPU.
    attention = {"attn_implementation": "eager"} if device.type == "cpu" else {}
    model, absent = load_weights(
        AutoModelForSequenceClassification, f"base '{config.base}'", config.base,
        "the hub id or the folder of an encoder", num_labels=1, ignore_mismatched_sizes=True, **attention,
    )  # fmt: skip
    body = f"{model.base_model_prefix}."
    missing = [key for key in absent if key.startswith(body) and "pooler" not in key]
    if missing:
        raise ConfigError(f"base '{config.base}': is not an encoder of its type ({missing[0]} is missing)")
    if config.layers is not None:
        keep_layers(model, config.layers, config.base)
    read_first_token(model)
    set_dropout(model, config.dropout)
    tokenizer = load_tokenizer(config.base, model.config.vocab_size)
    fit_inputs(tokenizer, model)
    limit = min(config.max_length, longest_input(model.config, tokenizer))
    return CrossEncoder(
        # Named by its body: the head may be new.
        config.base, model.to(device), tokenizer, limit, weights_digest(model.base_model), device,
        resolve(config.precision, device.type),
    )  # fmt: skip


def dev_mrr(encoder: CrossEncoder, groups: Sequence[Sequence[Pair]]) -> float:
    """Compute MRR@10 of the first pair of each group among the others of its group."""
    logits = encoder.logits([pair for group in groups for pair in group])
    ends = np.cumsum([len(group) for group in groups])[:-1]
    return float(np.mean([reciprocal_rank(part) for part in np.split(logits, ends)]))


class _TeacherTrainer(Trainer):  # type: ignore[misc]
    """The Trainer with a ranking loss and a learning rate that follows the budget."""

    def __init__(self, width: int, config: TeacherConfig, keeper: ProgressKeeper, **settings: object) -> None:
        super().__init__(callbacks=[keeper], **settings)
        self.remove_callback(PrinterCallback)  # it writes to stdout
        self._width, self._config, self._keeper = width, config, keeper
        self._loss = softmax_loss if config.loss == "softmax" else bce_loss
        # Its own scaling by labels does not know this loss; without it, accumulated losses are averaged.
        self.model_accepts_loss_kwargs = False

    def _get_train_sampler(self, train_dataset: object = None) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)  # `QueryGroups` has an order of its own

    def _save_checkpoint(self, *args: Any, **settings: Any) -> None:  # noqa: ANN401 - the Trainer's
        with saving(Path(self.args.output_dir)):
            super()._save_checkpoint(*args, **settings)

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> LambdaLR:
        """Create the scheduler, which the Trainer requests once."""
        self.lr_scheduler = LambdaLR(optimizer or self.optimizer, self._keeper.rate)
        return self.lr_scheduler

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: object = None,
    ) -> torch.Tensor:
        """Compute the loss of one pass; the last two arguments are the Trainer's and not used."""
        loss = self._loss_of(model, inputs)
        self._keeper.add_loss(float(loss.detach()), partial(self._loss_of, model, inputs))
        return loss

    def _loss_of(self, model: torch.nn.Module, inputs: dict[str, Any]) -> torch.Tensor:
        logits = torch.cat([model(**chunk).logits[:, 0] for chunk in inputs["chunks"]]).float()
        return self._loss(logits[inputs["places"]].view(-1, self._width))


def _trainer(
    encoder: CrossEncoder,
    pairs: Sequence[TrainingPair],
    config: TeacherConfig,
    work: Path,
    keeper: ProgressKeeper,
) -> Trainer:
    on_cpu = encoder.device.type == "cpu"
    processes = PartialState(cpu=on_cpu).num_processes
    devices = processes if on_cpu or processes > 1 else torch.cuda.device_count()
    width = 1 + config.negatives
    fitting = max(1, _PASS_TOKENS[encoder.device.type] // (width * encoder.max_length))
    per_pass = min(fitting, -(-config.batch_queries // devices))
    accumulate = max(1, round(config.batch_queries / (per_pass * devices)))
    steps = config.steps or _ENDLESS_STEPS
    set_mixed_precision(encoder.precision)
    arguments = TrainingArguments(
        output_dir=str(work), max_steps=steps, per_device_train_batch_size=per_pass,
        gradient_accumulation_steps=accumulate, learning_rate=config.lr, weight_decay=0.01, max_grad_norm=1.0,
        bf16=encoder.precision == "bf16", use_cpu=on_cpu, seed=config.seed,
        save_strategy="no", eval_strategy="no", logging_strategy="no", report_to="none", disable_tqdm=True,
        remove_unused_columns=False, dataloader_pin_memory=not on_cpu,
    )  # fmt: skip
    # With several GPUs in one process the Trainer multiplies the batch by their number itself.
    groups = QueryGroups(
        pairs, config, per_pass * devices // processes, steps * accumulate * per_pass * devices
    )
    chunk = _CHUNK_PAIRS if on_cpu else None
    return _TeacherTrainer(
        width, config, keeper, model=encoder.model, args=arguments, train_dataset=groups,
        data_collator=partial(collate, encoder, chunk),
    )  # fmt: skip


def _dev_groups(
    dev: Sequence[TrainingPair], pairs: Sequence[TrainingPair], config: TeacherConfig
) -> list[list[Pair]]:
    """Return each held-out pair with its hardest negatives, completed by other queries' passages."""
    rng = random.Random(config.seed)  # noqa: S311
    groups = []
    for pair in dev:
        hard = pair.negatives[:DEV_NEGATIVES]
        rest = draw_negatives(replace(pair, negatives=()), pairs, DEV_NEGATIVES - len(hard), rng)
        groups.append([(pair.query, text) for text in (pair.positive, *hard, *rest)])
    return groups


def _check_run(work: Path, config: TeacherConfig, pairs: Sequence[TrainingPair], digest: str) -> None:
    """Record the inputs of the run, or compare with the record; budget and learning rate may change."""
    key: dict[str, Any] = asdict(config)
    # Runs begun before layers and dropout could be set have no such keys.
    unset = [name for name in ("layers", "dropout") if key[name] is None]
    for free in ("steps", "minutes", "threads", "precision", "lr", *unset):
        del key[free]
    sides = hashlib.sha256()
    for pair in pairs:
        sides.update(repr(pair).encode("utf-8", "replace"))
    key |= {"weights": digest, "data": sides.hexdigest()}
    path = work / RUN_FILE
    if path.exists() and read_text(path) != json.dumps(key):
        raise DataError(
            f"{work}: a run with other settings or pairs was started here; "
            "repeat it with the same ones to resume, delete the folder, or choose another `out`"
        )
    with replacing(path) as file:
        file.write(json.dumps(key))


def _facts(
    config: TeacherConfig,
    precision: str,
    counts: PairCounts,
    trained: Sequence[TrainingPair],
    dev: Sequence[TrainingPair],
    progress: TeacherProgress,
) -> dict[str, Any]:
    measured = dict(progress.dev)
    return {
        **asdict(config),
        "precision": precision,
        "counts": {**asdict(counts), "trained": len(trained), "held_out": len(dev)},
        "steps_done": progress.steps,
        "final_loss": round(progress.loss, 4),
        "dev_mrr_before": measured[0],
        "dev_mrr_after": measured[progress.best_step],
        "best_step": progress.best_step,
        "dev_curve": [list(point) for point in progress.dev],
        "training_minutes": round(progress.elapsed_s / 60, 1),
        "machine": platform.machine(),
        "versions": {name: version(name) for name in ("torch", "transformers", "tokenizers", "bm25s")},
    }


def _finish(
    best: Path,
    encoder: CrossEncoder,
    dev: Sequence[TrainingPair],
    work: Path,
    out: Path,
    facts: dict[str, Any],
) -> None:
    beside = work / "finished"
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(best, beside)
    with saving(out):
        encoder.tokenizer.model_max_length = encoder.max_length  # on longer pairs it is much worse
        encoder.tokenizer.save_pretrained(beside)
        write_pairs(beside / SAMPLE_FILE, dev)
        (beside / TEACHER_FILE).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        beside.replace(out)
    shutil.rmtree(work)
