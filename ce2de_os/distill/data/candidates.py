"""Find the documents that a teacher will score for each query, by one or several searches.

Documents that a search takes for relevant and that are not ("hard negatives") teach a student more than
random ones (Xiong et al., ANCE, ICLR 2021). BM25 and the present student make different errors, so their
results are joined.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from ce2de_os.distill.data.queries import QuerySet
from ce2de_os.distill.data.score_file import Ranking, only_known, read_scores, write_in_parts
from ce2de_os.errors import ConfigError, DataError
from ce2de_os.evaluation import Runs, read_run
from ce2de_os.progress import Progress
from ce2de_os.records import Query, ScoredDoc

logger = logging.getLogger(__name__)

DEPTH = 50
_BATCH = 64  # queries in one search, a second or two of work

Retrieve = Callable[[Sequence[Query], int], Runs]
"""Searches for the given number of best documents of each query; a query may be absent from the answer."""


@dataclass(frozen=True)
class CandidateReport:
    """The counts of a file of candidates.

    Attributes:
        queries: queries with candidates.
        without: queries for which nothing was found; they are not in the file.
        candidates: pairs of a query and a document.
    """

    queries: int
    without: int
    candidates: int


def find_candidates(
    queries: QuerySet,
    sources: Mapping[str, Retrieve],
    out: Path,
    *,
    depth: int = DEPTH,
    progress: Progress | None = None,
) -> CandidateReport:
    """Search every source for every query and write the joined rankings to ``out``, a score file.

    A candidate's score is ``1 / rank`` in the joined ranking. After an interruption the same call resumes.

    Args:
        queries: the queries.
        sources: searches by name, the first one's results first. A name identifies a search when an
            interrupted call resumes, so it should contain index, fields and model.
        out: the file to write, ``.gz`` or not.
        depth: candidates of a query; the document that it was taken from is always the first.
        progress: receives the number of queries done and of all.

    Raises:
        DataError: nothing is found for any query, or ``out`` belongs to other queries or searches.
        ConfigError: ``depth`` is below 1, or there is no source.
    """
    if depth < 1 or not sources:
        raise ConfigError(
            f"candidates: got depth {depth} and {len(sources)} sources, expected at least 1 of each"
        )
    asked = queries.queries
    first = queries.sources

    def compute(part: range) -> list[Ranking]:
        batch = [asked[position] for position in part]
        runs = [retrieve(batch, depth) for retrieve in sources.values()]
        return [_joined(query.query_id, runs, first.get(query.query_id), depth) for query in batch]

    def done(count: int) -> None:
        if progress:
            progress(count, len(asked))

    parts = [range(start, min(start + _BATCH, len(asked))) for start in range(0, len(asked), _BATCH)]
    work = _work(asked, first, [*sources, depth])
    write_in_parts(out, work, [query.query_id for query in asked], parts, compute, done)
    if not out.exists():
        raise DataError(
            f"{', '.join(sources)}: found nothing for any of {len(asked):,} queries; "
            "check that queries and documents belong together"
        )
    return _report(out, len(asked))


def interleave(rankings: Sequence[Sequence[str]], depth: int) -> list[str]:
    """Join rankings by taking turns: all first ranks, then all second ranks, …, each document once."""
    turns = (doc_id for rank in zip_longest(*rankings) for doc_id in rank if doc_id is not None)
    return list(dict.fromkeys(turns))[:depth]


def imported(path: Path, queries: Sequence[Query], doc_ids: Container[str]) -> Retrieve:
    """Read the results of another search: a score file (``.jsonl``), else a TREC run, ``.gz`` or not.

    The file may hold queries that are not in ``queries``. The returned function looks up its results.

    Raises:
        DataError: the file cannot be used, holds none of the queries, or names documents that are not in
            ``doc_ids``.
    """
    wanted = {query.query_id for query in queries}
    is_scores = path.name.removesuffix(".gz").endswith(".jsonl")
    rankings = read_scores(path) if is_scores else read_run(path).items()
    found = [(query_id, ranking) for query_id, ranking in rankings if query_id in wanted]
    if not found:
        raise DataError(f"{path}: holds none of the {len(wanted):,} queries; expected the same query ids")
    kept = dict(only_known(found, path, wanted, doc_ids))
    if len(kept) < len(wanted):
        logger.warning(
            "%s: nothing for %d of %d queries", path, len(wanted) - len(kept), len(wanted),
            extra={"action": "import_candidates"},
        )  # fmt: skip
    runs = {name: sorted(ranking, key=lambda doc: -doc.score) for name, ranking in kept.items()}

    def retrieve(batch: Sequence[Query], top_k: int) -> Runs:
        return {query.query_id: runs[query.query_id][:top_k] for query in batch if query.query_id in runs}

    return retrieve


def _joined(query_id: str, runs: Sequence[Runs], first: str | None, depth: int) -> Ranking:
    rankings = [[doc.doc_id for doc in run.get(query_id, ())] for run in runs]
    documents = interleave(rankings, depth)
    if first is not None:
        documents = [first, *(doc_id for doc_id in documents if doc_id != first)][:depth]
    return query_id, [ScoredDoc(doc_id, 1 / rank) for rank, doc_id in enumerate(documents, start=1)]


def _work(queries: Sequence[Query], first: Mapping[str, str], settings: Sequence[object]) -> str:
    described = json.dumps([[*query, first.get(query.query_id)] for query in queries] + [list(settings)])
    return hashlib.sha256(described.encode("ascii")).hexdigest()


def _report(out: Path, asked: int) -> CandidateReport:
    sizes = [len(ranking) for _, ranking in read_scores(out)]
    return CandidateReport(len(sizes), asked - len(sizes), sum(sizes))
