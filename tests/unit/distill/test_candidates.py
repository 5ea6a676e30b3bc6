"""Candidates: joined searches, imports, interrupted runs."""

from __future__ import annotations

import gzip
import logging

import numpy as np
import pytest

from ce2de_os.arrays import l2_normalize
from ce2de_os.distill.data.candidates import CandidateReport, find_candidates, imported, interleave
from ce2de_os.distill.data.local_retrieve import bm25_retriever, dense_retriever
from ce2de_os.distill.data.queries import QueryReport, QuerySet
from ce2de_os.distill.data.score_file import read_scores, write_scores
from ce2de_os.errors import ConfigError, DataError
from ce2de_os.records import Query, ScoredDoc


def query_set(count, sources=None):
    queries = [Query(f"q{number}", f"text {number}") for number in range(count)]
    return QuerySet(queries, sources or {}, QueryReport(count, 0, 0, count))


def fixed(**rankings):
    """A search with these answers, in this order."""

    def retrieve(queries, top_k):
        return {
            query.query_id: [ScoredDoc(doc, 0.5) for doc in rankings[query.query_id][:top_k]]
            for query in queries if query.query_id in rankings
        }  # fmt: skip

    return retrieve


def ids(path):
    return {query_id: [doc.doc_id for doc in ranking] for query_id, ranking in read_scores(path)}


@pytest.mark.parametrize(
    ("rankings", "depth", "expected"),
    [
        ([["a", "b", "c"]], 2, ["a", "b"]),
        ([["a", "b", "c"], ["x", "y"]], 9, ["a", "x", "b", "y", "c"]),
        ([["a", "b", "c"], ["b", "a", "d"]], 9, ["a", "b", "c", "d"]),
        ([[], ["x"], []], 9, ["x"]),
        ([[], []], 9, []),
        ([["a", "b"], ["a", "c"], ["d"]], 3, ["a", "d", "b"]),
    ],
)
def test_rankings_take_turns(rankings, depth, expected):
    assert interleave(rankings, depth) == expected


def test_sources_are_joined_and_queries_without_candidates_left_out(tmp_path):
    out = tmp_path / "candidates.jsonl.gz"
    sources = {"one": fixed(q0=["a", "b"], q2=["c"]), "two": fixed(q0=["b", "d"])}
    assert find_candidates(query_set(3), sources, out, depth=3) == CandidateReport(2, 1, 4)
    assert dict(read_scores(out)) == {
        "q0": [ScoredDoc("a", 1.0), ScoredDoc("b", 0.5), ScoredDoc("d", round(1 / 3, 6))],
        "q2": [ScoredDoc("c", 1.0)],
    }
    assert gzip.decompress(out.read_bytes()).startswith(b'["q0", ["a", 1.0], ["b", 0.5]')


def test_the_source_document_comes_first(tmp_path):
    queries = query_set(3, {"q0": "own", "q1": "b", "q2": "own"})
    search = {"one": fixed(q0=["a", "b"], q1=["a", "b"])}
    find_candidates(queries, search, tmp_path / "with", depth=2)
    assert ids(tmp_path / "with") == {"q0": ["own", "a"], "q1": ["b", "a"], "q2": ["own"]}


class Interrupted:
    """A search that Ctrl-C ends after some calls."""

    def __init__(self, answer, calls):
        self.answer, self.left, self.asked = answer, calls, []

    def __call__(self, queries, top_k):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        self.asked += [query.query_id for query in queries]
        return self.answer(queries, top_k)


def test_an_interrupted_search_goes_on(tmp_path):
    queries = query_set(200)
    answer = fixed(**{f"q{n}": [f"d{n}", f"e{n}"] for n in range(200)})
    find_candidates(queries, {"one": answer}, tmp_path / "unbroken")
    out, seen = tmp_path / "broken", []
    with pytest.raises(KeyboardInterrupt):
        find_candidates(queries, {"one": Interrupted(answer, 2)}, out)
    assert not out.exists()
    rest = Interrupted(answer, 99)
    find_candidates(queries, {"one": rest}, out, progress=lambda done, total: seen.append((done, total)))
    assert rest.asked == [f"q{n}" for n in range(128, 200)]
    assert seen == [(128, 200), (192, 200), (200, 200)]
    assert out.read_bytes() == (tmp_path / "unbroken").read_bytes()
    assert not (tmp_path / "broken.partial").exists()
    finished = Interrupted(answer, 0)
    assert find_candidates(queries, {"one": finished}, out) == CandidateReport(200, 0, 400)


def test_other_work_is_not_mixed_in(tmp_path):
    answer = fixed(q0=["a"], q1=["b"])
    out = tmp_path / "c"
    with pytest.raises(KeyboardInterrupt):
        find_candidates(query_set(2), {"one": Interrupted(answer, 0)}, out)
    for queries, source, depth in (
        (query_set(1), "one", 5),
        (query_set(2), "two", 50),
        (query_set(2), "one", 5),
    ):
        with pytest.raises(DataError, match=r"c\.partial: was begun with other queries"):
            find_candidates(queries, {source: answer}, out, depth=depth)
    find_candidates(query_set(2), {"one": answer}, out)
    with pytest.raises(DataError, match="c: exists and comes from other queries, documents or settings"):
        find_candidates(query_set(2), {"two": answer}, out)


def test_nothing_found_and_nothing_asked_are_refused(tmp_path):
    with pytest.raises(DataError, match="found nothing for any of 2 queries"):
        find_candidates(query_set(2), {"one": fixed()}, tmp_path / "c")
    assert list(tmp_path.iterdir()) == []
    for sources, depth in (({}, 5), ({"one": fixed()}, 0)):
        with pytest.raises(ConfigError, match="expected at least 1 of each"):
            find_candidates(query_set(2), sources, tmp_path / "c", depth=depth)


def test_a_trec_run_is_imported(tmp_path, caplog):
    path = tmp_path / "bm25.run"
    path.write_text("q1 Q0 b 2 1.5 x\nq1 Q0 a 1 3.5 x\n\nq9 Q0 zz 1 1 x\nq0 Q0 c 1 -1e3 x\n")
    with caplog.at_level(logging.WARNING):
        retrieve = imported(path, query_set(3).queries, {"a", "b", "c"})
    assert "nothing for 1 of 3 queries" in caplog.text
    assert retrieve(query_set(3).queries, 1) == {"q0": [ScoredDoc("c", -1000)], "q1": [ScoredDoc("a", 3.5)]}
    assert retrieve([Query("q1", "")], 5) == {"q1": [ScoredDoc("a", 3.5), ScoredDoc("b", 1.5)]}


def test_a_score_file_is_imported(tmp_path):
    path = tmp_path / "theirs.jsonl.gz"
    write_scores(path, [("q0", [ScoredDoc("a", 1), ScoredDoc("b", 2)])])
    retrieve = imported(path, query_set(1).queries, {"a", "b"})
    assert [doc.doc_id for doc in retrieve(query_set(1).queries, 5)["q0"]] == ["b", "a"]


def test_unknown_documents_are_refused(tmp_path):
    path = tmp_path / "r.run"
    path.write_text("".join(f"q0 Q0 d{n} {n} {-n} x\n" for n in range(1, 7)))
    message = r"r\.run: names 4 documents \(d3, d4, d5, …\) that are not in this collection"
    with pytest.raises(DataError, match=message):
        imported(path, query_set(1).queries, {"d1", "d2"})
    with pytest.raises(DataError, match="holds none of the 1 queries"):
        imported(path, [Query("other", "")], {"d1"})


def test_bm25_finds_documents_by_their_words():
    retrieve = bm25_retriever(["a", "b", "c"], ["copy a file", "copy a file to a folder", "wait"])
    asked = [
        Query("q0", "Copying? copy the folder"),
        Query("q1", "unseen"),
        Query("q2", "wait"),
        Query("q3", "the"),
    ]
    found = {query_id: [doc.doc_id for doc in run] for query_id, run in retrieve(asked, 50).items()}
    assert found == {"q0": ["b", "a"], "q1": [], "q2": ["c"], "q3": []}
    assert [doc.doc_id for doc in retrieve(asked[:1], 1)["q0"]] == ["b"]


@pytest.mark.parametrize("texts", [[], ["", "a"], ["the", "!"]])
def test_documents_without_a_word_are_refused(texts):
    with pytest.raises(DataError, match=f"none of {len(texts)} documents has a word"):
        bm25_retriever([str(row) for row in range(len(texts))], texts)


def test_dense_search_is_exact():
    rng = np.random.default_rng(3)
    documents = l2_normalize(rng.normal(size=(40, 8)).astype(np.float32))
    documents[7] = documents[3]
    vectors = l2_normalize(rng.normal(size=(300, 8)).astype(np.float32))
    doc_ids = [f"d{number}" for number in range(40)]
    retrieve = dense_retriever(doc_ids, documents, lambda texts: vectors[[int(text) for text in texts]])
    runs = retrieve([Query(f"q{n}", str(n)) for n in range(300)], 5)
    for number in (0, 255, 256, 299):
        scores = [float(np.dot(vectors[number], row)) for row in documents]
        expected = sorted(range(40), key=lambda row: (-round(scores[row], 6), row))[:5]
        assert [doc.doc_id for doc in runs[f"q{number}"]] == [doc_ids[row] for row in expected]
        np.testing.assert_allclose(
            [doc.score for doc in runs[f"q{number}"]], [scores[r] for r in expected], atol=1e-6
        )
