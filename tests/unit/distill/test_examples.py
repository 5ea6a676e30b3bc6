"""Selector, teacher and student each read in their own languages."""

from __future__ import annotations

import random

import pytest

from ce2de_os.distill.data.languages import read_languages
from ce2de_os.distill.data.queries import QueryReport, QuerySet, query_texts
from ce2de_os.distill.data.score_file import read_scores
from ce2de_os.distill.models.cross_encoder import load_cross_encoder
from ce2de_os.distill.training.examples import (
    Collected,
    check_queries,
    prepare_candidates,
    prepare_queries,
    prepare_scores,
    read_examples,
)
from ce2de_os.errors import DataError
from ce2de_os.records import Query, ScoredDoc
from tests.unit.distill.tiny import WORDS, save_tiny_cross_encoder

CODES = ("en", "it", "de")


def versions(prefix, count):
    """Texts of the same ids in three languages, all of them different."""
    rng = random.Random(prefix)
    return {code: {f"{prefix}{n}": " ".join(rng.choices(WORDS, k=6)) for n in range(count)} for code in CODES}


QUERIES, DOCUMENTS = versions("q", 3), versions("d", 8)


class Search:
    """Finds all documents, and keeps what it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, queries, top_k):
        self.asked += queries
        return {query.query_id: [ScoredDoc(doc_id, 1.0) for doc_id in DOCUMENTS["en"]] for query in queries}


def collected(search, translated=None, skip=False, **settings):
    queries = QuerySet([Query(*item) for item in QUERIES["en"].items()], {}, QueryReport(3, 0, 0, 3))
    return Collected(
        lambda: queries,
        lambda asked: {"search": search},
        lambda doc_ids, language: {doc_id: DOCUMENTS[language][doc_id] for doc_id in doc_ids},
        read_languages("en", ["it", "de"], **settings),
        {code: QUERIES[code] for code in ("it", "de")} if translated is None else translated,
        skip,
    )


def silent(*_):
    pass


@pytest.mark.parametrize(
    ("selector", "teacher", "student"),
    [(None, None, None), ("it-it", "en-de", "de-de,it"), ("de-en", "it-en", "it-en")],
)
def test_everybody_reads_in_the_languages_set(tmp_path, selector, teacher, student):
    search, cross_encoder = Search(), save_tiny_cross_encoder(tmp_path / "ce")
    given = collected(search, selector=selector, teacher=teacher, student=student)
    queries = prepare_queries(given, tmp_path, silent)
    candidates = prepare_candidates(given, queries, tmp_path, silent)
    asked_in = (selector or "en-en")[:2]
    assert {query.query_id: query.text for query in search.asked} == QUERIES[asked_in]

    scores = prepare_scores(given, queries, candidates, [str(cross_encoder)], tmp_path, silent)
    asked_in, read_in = (teacher or "en-en").split("-")
    for query_id, ranking in read_scores(scores):
        pairs = [(QUERIES[asked_in][query_id], DOCUMENTS[read_in][doc.doc_id]) for doc in ranking]
        logits = load_cross_encoder(str(cross_encoder)).logits(pairs)
        assert [doc.score for doc in ranking] == pytest.approx(logits.tolist(), abs=2e-3)

    found = read_examples(given, queries, scores)
    asked_in, _, read_in = (student or "en-it,de").partition("-")
    assert found.queries == QUERIES[asked_in]
    assert found.documents == {code: DOCUMENTS[code] for code in read_in.split(",")}


def test_queries_without_a_translation_are_refused_or_left_out(tmp_path):
    partial = {"it": {"q0": QUERIES["it"]["q0"], "q2": QUERIES["it"]["q2"], "q99": "altro"}}
    search = Search()
    given = collected(search, partial, selector="it-en", student="it-it")
    queries = prepare_queries(given, tmp_path, silent)
    with pytest.raises(DataError, match=r"queries in 'it': 1 queries have no translation \(q1\)"):
        check_queries(given, queries)
    given = collected(search, partial, skip=True, selector="it-en", student="it-it")
    (coverage,) = check_queries(given, queries)
    assert (coverage.kind, coverage.originals, coverage.missing, coverage.unknown) == ("queries", 3, 1, 0)
    candidates = prepare_candidates(given, queries, tmp_path, silent)
    assert [query_id for query_id, _ in read_scores(candidates)] == ["q0", "q2"]
    found = read_examples(given, queries, candidates)
    assert found.queries == {query: partial["it"][query] for query in ("q0", "q2")}


def test_translated_queries_keep_repeats(tmp_path):
    path = tmp_path / "it.tsv"
    path.write_text("q1\tuno\nq2\tuno\nq3\t\n")
    assert query_texts(path) == {"q1": "uno", "q2": "uno"}
    path.write_text("q1\tuno\nq1\tdue\n")
    with pytest.raises(DataError, match="id 'q1' means 2 different texts"):
        query_texts(path)
    path.write_text("q1\t\n")
    with pytest.raises(DataError, match="none of its texts is a query"):
        query_texts(path)
