"""The request for `ce2de_os.distill`: the tables of a recipe file, and the settings of one run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ce2de_os.config import Settings
from ce2de_os.distill import tables
from ce2de_os.errors import ConfigError

Step = Literal["queries", "candidates", "scores", "teacher", "student", "export", "evaluate", "report"]
STEPS: tuple[Step, ...] = (
    "queries", "candidates", "scores", "teacher", "student", "export", "evaluate", "report",
)  # fmt: skip
PACKAGED = "packaged"
"""Name of the student that comes with the package, as a start."""

_SET_QUERIES = "set one of rankings.queries, rankings.query_log and rankings.query_field"


@dataclass(frozen=True)
class DistillRequest:
    """A student to make: each table of a recipe file, and the settings of one run.

    Attributes:
        out: the run's folder: each step leaves its files there, and the same request resumes.
        until: the last step to do.
        teacher: the dual encoder whose embeddings the student learns.
        student: its shape, or the student to continue from.
        documents: the documents that are ranked for queries.
        texts: the texts that the teacher reads.
        rankings: the queries, and the cross-encoders whose rankings the student learns.
        languages: translations, and the languages that each part reads.
        training: how to train.
        evaluate: the judged collections.
        settings: connection to the cluster, and the model for dense candidates; ``None``: from the
            environment.
        command: the command line, for the record; ``""``: none.
    """

    out: Path
    until: Step = "report"
    teacher: tables.TeacherTable = field(default_factory=tables.TeacherTable)
    student: tables.StudentTable = field(default_factory=tables.StudentTable)
    documents: tables.DocumentsTable = field(default_factory=tables.DocumentsTable)
    texts: tables.TextsTable = field(default_factory=tables.TextsTable)
    rankings: tables.RankingsTable = field(default_factory=tables.RankingsTable)
    languages: tables.LanguagesTable = field(default_factory=tables.LanguagesTable)
    training: tables.TrainingTable = field(default_factory=tables.TrainingTable)
    evaluate: tables.EvaluateTable = field(default_factory=tables.EvaluateTable)
    settings: Settings | None = None
    command: str = ""

    def __post_init__(self) -> None:
        """Raise `ConfigError` if settings contradict each other or one needs another."""
        if self.until not in STEPS:
            raise ConfigError(f"until: got '{self.until}', expected one of {', '.join(STEPS)}")
        self._check_queries()
        self._check_documents()
        self._check_rankings()
        if self.evaluate.dev is None and self.evaluate.dev_translations:
            raise ConfigError(
                "evaluate.dev_translations: got it without a judged collection; set evaluate.dev"
            )

    def _check_queries(self) -> None:
        asked = self.rankings
        if sum(place is not None for place in (asked.queries, asked.query_log, asked.query_field)) > 1:
            raise ConfigError(f"got queries from several places, expected one; {_SET_QUERIES}")

    def _check_documents(self) -> None:
        there = self.documents.index is not None or self.documents.corpus is not None
        if self.documents.index is not None and self.documents.corpus is not None:
            raise ConfigError("got documents.index and documents.corpus, expected one of them; remove one")
        give = "set documents.index or documents.corpus"
        if self.rankings.has_queries and not there:
            raise ConfigError(f"got queries without documents to rank; {give}")
        if self.languages.translations and not there:
            raise ConfigError(f"languages.translations: got it without the originals; {give}")

    def _check_rankings(self) -> None:
        asked = self.rankings
        if asked.has_queries and not (asked.cross_encoders or asked.scores):
            raise ConfigError(
                "got queries without a teacher of rankings; set rankings.cross_encoders or rankings.scores"
            )
        if not asked.has_queries and (asked.scores or asked.candidates_file):
            raise ConfigError(f"got scores or candidates without the queries' texts; {_SET_QUERIES}")
        if not asked.has_queries and self.languages.translated_queries:
            raise ConfigError(f"languages.translated_queries: got it without the originals; {_SET_QUERIES}")
        needed = asked.has_queries or self.evaluate.collections or self.student.init == "ce"
        if asked.cross_encoders and not needed:
            raise ConfigError(
                f"rankings.cross_encoders: got '{asked.cross_encoders[0]}' with nothing to score; "
                f"{_SET_QUERIES}"
            )
