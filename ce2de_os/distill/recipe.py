"""One training run: texts, teacher, head, training, and the folder with the finished student."""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ce2de_os.distill.config import OPTIONAL, SHAPE, DistillConfig
from ce2de_os.distill.data.leakage import check_leakage
from ce2de_os.distill.data.sources import licenses
from ce2de_os.distill.data.texts import TrainingPassage, file_names
from ce2de_os.distill.data.translations import Coverage
from ce2de_os.distill.models.folder import RECIPE_FILE, write_student
from ce2de_os.distill.models.init import average, solve_head
from ce2de_os.distill.precision import resolve
from ce2de_os.distill.processes import is_main, main_first, wait_for_everyone
from ce2de_os.distill.source import Source, extended, is_of_another_space, load_source, read_recipe, trimmed
from ce2de_os.distill.training.batches import TrainingSet
from ce2de_os.distill.training.dev import dev_metric
from ce2de_os.distill.training.materials import (
    Examples,
    read_passages,
    teacher_targets,
    token_ids,
    tokenized,
)
from ce2de_os.distill.training.trainer import FREE_SETTINGS, Progress, Report, train
from ce2de_os.errors import ConfigError, DataError
from ce2de_os.evaluation import Collection
from ce2de_os.progress import Phase
from ce2de_os.student import StudentModel

CHECKPOINT_FILE = "checkpoint.pt"
HEAD_TEXTS = 20_000  # for the closed-form head: 17 texts for each of its 1,152 inputs
HELD_OUT = 2000
HELD_OUT_SHARE = 0.05
SAMPLE_TEXTS = 1000  # real texts on which the export measures parity


def distill(
    texts: Sequence[Path],
    config: DistillConfig,
    out: Path,
    *,
    cache: Path | None = None,
    examples: Examples | None = None,
    parallel: Sequence[TrainingPassage] = (),
    coverage: Sequence[Coverage] = (),
    dev: Sequence[Collection] = (),
    judged: Sequence[Collection] = (),
    command: str = "",
    phase: Phase,
    report: Report,
) -> dict[str, Any]:
    """Make a student and write it to ``out``; return its recipe.

    After an interruption the same call resumes.

    Args:
        texts: files to take passages from, for the text losses; may be empty without such losses.
        config: settings of the training.
        out: folder for the student.
        cache: folder for the teacher's embeddings, which several students can share; ``None`` means
            ``out/teacher``.
        examples: queries with scored candidates, for the ranking losses; ``None`` without such losses.
        parallel: translations whose originals the teacher reads, for the text losses.
        coverage: how translations fit their originals, for the record.
        dev: judged collections whose mean nDCG@10 picks the best checkpoint; without them a measure on
            held-out queries or texts does, see `dev_metric`.
        judged: collections that the student is evaluated on later; no text may hold their documents.
        command: the command line that made it, for the record.
        phase: receives the progress of the preparation.
        report: receives the progress of the training.

    Raises:
        DataError: the texts or the list of their sources cannot be used, texts hold documents of ``judged``,
            ``out`` holds a finished or another student, or a loss has nothing to learn from.
        ConfigError: teacher, cross-encoder or layers do not exist.
    """
    _check([*texts, *parallel], config, out, examples)
    started = time.monotonic()
    made = _prepared(texts, config, cache or out / "teacher", examples, parallel, judged, phase)
    out.mkdir(parents=True, exist_ok=True)
    if not (out / CHECKPOINT_FILE).exists():
        _head_solved(made, config, phase)
    prepared_s = time.monotonic() - started
    student = made.source.student
    tokens = partial(token_ids, made.source.fast, max_length=config.max_length)
    metric = dev_metric(dev, made.data, tokens, config, made.precision)
    made = made._replace(data=metric.data)
    progress = train(
        student, made.data, config, made.precision, out / CHECKPOINT_FILE, report, metric.measure
    )
    if config.start is not None and config.start_share:
        average(student, StudentModel.load(Path(config.start)), config.start_share)
    recipe = _recipe(config, made, progress, prepared_s) | _origin(config, made, texts)
    recipe["dev_metric"] = metric.name
    recipe["command"] = command
    recipe["translations"] = [asdict(one) for one in coverage]
    usable = recipe["queries"] + metric.held_out
    recipe["queries_held_out"] = metric.held_out
    recipe["queries_left_out"] = len(examples.scores) - usable if examples is not None else 0
    if is_main():
        sample = _sample(made, examples)
        write_student(out, student.cpu(), made.source.tokenizer, config.max_length, sample, recipe)
        (out / CHECKPOINT_FILE).unlink(missing_ok=True)
    wait_for_everyone()
    return recipe


def read_teacher(
    texts: Sequence[Path],
    config: DistillConfig,
    cache: Path,
    *,
    parallel: Sequence[TrainingPassage] = (),
    judged: Sequence[Collection] = (),
    phase: Phase,
) -> int:
    """Let the teacher read the texts into ``cache``, where `distill` finds its embeddings.

    Return the number of passages that it has read. After an interruption the same call resumes.

    Raises like `distill`.
    """
    if not config.reads_texts:
        raise ConfigError(f"losses {', '.join(config.losses)}: none of them compares embeddings of texts")
    if config.threads:
        torch.set_num_threads(config.threads)
    source = load_source(config)
    passages = _passages(texts, parallel, source, config, phase)
    check_leakage(passages, judged)
    read = config.prefixes.passages(passages, config.teacher_prefixes)
    originals = [passage.original or passage.text for passage in read]
    precision = resolve(config.precision, source.teacher.device.type)
    return len(teacher_targets(source.teacher, originals, config, cache, precision, phase))


class _Prepared(NamedTuple):
    """All that the training needs: models, passages, and the facts about them for the record."""

    source: Source
    precision: str
    passages: list[TrainingPassage]
    data: TrainingSet
    licenses: dict[str, dict[str, str]]
    vocabulary: dict[str, Any]


def _prepared(
    texts: Sequence[Path],
    config: DistillConfig,
    cache: Path,
    examples: Examples | None,
    parallel: Sequence[TrainingPassage],
    judged: Sequence[Collection],
    phase: Phase,
) -> _Prepared:
    if config.threads:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    source = load_source(config)
    precision = resolve(config.precision, source.teacher.device.type)
    with main_first():
        source, grown = extended(source, config, texts, parallel)
        passages = _passages(texts, parallel, source, config, phase) if config.reads_texts else []
        check_leakage(passages, judged)
        named = licenses(texts, {passage.source for passage in passages})
        source, cut = trimmed(source, config, passages, examples)
        data = _training_set(passages, source, config, cache, precision, phase)
    if examples is not None:
        data = replace(data, ranking=tokenized(examples, source.fast, config))
    after = {name: value for name, value in cut.items() if name.endswith("_after") or name not in grown}
    return _Prepared(source, precision, passages, data, named, grown | after)


def _head_solved(made: _Prepared, config: DistillConfig, phase: Phase) -> None:
    """Give the student its head in closed form, if it does not map to the teacher's space yet."""
    if config.reads_texts and _needs_head(config, made.source):
        data = made.data
        targets = data.targets[: min(HEAD_TEXTS, data.trained)].astype(np.float32)
        solve_head(made.source.student, data.ids[: len(targets)], targets, made.precision, phase)


def _sample(made: _Prepared, examples: Examples | None) -> list[str]:
    """Return texts that the training has not seen, on which the export measures parity."""
    found = [passage.text for passage in made.passages[made.data.trained :]]
    if examples is not None:
        found += [text for texts in examples.documents.values() for text in texts.values()]
    return found[:SAMPLE_TEXTS]


def is_finished(out: Path, config: DistillConfig, texts: Sequence[Path] = ()) -> bool:
    """Return whether ``out`` holds a finished student made with these settings; budget and cores may differ.

    Raises:
        DataError: it holds a student made with other settings, or from text files of other names than
            ``texts``, if any.
    """
    if not (out / RECIPE_FILE).exists():
        return False
    recipe = read_recipe(out)
    settings = {key: value for key, value in config.plain().items() if key not in FREE_SETTINGS}
    if texts and config.reads_texts and "text_files" in recipe:
        settings["text_files"] = file_names(texts)
    compared = (*settings, *(name for name in OPTIONAL if name not in settings))
    other = next((key for key in compared if recipe.get(key) != settings.get(key)), None)
    if other is not None:
        raise DataError(
            f"{out}: holds a finished student with {other} {recipe.get(other)}, not {settings.get(other)}; "
            "choose another folder for the run"
        )
    return True


def _check(texts: Sequence[object], config: DistillConfig, out: Path, examples: Examples | None) -> None:
    losses = ", ".join(config.losses)
    if (out / RECIPE_FILE).exists():
        raise DataError(
            f"{out}: holds a finished student; export it with 'ce2de export', or choose another folder"
        )
    if config.reads_texts and not texts:
        raise DataError(
            f"losses {losses}: one of them compares embeddings of texts; set texts.files, "
            "documents.corpus or documents.index"
        )
    if config.ranks and examples is None:
        raise DataError(
            f"losses {losses}: one of them ranks candidates; set "
            "rankings.cross_encoders or rankings.scores, and the queries"
        )


def _passages(
    texts: Sequence[Path],
    parallel: Sequence[TrainingPassage],
    source: Source,
    config: DistillConfig,
    phase: Phase,
) -> list[TrainingPassage]:
    found = read_passages(texts, parallel, (source.fast, source.teacher.tokenizer), config, phase)
    if len(found) * HELD_OUT_SHARE < 1:
        raise DataError(
            f"texts: {len(found)} different passages, expected at least {round(1 / HELD_OUT_SHARE)}; "
            "give more texts, one paragraph a line"
        )
    return found


def _training_set(
    passages: Sequence[TrainingPassage],
    source: Source,
    config: DistillConfig,
    cache: Path,
    precision: str,
    phase: Phase,
) -> TrainingSet:
    read = config.prefixes.passages(passages, config.teacher_prefixes)
    originals = [passage.original or passage.text for passage in read]
    ids = token_ids(source.fast, [passage.text for passage in read], config.max_length)
    targets = teacher_targets(source.teacher, originals, config, cache, precision, phase)
    return TrainingSet(ids, targets, min(HELD_OUT, int(HELD_OUT_SHARE * len(ids))))


def _needs_head(config: DistillConfig, source: Source) -> bool:
    """Return whether the student's head does not map to the teacher's space yet.

    A student that continues keeps its head, unless it was taught another space.
    """
    return config.start is None or is_of_another_space(Path(config.start), config, source.teacher)


def _shape(config: DistillConfig) -> dict[str, Any]:
    """Return the shape of the student that this one continues from, and its fingerprint if known.

    Empty if the student is cut in this run.
    """
    if config.start is None:
        return {}
    recipe = read_recipe(Path(config.start))
    known = {"started_from": recipe["artifact"]} if "artifact" in recipe else {}
    return {name: recipe[name] for name in SHAPE} | known


def _recipe(config: DistillConfig, made: _Prepared, progress: Progress, prepared_s: float) -> dict[str, Any]:
    """Return the record of the training: settings, what it read, and how it went."""
    data = made.data
    counts = Counter(passage.source for passage in made.passages)
    return {
        **config.plain(),
        "precision": made.precision,
        "texts": dict(sorted(counts.items())),
        "passages": len(made.passages),
        "passage_tokens": sum(len(row) for row in data.ids),
        "queries": len(data.ranking.queries) if data.ranking else 0,
        "query_candidates": data.ranking.counts() if data.ranking else {},
        "tokens_seen": progress.tokens,
        "steps": progress.steps,
        "final_loss": round(progress.loss, 4),
        "curve": [list(point) for point in progress.curve],
        "dev": [list(measured) for measured in progress.dev],
        "preparation_minutes": round(prepared_s / 60, 1),
        "training_minutes": round(progress.elapsed_s / 60, 1),
        "machine": platform.machine(),
        "versions": {
            name: version(name) for name in ("torch", "transformers", "accelerate", "tokenizers", "numpy")
        },
    }


def _origin(config: DistillConfig, made: _Prepared, texts: Sequence[Path]) -> dict[str, Any]:
    """Return what the student comes from: start, vocabulary, files, licenses, and the space it shares."""
    space = made.source.teacher.space_of(config.teacher_prefixes) if config.shares_space else None
    found = _shape(config) | {"text_files": file_names(texts), "space": space}
    if made.vocabulary:
        found["vocabulary"] = made.vocabulary
    if made.licenses:
        found["text_sources"] = made.licenses
    return found
