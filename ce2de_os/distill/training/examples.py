"""The first three steps of a recipe: queries, candidates, and the cross-encoders' scores.

Each step leaves a file in the run's folder; a step whose file is there is skipped, and one that was
interrupted resumes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ce2de_os.distill.data.candidates import DEPTH, Retrieve, find_candidates
from ce2de_os.distill.data.languages import Languages, Reads
from ce2de_os.distill.data.queries import QuerySet, queries_from_file, write_queries
from ce2de_os.distill.data.score_file import only_known, read_scores
from ce2de_os.distill.data.translations import Coverage, check_coverage
from ce2de_os.distill.models.sequence_teacher import Answers, load_pair_teacher
from ce2de_os.distill.training.materials import Examples
from ce2de_os.distill.training.scores import merge_scores, score_candidates
from ce2de_os.progress import Phase
from ce2de_os.records import Query

logger = logging.getLogger(__name__)

QUERIES_FILE, CANDIDATES_FILE, SCORES_FILE = "queries.jsonl", "candidates.jsonl.gz", "scores.jsonl.gz"

Fetch = Callable[[Sequence[str], str], Mapping[str, str]]
"""The texts of documents by id in a language; those that do not exist are absent."""


@dataclass(frozen=True)
class Collected:
    """The sources of queries, candidates and documents.

    Attributes:
        queries: makes the queries; called only if the run has none yet.
        searches: searches for candidates of these queries, by names that contain index, fields and model.
        fetch: the documents' texts.
        languages: languages of selector, teacher and student.
        translated: by language, translations of queries by their ids.
        skip_missing: whether texts without a translation are left out; else they are an error.
    """

    queries: Callable[[], QuerySet]
    searches: Callable[[QuerySet], Mapping[str, Retrieve]]
    fetch: Fetch
    languages: Languages = field(default_factory=Languages)
    translated: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    skip_missing: bool = False

    def asked(self, queries: QuerySet, language: str) -> QuerySet:
        """Return the queries in a language; those without a translation are left out."""
        if language == self.languages.original:
            return queries
        texts = self.translated[language]
        found = [Query(one.query_id, texts[one.query_id]) for one in queries.queries if one.query_id in texts]
        return replace(queries, queries=found)


def prepare_queries(collected: Collected, run: Path, phase: Phase) -> QuerySet:
    """Read the run's queries; collect and write them first if they are missing."""
    path = run / QUERIES_FILE
    phase("queries", 0, 1)
    if not path.is_file():
        write_queries(path, collected.queries())
    found = queries_from_file(path)
    phase("queries", len(found.queries), len(found.queries))
    return found


def check_queries(collected: Collected, queries: QuerySet) -> list[Coverage]:
    """Compare the translations of queries with these; raise like `check_coverage`.

    Translations of other queries do not count: these may be a sample.
    """
    asked = {query.query_id for query in queries.queries}
    return [
        check_coverage(
            asked, asked & texts.keys(), ("queries", language), f"queries in '{language}'",
            skip=collected.skip_missing,
        )
        for language, texts in collected.translated.items()
    ]  # fmt: skip


def prepare_candidates(
    collected: Collected, queries: QuerySet, run: Path, phase: Phase, depth: int = DEPTH
) -> Path:
    """Find and write each query's candidates if the file is missing; raise like `find_candidates`."""
    path = run / CANDIDATES_FILE
    asked = collected.asked(queries, collected.languages.selector.queries)
    find_candidates(
        asked, collected.searches(asked), path, depth=depth,
        progress=lambda done, total: phase("candidates", done, total),
    )  # fmt: skip
    return path


def prepare_scores(
    collected: Collected,
    queries: QuerySet,
    candidates: Path,
    teachers: Sequence[str],
    run: Path,
    phase: Phase,
    answers: Answers | None = None,
) -> Path:
    """Score the candidates with the cross-encoders, write the logits, and merge those of several.

    ``answers`` are the answers of sequence-to-sequence models among them; ``None``: each model's usual ones.

    Raises like `score_candidates` and `merge_scores`.
    """
    language = collected.languages.teacher
    texts = _query_texts(collected, queries, language)
    documents = _candidate_texts(collected, candidates, language.documents[0])
    parts = []
    for number, name in enumerate(teachers, start=1):
        path = run / (SCORES_FILE if len(teachers) == 1 else f"scores-{number}.jsonl.gz")
        report = score_candidates(
            load_pair_teacher(name, answers), texts, documents, candidates, path, drop_unknown=True,
            progress=lambda done, total: phase("scores", done, total),
        )  # fmt: skip
        if report.dropped:
            logger.warning(
                "%d candidates are left out: their documents are not there, or have no text",
                report.dropped, extra={"action": "score_candidates"},
            )  # fmt: skip
        parts.append(path)
    return merged(parts, run)


def merged(parts: Sequence[Path], run: Path) -> Path:
    """Merge one or several score files into one; raise like `merge_scores`."""
    if len(parts) == 1:
        return parts[0]
    merge_scores(parts, run / SCORES_FILE)
    return run / SCORES_FILE


def read_examples(collected: Collected, queries: QuerySet, scores: Path) -> Examples:
    """Read queries, documents and scores into memory, in the student's languages.

    Raises:
        DataError: the scores cannot be read, or name queries or documents that are not there.
    """
    reads = collected.languages.student
    texts = _query_texts(collected, queries, reads)
    documents = {language: _candidate_texts(collected, scores, language) for language in reads.documents}
    known = {doc_id for found in documents.values() for doc_id in found}
    rankings = only_known(
        list(read_scores(scores)), scores, texts, known, drop_unknown=collected.skip_missing
    )
    return Examples(texts, documents, dict(rankings), queries.sources)


def _query_texts(collected: Collected, queries: QuerySet, reads: Reads) -> dict[str, str]:
    return {query.query_id: query.text for query in collected.asked(queries, reads.queries).queries}


def _candidate_texts(collected: Collected, scores: Path, language: str) -> Mapping[str, str]:
    ids = dict.fromkeys(doc.doc_id for _, ranking in read_scores(scores) for doc in ranking)
    return collected.fetch(list(ids), language)
