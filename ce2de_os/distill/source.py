"""Load the parts of a student before training: teacher, layers, tokenizer, and changes of the vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import Tokenizer

from ce2de_os.distill.config import DistillConfig
from ce2de_os.distill.data.prefixes import Prefixes
from ce2de_os.distill.data.texts import TrainingPassage, read_lines
from ce2de_os.distill.models.bodies import as_bert
from ce2de_os.distill.models.cross_encoder import load_cross_encoder
from ce2de_os.distill.models.folder import RECIPE_FILE
from ce2de_os.distill.models.hub import bare_tokenizer, load_tokenizer, wrapped_tokenizer
from ce2de_os.distill.models.init import cut_student
from ce2de_os.distill.models.teacher import Teacher, load_teacher
from ce2de_os.distill.models.vocabulary import change_vocabulary
from ce2de_os.distill.training.materials import Examples
from ce2de_os.errors import ConfigError
from ce2de_os.reading import read_object
from ce2de_os.student import StudentModel

_KNOWN_LINES = 20_000  # texts of each file, to learn which words of the known language are frequent


class Source(NamedTuple):
    """The student before its first step, its tokenizer (wrapped and bare), and its teacher."""

    student: StudentModel
    tokenizer: Any
    fast: Tokenizer
    teacher: Teacher


def load_source(config: DistillConfig) -> Source:
    """Load the teacher, and cut the student from it, from a cross-encoder, or continue from a finished one.

    Raises:
        DataError: the student to start from is not complete.
        ConfigError: a model cannot be loaded, or does not fit the settings.
    """
    teacher = load_teacher(config.teacher)
    _check_length(teacher, config.max_length)
    if config.start is not None:
        student, tokenizer = _started(Path(config.start), config, teacher)
        return Source(student, tokenizer, bare_tokenizer(tokenizer), teacher)
    if config.init == "ce" and config.cross_encoder:
        crossed = load_cross_encoder(config.cross_encoder)
        body, tokenizer = as_bert(crossed.body, crossed.name), crossed.tokenizer
    else:
        body = as_bert(teacher.model, teacher.name)
        tokenizer = load_tokenizer(teacher.name, teacher.model.config.vocab_size)
    layers = [None if config.init == "random" else layer for layer in config.layers]
    student = cut_student(
        body, layers, dim=teacher.dim, readout=config.readout, pooled=config.pooled,
        copy_embeddings=config.init != "random",
    )  # fmt: skip
    return Source(student, tokenizer, bare_tokenizer(tokenizer), teacher)


def _check_length(teacher: Teacher, max_length: int) -> None:
    """Refuse passages that are longer than what the teacher can read; ONNX files do not say what they can."""
    rows = getattr(teacher.model.config, "max_position_embeddings", None)
    if rows is not None and max_length > rows:
        raise ConfigError(
            f"max_length: got {max_length:,}, expected at most {rows:,}, which the teacher '{teacher.name}' "
            "can read"
        )


def _started(folder: Path, config: DistillConfig, teacher: Teacher) -> tuple[StudentModel, Any]:
    student = StudentModel.load(folder)
    if config.shares_space and student.dim != teacher.dim:
        raise ConfigError(
            f"{folder}: its embeddings have {student.dim} numbers, those of the teacher '{teacher.name}' "
            f"{teacher.dim}; start from a student of the same length, or leave out l2 and cosine"
        )
    if config.start_share and is_of_another_space(folder, config, teacher):
        raise ConfigError(
            f"start_share: got {config.start_share}, expected 0: the student in {folder} learned another "
            f"vector space than that of the teacher '{teacher.name}', so the two cannot be averaged"
        )
    expected = Prefixes.of(read_recipe(folder))
    if expected != config.prefixes:
        raise ConfigError(
            f"{folder}: the student there expects '{expected.query}' before a query and "
            f"'{expected.document}' before a document, got '{config.query_prefix}' and "
            f"'{config.document_prefix}'; set the same in teacher.query_prefix and teacher.document_prefix"
        )
    return student, load_tokenizer(str(folder), student.body.config.vocab_size)


def is_of_another_space(folder: Path, config: DistillConfig, teacher: Teacher) -> bool:
    """Return whether the student in ``folder`` learned another space than this run aims at."""
    known = read_recipe(folder).get("space")
    return config.shares_space and known != teacher.space_of(config.teacher_prefixes)


def extended(
    source: Source,
    config: DistillConfig,
    texts: Sequence[Path],
    parallel: Sequence[TrainingPassage],
) -> tuple[Source, dict[str, Any]]:
    """Add pieces to the source, learned from translations and new languages; also return the facts.

    Call it before passages are chosen: the length of a translation depends on the pieces.
    """
    if config.extend_vocabulary is None:
        return source, {}
    known = [passage.original for passage in parallel if passage.original]
    for path in texts:
        if path not in config.new_language_texts:
            known += islice(read_lines(path), _KNOWN_LINES)
    new = [passage.text for passage in parallel if passage.original]
    new += [line for path in config.new_language_texts for line in read_lines(path)]
    if not known and not new:
        raise ConfigError(
            "extend_vocabulary: there is no text to learn pieces from; set texts.files, "
            "languages.translations or student.new_language_texts"
        )
    return _changed(source, known, extend_by=config.extend_vocabulary, new_texts=new)


def trimmed(
    source: Source, config: DistillConfig, passages: Sequence[TrainingPassage], examples: Examples | None
) -> tuple[Source, dict[str, Any]]:
    """Remove the pieces that the training's texts do not use from the source; also return the facts."""
    if config.trim_vocabulary is None:
        return source, {}
    texts = [passage.text for passage in passages]
    if examples is not None:
        texts += examples.queries.values()
        texts += [text for documents in examples.documents.values() for text in documents.values()]
    texts += config.prefixes
    return _changed(source, texts, trim_below=config.trim_vocabulary)


def _changed(source: Source, texts: Sequence[str], **how: Any) -> tuple[Source, dict[str, Any]]:  # noqa: ANN401
    fast, facts = change_vocabulary(source.student, source.fast, texts, **how)
    return source._replace(tokenizer=wrapped_tokenizer(fast, source.tokenizer), fast=fast), facts


def read_recipe(folder: Path) -> dict[str, Any]:
    """Read the recipe of a finished student."""
    return read_object(folder / RECIPE_FILE)
