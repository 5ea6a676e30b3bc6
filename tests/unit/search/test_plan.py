"""What a question asks of an index: plain data, no server needed to check it."""

import pytest

from ce2de_os.index.metadata import IndexMetadata
from ce2de_os.search.plan import SearchPlan
from ce2de_os.search.question import Question
from ce2de_os.search.target import Target

METADATA = IndexMetadata("vector", ("title", "body"), "a" * 64, 2, "m", "articles")
PASSAGES = IndexMetadata("parts", ("title", "body"), "a" * 64, 2, "m", "articles", passages=True)
TARGET = Target("articles", frozenset(["articles-v1"]), 1, ("title", "body"), ("vector", "vector_hash"), ())
SHARDED = Target("articles", frozenset(["articles-v1"]), 3, ("title", "body"), ("vector",), ())


def plan(strategy="pipeline", target=TARGET, metadata=METADATA, reranks=False, **options):
    question = Question("copy", **options)
    vector = None if question.mode == "bm25" else [0.6, 0.8]
    strategy = strategy if question.mode == "hybrid" and not question.sorts else None
    return SearchPlan(question, target, "copy", strategy, vector, metadata if vector else None, reranks)


def roles(one):
    return [request.role for request in one.requests()]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["main"]),
        ({"explain": True}, ["main", "bm25", "dense"]),
        ({"track_total_hits": True}, ["main", "count"]),
        ({"strategy": "client"}, ["bm25", "dense"]),
        ({"strategy": "client", "target": SHARDED}, ["bm25"] * 3 + ["dense"] * 3),
        ({"mode": "dense", "explain": True, "track_total_hits": True}, ["main"]),
        ({"sort": ["year"], "aggregations": {"x": {}}}, ["main"]),
    ],
)
def test_no_more_is_asked_than_needed(options, expected):
    assert roles(plan(**options)) == expected


@pytest.mark.parametrize(
    ("source", "sent"),
    [
        (True, {"excludes": ["vector", "vector_hash"]}),
        (False, False),
        (["title"], {"includes": ["title"], "excludes": ["vector", "vector_hash"]}),
        ("vec*", {"includes": ["vec*"], "excludes": ["vector", "vector_hash"]}),
        ({"excludes": "body"}, {"excludes": ["body", "vector", "vector_hash"]}),
        ({"includes": ["vector"]}, {"includes": ["vector"], "excludes": ["vector", "vector_hash"]}),
    ],
)
def test_vectors_and_hashes_stay_in_the_cluster(source, sent):
    (request,) = plan(source=source).requests()
    assert request.body["_source"] == sent


def test_pages_of_one_leg_are_cut_by_opensearch():
    (request,) = plan(mode="bm25", top_k=10, from_=30).requests()
    assert (request.body["from"], request.body["size"]) == (30, 10)


def test_later_pages_of_both_legs_are_cut_here():
    later = plan("pipeline", top_k=10, from_=30)
    (request,) = later.requests()
    assert (request.body["size"], request.body["_source"], "from" in request.body) == (40, False, False)
    assert later.fetches


@pytest.mark.parametrize(
    ("options", "depth", "last"),
    [({}, 50, 50), ({"rerank_depth": 5}, 5, 10), ({"from_": 50}, 0, 60), ({"rerank_depth": 0}, 0, 10)],
)
def test_re_ranking_looks_at_more_hits_than_the_page(options, depth, last):
    one = plan(reranks=True, **options)
    assert (one.rerank_depth, one.last) == (depth, last)


def test_the_same_question_goes_to_the_same_copies_of_the_shards():
    headers = {plan(from_=start).header["preference"] for start in (0, 10, 20)}
    assert len(headers) == 1
    sharded = [request.header["preference"] for request in plan("client", SHARDED).requests()]
    assert sharded == 2 * [f"_shards:{number}|_primary_first" for number in range(3)]


def test_boosts_and_a_lexical_leg_of_the_users_own():
    (boosted,) = plan(mode="bm25", fields=["title^3"]).requests()
    assert boosted.body["query"]["multi_match"]["fields"] == ["title^3"]
    own = {"match_phrase": {"title": "copy"}}
    (request,) = plan(mode="bm25", lexical=own, filters={"term": {"lang": "en"}}).requests()
    assert request.body["query"] == {"bool": {"must": [own], "filter": [{"term": {"lang": "en"}}]}}


def test_highlights_mark_the_words_of_the_lexical_leg_alone():
    (request,) = plan(highlight=["title"], filters={"term": {"lang": "en"}}).requests()
    assert request.body["highlight"]["fields"] == {"title": {}}
    assert set(request.body["highlight"]["highlight_query"]) == {"multi_match"}


def test_passages_are_fetched_with_their_documents():
    one = plan(metadata=PASSAGES, source=["title"])
    (request,) = one.requests()
    assert request.body["_source"] is False
    (fetch,) = one.fetch_requests({"articles-v1": ["a", "b"]})
    assert fetch.header["index"] == "articles-v1"
    assert fetch.body["size"] == 2
    assert fetch.body["fields"] == ["title", "body"]  # the offsets count in the whole text
    (passage,) = fetch.body["query"]["bool"]["should"]
    assert passage["nested"]["inner_hits"]["size"] == 1


def test_every_search_has_the_timeout():
    one = plan("client", timeout_ms=250, track_total_hits=True)
    assert {request.body["timeout"] for request in one.requests()} == {"250ms"}


SPOKEN = IndexMetadata("vector", ("title", "body"), "a" * 64, 2, "m", "articles", languages=("en", "it"))
ASIDES = ("vector_text", "vector_language")
MANY = Target(
    "articles", frozenset(["a"]), 1, ("title", "body"), ("vector", "vector_hash"), (SPOKEN,), asides=ASIDES
)


def test_a_language_is_a_filter_of_both_legs():
    legs = plan(target=MANY, metadata=SPOKEN, language="ita", filters={"term": {"year": 1999}}).legs
    both = [{"term": {"year": 1999}}, {"term": {"vector_language": "it"}}]
    assert legs["bm25"]["bool"]["filter"] == both
    assert legs["bm25"]["bool"]["must"][0]["multi_match"]["fields"] == ["vector_text.it"]
    assert legs["dense"]["knn"]["vector"]["filter"] == {"bool": {"filter": both}}


@pytest.mark.parametrize(
    ("source", "left_out"),
    [
        (True, ["vector", "vector_hash", *ASIDES]),
        (["title"], ["vector", "vector_hash", *ASIDES]),
        (["title", "vector_language"], ["vector", "vector_hash", "vector_text"]),
        ("vector_text.it", ["vector", "vector_hash", "vector_language"]),
        ({"includes": ["vector_text"], "excludes": "body"}, ["body", "vector", "vector_hash", ASIDES[1]]),
    ],
)
def test_the_text_by_language_is_left_out_unless_it_is_named(source, left_out):
    (request,) = plan(target=MANY, metadata=SPOKEN, source=source).requests()
    assert request.body["_source"]["excludes"] == left_out


def test_highlights_are_looked_for_in_the_text_as_it_is_too():
    (request,) = plan(target=MANY, metadata=SPOKEN, highlight=["body"]).requests()
    by_language, as_it_is = request.body["highlight"]["highlight_query"]["bool"]["should"]
    assert by_language["multi_match"]["fields"] == ["vector_text.en", "vector_text.it", "vector_text.other"]
    assert as_it_is["multi_match"]["fields"] == ["title", "body"]
