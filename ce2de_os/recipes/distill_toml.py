"""A recipe file: the tables of a `DistillRequest` as TOML, read and written."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from ce2de_os.config import Settings
from ce2de_os.distill.config import SHAPE
from ce2de_os.distill.data.languages import MIXINGS
from ce2de_os.errors import ConfigError
from ce2de_os.recipes.distill_request import DistillRequest, Step
from ce2de_os.recipes.distill_tables import (
    DocumentsTable,
    EvaluateTable,
    LanguagesTable,
    RankingsTable,
    StudentTable,
    TeacherTable,
    TextsTable,
    TrainingTable,
)
from ce2de_os.recipes.toml_table import TableReader, nearest, toml_value

RECIPE_TOML = "recipe.toml"
"""The complete recipe in a run's folder."""

Tables = Mapping[str, Mapping[str, object]]
"""The values of a recipe by table and key."""

TABLES = {
    "teacher": tuple(field.name for field in fields(TeacherTable)),
    "student": tuple(field.name for field in fields(StudentTable)),
    "documents": tuple(field.name for field in fields(DocumentsTable)),
    "texts": tuple(field.name for field in fields(TextsTable)),
    "rankings": tuple(field.name for field in fields(RankingsTable)),
    "languages": tuple(field.name for field in fields(LanguagesTable)),
    "training": tuple(field.name for field in fields(TrainingTable)),
    "evaluate": tuple(field.name for field in fields(EvaluateTable)),
}
"""The keys of each table."""

_HEADER = """\
# The complete recipe of this run. Repeat it from the same folder:
#   ce2de distill --recipe RUN/recipe.toml --out OTHER
"""


def read_tables(path: Path) -> dict[str, dict[str, object]]:
    """Read a recipe file, with its values as they are.

    Raises:
        ConfigError: it is no TOML, or holds a value outside of the known tables.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: got text that is not TOML ({error}); correct that line") from error
    for name, values in found.items():
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: got '{name}' outside of a table; {_place(name)}")
        if name not in TABLES:
            near = nearest(name, TABLES)
            advice = f"did you mean [{near}]?" if near else f"expected {_names()}"
            raise ConfigError(f"{path}: got an unknown table [{name}]; {advice}")
    return found


def place_of(name: str) -> str | None:
    """Find the setting ``TABLE.KEY`` with this key; ``None``: no table, or more than one, has it."""
    tables = [table for table, keys in TABLES.items() if name in keys]
    return f"{tables[0]}.{name}" if len(tables) == 1 else None


def request_of(
    tables: Tables, out: Path, *, until: Step = "report", settings: Settings | None = None, command: str = ""
) -> DistillRequest:
    """Build the request that the tables describe; the other arguments are its own fields.

    Raises:
        ConfigError: a key is unknown, a value has the wrong type, or two contradict each other.
    """
    readers = {name: TableReader(name, tables.get(name, {}), keys) for name, keys in TABLES.items()}
    return DistillRequest(
        out=out,
        until=until,
        teacher=_teacher(readers["teacher"]),
        student=_student(readers["student"]),
        documents=_documents(readers["documents"]),
        texts=_texts(readers["texts"]),
        rankings=_rankings(readers["rankings"]),
        languages=_languages(readers["languages"]),
        training=_training(readers["training"]),
        evaluate=_evaluate(readers["evaluate"]),
        settings=settings,
        command=command,
    )


def toml_text(request: DistillRequest) -> str:
    """Write the tables of a request, but for the values that are ``None``."""
    lines = [_HEADER]
    for table, keys in TABLES.items():
        values = getattr(request, table)
        lines.append(f"[{table}]")
        lines += [
            f"{key} = {toml_value(getattr(values, key))}"
            for key in keys
            if getattr(values, key) is not None and not _unused(request, key)
        ]
        lines.append("")
    return "\n".join(lines)


def _unused(request: DistillRequest, key: str) -> bool:
    """Say whether another value takes this one's place."""
    if key == "minutes":
        return request.training.tokens is not None
    return key in SHAPE and request.student.start is not None


def _teacher(read: TableReader) -> TeacherTable:
    default = TeacherTable()
    return TeacherTable(
        model=read.text("model", default.model),
        query_prefix=read.text("query_prefix", default.query_prefix),
        document_prefix=read.text("document_prefix", default.document_prefix),
        teacher_query_prefix=read.text("teacher_query_prefix", None),
        cache=read.path("cache"),
    )


def _student(read: TableReader) -> StudentTable:
    default = StudentTable()
    given = next((key for key in SHAPE if key in read and "start" in read), None)
    if given is not None:
        raise ConfigError(
            f"got student.{given} and student.start, expected one of them: the student to start from keeps "
            "its layers and readout; remove one"
        )
    return StudentTable(
        start=read.text("start", None),
        init=read.choice("init", ("de", "ce", "random"), default.init),
        layers=read.layers("layers", default.layers),
        pooled=read.whole("pooled", default.pooled),
        readout=read.choice("readout", ("all", "last"), default.readout),
        max_length=read.whole("max_length", default.max_length),
        extend_vocabulary=read.whole("extend_vocabulary", None),
        new_language_texts=read.paths("new_language_texts"),
        trim_vocabulary=read.whole("trim_vocabulary", None),
    )


def _documents(read: TableReader) -> DocumentsTable:
    return DocumentsTable(
        index=read.text("index", None),
        text_fields=read.texts("text_fields", DocumentsTable().text_fields),
        corpus=read.path("corpus"),
    )


def _texts(read: TableReader) -> TextsTable:
    return TextsTable(
        files=read.paths("files"), unique_tokens=read.whole("unique_tokens", TextsTable().unique_tokens)
    )


def _rankings(read: TableReader) -> RankingsTable:
    default = RankingsTable()
    return RankingsTable(
        cross_encoders=read.texts("cross_encoders"),
        answers=_answers(read),
        queries=read.path("queries"),
        query_log=read.path("query_log"),
        log_field=read.text("log_field", None),
        query_field=read.text("query_field", None),
        max_queries=read.whole("max_queries", default.max_queries),
        candidates=read.whole("candidates", default.candidates),
        compared_candidates=read.whole("compared_candidates", default.compared_candidates),
        dense_candidates=read.switch("dense_candidates", default.dense_candidates),
        candidates_file=read.path("candidates_file"),
        scores=read.paths("scores"),
    )


def _answers(read: TableReader) -> tuple[str, str] | None:
    match read.texts("answers"):
        case ():
            return None
        case (positive, negative) if positive and negative:
            return positive, negative
        case words:
            raise ConfigError(
                f"rankings.answers: got {toml_value(words)}, expected two words, the one for a relevant "
                'document first, such as ["true", "false"]'
            )


def _languages(read: TableReader) -> LanguagesTable:
    default = LanguagesTable()
    return LanguagesTable(
        original=read.text("original", default.original),
        translations=read.files("translations"),
        translated_queries=read.files("translated_queries"),
        parallel=read.files("parallel"),
        selector=read.text("selector", None),
        selector_index=read.text("selector_index", None),
        teacher=read.text("teacher", None),
        student=read.text("student", None),
        mixing=read.choice("mixing", MIXINGS, default.mixing),
        missing_translations=read.choice(
            "missing_translations", ("refuse", "skip"), default.missing_translations
        ),
    )


def _training(read: TableReader) -> TrainingTable:
    default = TrainingTable()
    if "minutes" in read and "tokens" in read:
        raise ConfigError("got training.minutes and training.tokens, expected one of them; remove one")
    return TrainingTable(
        losses=read.weights("losses"),
        temperature=read.number("temperature", default.temperature),
        minutes=read.number("minutes", default.minutes),
        tokens=read.whole("tokens", None),
        lr=read.number("lr", default.lr),
        warmup=read.number("warmup", default.warmup),
        decay=read.number("decay", default.decay),
        accumulate=read.whole("accumulate", default.accumulate),
        batch_tokens=read.whole("batch_tokens", default.batch_tokens),
        batch_texts=read.whole("batch_texts", default.batch_texts),
        batch_queries=read.whole("batch_queries", default.batch_queries),
        train_embeddings=read.switch("train_embeddings", default.train_embeddings),
        precision=read.choice("precision", ("auto", "bf16", "fp32"), default.precision),
        seed=read.whole("seed", default.seed),
        threads=read.whole("threads", default.threads),
    )


def _evaluate(read: TableReader) -> EvaluateTable:
    return EvaluateTable(
        collections=read.paths("collections"),
        dev=read.path("dev"),
        dev_translations=read.files("dev_translations"),
    )


def _place(name: str) -> str:
    place = place_of(name)
    return f"write it under [{place.partition('.')[0]}]" if place else f"write it under one of {_names()}"


def _names() -> str:
    return ", ".join(f"[{name}]" for name in TABLES)
