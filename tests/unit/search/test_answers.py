"""Reading answers: plain dictionaries as OpenSearch sends them."""

import logging

import pytest
from opensearchpy.exceptions import TransportError

from ce2de_os.errors import BackendUnavailableError, IndexSchemaError
from ce2de_os.index.client import backend_errors
from ce2de_os.records import Leg, ScoredDoc
from ce2de_os.search import answers


def hit(doc_id, score, index="articles", **more):
    return {"_index": index, "_id": doc_id, "_score": score, **more}


def answer(*hits):
    return {"hits": {"hits": list(hits)}, "_shards": {"total": 1, "failed": 0}}


def test_answers_of_several_shards_become_one_ranking():
    found = answers.found_in([answer(hit("a", 3.0), hit("b", 1.0)), answer(hit("c", 2.0))])

    assert [document.doc_id for document in found] == ["a", "c", "b"]
    assert answers.legs(found) == {
        "a articles": Leg(3.0, 1),
        "c articles": Leg(2.0, 2),
        "b articles": Leg(1.0, 3),
    }
    assert answers.scored(found)[0] == ScoredDoc("a articles", 3.0)


def test_nothing_found():
    assert answers.found_in([]) == answers.found_in([answer(), answer()]) == []
    assert answers.legs([]) == {}


def test_the_same_id_in_two_indices_is_two_documents():
    found = answers.found_in([answer(hit("a", 3.0, "news"), hit("a", 2.0, "archive"))])
    assert len({document.key for document in found}) == 2


def test_what_was_asked_for_is_kept():
    inner = {"p": {"hits": {"hits": [{"_score": 2.0, "_source": {"start": 3, "end": 9}}]}}}
    asked = {"_source": {"title": "A"}, "fields": {"n": [1]}, "highlight": {"title": ["<em>A</em>"]}}
    (document,) = answers.found_in([answer(hit("a", 1.0, inner_hits=inner, **asked))])
    assert document.source == {"title": "A"}
    assert document.values == {"n": [1]}
    assert document.highlight == {"title": ["<em>A</em>"]}
    assert document.inner["_source"] == {"start": 3, "end": 9}


def test_sorted_hits_have_no_score_and_keep_their_order():
    found = answers.documents_in(answer(hit("b", None, sort=[1]), hit("a", None, sort=[2])))
    assert [(one.doc_id, one.score, one.sort) for one in found] == [("b", 0.0, [1]), ("a", 0.0, [2])]


@pytest.mark.parametrize(
    ("total", "counted"),
    [({"value": 7, "relation": "eq"}, 7), ({"value": 10_000, "relation": "gte"}, None), (None, None)],
)
def test_a_total_counts_only_where_it_is_exact(total, counted):
    assert answers.total_in({"hits": {"hits": [], "total": total}}) == counted


def test_failed_shards_are_told_once_with_their_reasons():
    failure = {"index": "news", "shard": 2, "reason": {"type": "x", "reason": "for input string: abc"}}
    failed = {"_shards": {"total": 3, "failed": 1, "failures": [failure]}}
    assert answers.failures_in([failed, failed, answer()]) == ("news[2]: for input string: abc",)
    assert answers.failures_in([{"_shards": {"total": 3, "failed": 1}}]) == ("1 of 3 shards did not answer",)


@pytest.mark.parametrize(("status", "expected"), [(400, IndexSchemaError), (429, BackendUnavailableError)])
def test_a_failed_item_of_msearch_becomes_our_error(status, expected):
    item = {"status": status, "error": {"root_cause": [{"reason": "no such field [x]"}]}}

    with pytest.raises(TransportError):
        answers.check(item)
    with (
        pytest.raises(expected, match=r"search articles: no such field \[x\]"),
        backend_errors("search articles"),
    ):
        answers.check(item)


def test_shards_that_did_not_answer_are_logged(caplog):
    with caplog.at_level(logging.WARNING):
        answers.check({"_shards": {"total": 3, "failed": 1}, "timed_out": False})
    assert "1 of 3 shards failed" in caplog.text


def test_a_whole_answer_is_not_worth_a_word(caplog):
    answers.check(answer())
    assert not caplog.records
