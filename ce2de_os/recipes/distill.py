"""Distill a student: from a teacher, texts and rankings to a model folder, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ce2de_os.distill.tables import (
    DocumentsTable,
    EvaluateTable,
    LanguagesTable,
    RankingsTable,
    StudentTable,
    TeacherTable,
    TextsTable,
    TrainingTable,
)
from ce2de_os.errors import extra_needed
from ce2de_os.recipes.distill_config import config_of
from ce2de_os.recipes.distill_request import DistillRequest
from ce2de_os.recipes.distill_start import start_folder

if TYPE_CHECKING:
    from ce2de_os.distill.training.trainer import Report
    from ce2de_os.progress import Phase

__all__ = [
    "DistillRequest", "DistillResult", "DocumentsTable", "EvaluateTable", "LanguagesTable", "RankingsTable",
    "StudentTable", "TeacherTable", "TextsTable", "TrainingTable", "distill",
]  # fmt: skip


@dataclass(frozen=True)
class DistillResult:
    """The results of a run so far; ``None`` for steps that did not run, or had nothing to do.

    Attributes:
        run: the run's folder.
        queries: number of queries.
        passages: number of passages that the teacher has read, after step ``teacher``.
        translations: how each translation fits its originals.
        student: folder of the finished student.
        recipe: the record of the training (recipe.json), where this call trained.
        model: folder of the exported int8 model.
        fingerprint: the fingerprint of that model.
        mean_cosine: mean cosine of the int8 model's embeddings with those before quantization.
        kept: share of the teacher's quality on the judged collections, 0 to about 1.
        report: the page of the report.
    """

    run: Path
    queries: int | None = None
    passages: int | None = None
    translations: tuple[Mapping[str, Any], ...] | None = None
    student: Path | None = None
    recipe: Mapping[str, Any] | None = None
    model: Path | None = None
    fingerprint: str | None = None
    mean_cosine: float | None = None
    kept: float | None = None
    report: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the fields that are not ``None`` as JSON values."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {
            name: str(value) if isinstance(value, Path) else value
            for name, value in values.items() if value is not None
        }  # fmt: skip


def distill(
    request: DistillRequest, *, phase: Phase | None = None, report: Report | None = None
) -> DistillResult:
    """Train a student, export it, compare it, and report on it, as far as ``request.until``.

    Every step leaves files in ``request.out``; the same request resumes where an earlier one stopped.

    Args:
        request: what to make.
        phase: receives the progress of each step but the training; ``None``: show none.
        report: receives the progress of the training; ``None``: show none.

    Raises:
        ConfigError: settings contradict each other, or name something that does not exist.
        DataError: a file cannot be used, or the folder holds another student.
        MissingExtraError: a library for training or export is not installed.
    """
    config = config_of(request)
    with extra_needed("distill,export"):
        from ce2de_os.distill.models.teacher import with_said_prefixes
        from ce2de_os.distill.processes import main_first
        from ce2de_os.recipes.distill_steps import Run, Shown
    if config.start is not None:
        with main_first():
            config = replace(config, start=str(start_folder(config.start, request.out)))
    shown = Shown(phase or (lambda name, done, total: None), report or (lambda progress, done: None))
    return DistillResult(**Run(request, with_said_prefixes(config), shown).go())
