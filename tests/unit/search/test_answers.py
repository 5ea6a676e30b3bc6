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


def test_source_and_routing_are_kept_where_they_are():
    (document,) = answers.found_in([answer(hit("a", 1.0, _routing="r1", _source={"title": "A"}))])
    assert (document.routing, document.source) == ("r1", {"title": "A"})


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
