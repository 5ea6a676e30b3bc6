"""Whatever a file or a question holds: the answer of a slow reference, or an error of ours.

``CE2DE_EXAMPLES`` is the number of examples for each property: a few in a usual run, 100,000 a night.
"""

from __future__ import annotations

import gzip
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ce2de_os.errors import Ce2deError, ConfigError, DataError
from ce2de_os.evaluation import load_qrels, read_run, write_qrels, write_run
from ce2de_os.evaluation.passages import read_mapping
from ce2de_os.index.metadata import IndexMetadata
from ce2de_os.integrations.haystack_filters import opensearch_filter
from ce2de_os.records import ScoredDoc, read_documents, read_qrels, read_queries
from ce2de_os.search import queries
from ce2de_os.search.mapped_fields import MappedFields
from ce2de_os.search.plan import SearchPlan
from ce2de_os.search.question import Question
from ce2de_os.search.target import Target

EXAMPLES = int(os.environ.get("CE2DE_EXAMPLES") or 60)
often = settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
ID = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"], exclude_characters="\ufeff"),
    min_size=1,
    max_size=6,
)
GRADE = st.integers(-9, 999)
QRELS = st.dictionaries(ID, st.dictionaries(ID, GRADE, min_size=1, max_size=4), min_size=1, max_size=4)


def read(reader, content: bytes, name="file") -> Any:
    """What a reader makes of a file, or ``None`` for an error of ours; any other error fails the test."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            found = reader(path)
            return found if isinstance(found, dict) else list(found)
        except DataError as error:
            assert "\n" not in str(error) or b"\n" not in content
            return None


def mapping(path: Path) -> dict[str, str]:
    return read_mapping(path, {"a"})


READERS = (read_qrels, read_documents, read_queries, read_run, load_qrels, mapping)
CELL = st.one_of(ID, st.sampled_from(["0", "1", "1.0", "", " ", "nan"]))


@pytest.mark.parametrize("reader", READERS)
@often
@given(content=st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(reader, content):
    read(reader, content)
    read(reader, gzip.compress(content))


@pytest.mark.parametrize("reader", READERS)
@often
@given(lines=st.lists(st.lists(CELL, max_size=7)))
def test_any_table_is_read_or_refused(reader, lines):
    for tab in ("\t", " "):
        read(reader, "\n".join(tab.join(columns) for columns in lines).encode())


# A model's thread may round the smallest floats to 0, and hypothesis would complain.
FLOATS = st.floats(allow_subnormal=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@often
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {}, optional={"_id": ID | st.integers() | JSON, "title": JSON, "text": TEXT | JSON}
        )
    )
)
def test_rows_of_json_are_read_as_they_are(rows):
    content = "\n".join(map(json.dumps, rows)).encode()
    found = read(read_documents, content)
    if found is not None:
        assert [one.doc_id for one in found] == [str(row["_id"]) for row in rows]
        assert [one.text for one in found] == [row["text"] for row in rows]
        assert [one.title for one in found] == [row.get("title") or "" for row in rows]
    asked = read(read_queries, content)
    if asked is not None:
        assert [(one.query_id, one.text) for one in asked] == [(str(row["_id"]), row["text"]) for row in rows]


@often
@given(
    qrels=QRELS,
    mark=st.booleans(),
    header=st.booleans(),
    tail=st.sampled_from(["", "\n", "\r\n \n"]),
    style=st.sampled_from(["{q}\t{d}\t{g}", "{q}\t{d}\t{g}.0", "{q} 0 {d} {g}", "{q}\tQ0\t{d}\t{g:+} "]),
)
def test_judgements_in_any_spelling_are_the_same(qrels, mark, header, tail, style):
    lines = [style.format(q=q, d=d, g=g) for q, judged in qrels.items() for d, g in judged.items()]
    text = "\n".join([*(["query-id\tcorpus-id\tscore"] if header else []), *lines])
    expected = {q: judged for q, judged in qrels.items() if max(judged.values()) > 0}
    content = (("\ufeff" if mark else "") + text + tail).encode()
    assert read(load_qrels, content) == expected
    assert read(load_qrels, gzip.compress(content)) == expected


@often
@given(
    qrels=QRELS,
    runs=st.dictionaries(
        ID,
        st.lists(
            st.tuples(ID, st.floats(-1e6, 1e6, allow_subnormal=False)),
            min_size=1,
            max_size=5,
            unique_by=lambda pair: pair[0],
        ),
    ),
)
def test_what_is_written_is_read_again(qrels, runs):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.gz"
        write_qrels(path, qrels)
        assert load_qrels(path) == {q: judged for q, judged in qrels.items() if max(judged.values()) > 0}
        given = {query: [ScoredDoc(*pair) for pair in run] for query, run in runs.items()}
        write_run(path, given, "t")
        found = read_run(path)
    assert {q: [one.doc_id for one in run] for q, run in found.items()} == {
        q: [one.doc_id for one in run] for q, run in given.items()
    }


KEYS = st.sampled_from(["operator", "field", "value", "conditions"])
VALUE = st.sampled_from([None, "a", "b", 1, 2, 3, True])
FIELD = st.sampled_from(["meta.x", "x", "y"])
COMPARISON = st.one_of(
    st.fixed_dictionaries({"field": FIELD, "operator": st.sampled_from(["==", "!="]), "value": VALUE}),
    st.fixed_dictionaries(
        {"field": FIELD, "operator": st.sampled_from(["in", "not in"]), "value": st.lists(VALUE, max_size=3)}
    ),
    st.fixed_dictionaries(
        {
            "field": FIELD,
            "operator": st.sampled_from([">", ">=", "<", "<="]),
            "value": st.sampled_from([None, 1, 2]),
        }
    ),
)
FILTER = st.recursive(
    COMPARISON,
    lambda inner: st.fixed_dictionaries(
        {"operator": st.sampled_from(["AND", "OR", "NOT"]), "conditions": st.lists(inner, max_size=3)}
    ),
    max_leaves=8,
)


def matches(query: dict[str, Any], document: dict[str, Any]) -> bool:
    """OpenSearch's meaning of the queries that filters become, slowly."""
    ((kind, body),) = query.items()
    if kind == "match_none":
        return False
    if kind == "bool":
        should = body.get("should")
        return (
            all(matches(one, document) for one in body.get("filter", []))
            and not any(matches(one, document) for one in body.get("must_not", []))
            and (should is None or not should or any(matches(one, document) for one in should))
        )
    if kind == "exists":
        return document.get(body["field"]) is not None
    ((field, wanted),) = body.items()
    value = document.get(field)
    if value is None:
        return False
    if kind == "range":
        ((name, limit),) = wanted.items()
        if isinstance(value, str) or limit is None:
            return limit is None
        return {"gt": value > limit, "gte": value >= limit, "lt": value < limit, "lte": value <= limit}[name]
    return value in wanted if kind == "terms" else value == wanted


@often
@given(
    filters=FILTER,
    document=st.fixed_dictionaries(
        {}, optional={"x": st.sampled_from([1, 2, 3]), "y": st.sampled_from([1, 2, 3])}
    ),
)
def test_haystack_s_filters_hold_for_the_same_documents(filters, document):
    haystack = pytest.importorskip("haystack")
    from haystack.utils.filters import document_matches_filter

    def with_meta(one):
        if "conditions" in one:
            return {**one, "conditions": [with_meta(inner) for inner in one["conditions"]]}
        return {**one, "field": f"meta.{one['field'].removeprefix('meta.')}"}

    expected = document_matches_filter(with_meta(filters), haystack.Document(content="", meta=document))
    assert matches(opensearch_filter(with_meta(filters)), document) == expected


@often
@given(filters=JSON | FILTER | st.dictionaries(KEYS, JSON))
def test_any_filter_is_taken_or_refused(filters):
    try:
        queries.as_filters(opensearch_filter(filters))
    except Ce2deError as error:
        assert "filters: " in str(error)


MAPPING = {"title": {"type": "text"}, "body": {"type": "text"}, "lang": {"type": "keyword"}}
METADATA = IndexMetadata("v", ("title", "body"), "a" * 64, 2, "m", "articles")
TARGET = Target(
    "articles", frozenset(["articles"]), 2, ("title", "body"), ("v",), (METADATA,),
    mapped=MappedFields.of({"articles": {"properties": MAPPING}}),
)  # fmt: skip
NAMES = st.lists(st.sampled_from(["title", "body^2", "t*", "*", "nowhere", ""]), max_size=3) | JSON
OPTIONS = st.fixed_dictionaries({}, optional={
    "top_k": st.integers(-1, 10_002) | JSON, "from_": st.integers(-1, 10_002) | JSON,
    "mode": st.sampled_from(["hybrid", "bm25", "dense"]) | JSON, "filters": FILTER | JSON, "language": JSON,
    "lexical": JSON, "fields": NAMES, "fusion": st.sampled_from(["min_max", "rrf", "l2"]) | JSON,
    "dense_weight": FLOATS | JSON, "rrf_k": st.integers(-1, 20_000) | JSON, "lower_bounds": JSON,
    "candidates": st.integers(-1, 10_002) | JSON, "min_score": JSON, "collapse": JSON, "sort": JSON,
    "highlight": NAMES, "aggregations": JSON, "source": NAMES, "explain": JSON, "track_total_hits": JSON,
    "rerank_depth": JSON, "rerank_weight": JSON, "rerank_deadline_ms": JSON, "timeout_ms": JSON,
})  # fmt: skip


@often
@given(text=st.text(max_size=40) | JSON, options=OPTIONS, client=st.booleans())
def test_any_question_becomes_requests_or_is_refused(text, options, client):
    try:
        question = Question("").changed({**options, "text": text})
        question.check()
        TARGET.check_fields(question)
        strategy = ("client" if client else "pipeline") if question.mode == "hybrid" else None
        vector = None if question.mode == "bm25" else [1.0, 0.0]
        clipped = queries.clip(question.text, 1)
        plan = SearchPlan(question, TARGET, clipped, strategy, vector, METADATA if vector else None, False)
        requests = plan.requests()
    except Ce2deError:
        return
    assert requests
    assert plan.last <= 10_000
    assert all(request.body.get("size", 0) <= 10_000 for request in requests)
    json.dumps([request.body for request in requests]).encode()


@often
@given(text=st.text(max_size=3000), fields=st.integers(0, 40), others=st.integers(0, 40))
def test_a_clipped_question_is_a_beginning_of_it(text, fields, others):
    cut = queries.clip(text, fields, others)
    assert text.encode("utf-8", "replace").decode().startswith(cut)
    assert queries.clip(cut, fields, others) == cut


@often
@given(options=st.dictionaries(TEXT, JSON, min_size=1, max_size=1))
def test_options_that_nobody_knows_are_refused(options):
    if next(iter(options)) not in Question.__dataclass_fields__:
        with pytest.raises(ConfigError, match="no such search option"):
            Question("").changed(options)
