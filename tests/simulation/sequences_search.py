"""Sequences of requests around searches, statistics and rollover; see `tests.simulation.sequences`."""

from __future__ import annotations

from typing import Any

from tests.simulation.sequences import Request, _alias, _bulk

_MAPPED = {
    "settings": {"number_of_shards": 1, "number_of_replicas": 0, "refresh_interval": "-1"},
    "mappings": {
        "properties": {
            "n": {"type": "long"}, "k": {"type": "keyword"}, "t": {"type": "text"},
            "from": {"properties": {"shard": {"type": "integer"}, "seq_no": {"type": "long"}}},
        }
    },
}  # fmt: skip


def _document(number: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "n": number * 10,
        "k": "even" if number % 2 == 0 else "odd",
        "t": f"text {number}",
    }
    if number != 3:
        found["from"] = {"shard": number % 3, "seq_no": number * 7}
    return found


_FILLED: list[Request] = [
    ("PUT", "/@a", _MAPPED),
    ("POST", "/@a/_bulk", [line for n in range(9) for line in ({"index": {"_id": f"d{n}"}}, _document(n))]),
    ("POST", "/@a/_bulk", _bulk({"delete": {"_id": "d4"}}, {"index": {"_id": "d1"}}, _document(11))),
    ("POST", "/@a/_refresh"),
]


def _search(**body: Any) -> Request:
    return ("POST", "/@a/_search", {"sort": [{"_seq_no": "asc"}], "_source": False, **body})


def _aggregate(**aggs: Any) -> Request:
    return ("POST", "/@a/_search", {"size": 0, "aggs": aggs})


SEARCHES: dict[str, list[Request]] = {
    "queries": [
        *_FILLED,
        _search(query={"range": {"_seq_no": {"gt": 2, "lte": 6}}}),
        _search(query={"range": {"_seq_no": {"gte": 2, "lt": 6}}}, size=2, seq_no_primary_term=True),
        _search(query={"range": {"_seq_no": {"gt": 2}}}, track_total_hits=False, _source=["n", "from.shard"]),
        _search(query={"ids": {"values": ["d1", "d4", "d8"]}}),
        _search(query={"term": {"k": "odd"}}),
        _search(query={"term": {"n": {"value": 50}}}),
        _search(query={"terms": {"n": [50, 60, 61]}}),
        _search(query={"exists": {"field": "from.seq_no"}}),
        _search(query={"exists": {"field": "nothing"}}),
        _search(query={"bool": {"must_not": [{"exists": {"field": "from.seq_no"}}]}}),
        _search(query={"bool": {"filter": [{"term": {"k": "odd"}}, {"range": {"n": {"gte": 30}}}], "must_not": {"ids": {"values": ["d5"]}}}}),
        _search(query={"bool": {"should": [{"term": {"n": 0}}, {"term": {"n": 50}}]}}),
        _search(query={"bool": {"filter": [{"term": {"k": "odd"}}], "should": [{"term": {"n": 50}}]}}),
        _search(query={"bool": {"filter": [{"term": {"k": "odd"}}], "should": [{"term": {"n": 50}}], "minimum_should_match": 1}}),
        _search(query={"range": {"from.seq_no": {"gt": 20}}}, sort=[{"from.seq_no": "desc"}]),
        _search(sort=[{"n": {"order": "desc"}}], size=3, search_after=[50]),
        _search(sort=[{"_seq_no": "asc"}], size=2, **{"from": 3}),
        _search(docvalue_fields=["_seq_no", "from.seq_no"], size=2),
        _search(size=10_001),
        ("POST", "/@a/_search?preference=_shards:0|_primary", {"sort": [{"_seq_no": "asc"}], "size": 2}),
        ("POST", "/@a/_search?allow_partial_search_results=false", {"sort": ["_seq_no"], "_source": {"excludes": ["from"]}, "size": 1}),
        ("POST", "/@a/_count", {"query": {"term": {"k": "even"}}}),
        ("POST", "/@a/_msearch", _bulk({}, {"query": {"term": {"n": 0}}, "sort": ["_seq_no"]}, {}, {"size": 0})),
        ("POST", "/@a/_msearch?max_concurrent_searches=1", _bulk({}, {"size": 20_000}, {}, {"size": 0})),
        ("POST", "/@a/_mget", {"docs": [{"_id": "d1"}, {"_id": "d4"}]}),
        ("POST", "/@a/_mget?_source_includes=n,from.shard", {"ids": ["d1", "d5"]}),
        ("GET", "/@a/_doc/d1?_source=false"),
    ],
    "aggregations": [
        *_FILLED,
        _aggregate(h={"histogram": {"field": "_seq_no", "interval": 3}}),
        _aggregate(h={"histogram": {"field": "_seq_no", "interval": 4, "min_doc_count": 1}, "aggs": {"s": {"sum": {"field": "_seq_no"}}}}),
        _aggregate(h={"histogram": {"field": "_seq_no", "interval": 2, "offset": 1}}),
        _aggregate(h={"histogram": {"field": "from.seq_no", "interval": 20}, "aggs": {"s": {"sum": {"field": "from.seq_no"}}}}),
        _aggregate(s={"sum": {"field": "_seq_no"}}, t={"stats": {"field": "from.seq_no"}}, c={"value_count": {"field": "_seq_no"}}),
        _aggregate(s={"sum": {"field": "nothing"}}, t={"stats": {"field": "nothing"}}, m={"max": {"field": "nothing"}}),
        _aggregate(h={"histogram": {"field": "from.seq_no", "interval": 32, "min_doc_count": 1}, "aggs": {"s": {"extended_stats": {"field": "from.seq_no"}}}}),
        _aggregate(low={"min": {"field": "n"}}, high={"max": {"field": "_seq_no"}}),
        _aggregate(k={"terms": {"field": "k"}, "aggs": {"n": {"sum": {"field": "n"}}}}),
        _aggregate(k={"terms": {"field": "from.shard", "size": 2, "order": {"_key": "asc"}}}),
        _aggregate(r={"range": {"field": "_seq_no", "ranges": [{"to": 3}, {"from": 3, "to": 7}, {"from": 7}]}, "aggs": {"s": {"sum": {"field": "_seq_no"}}}}),
        _aggregate(f={"filter": {"term": {"k": "odd"}}, "aggs": {"h": {"histogram": {"field": "n", "interval": 40}}}}),
        _aggregate(f={"filters": {"filters": {"odd": {"term": {"k": "odd"}}, "rest": {"ids": {"values": ["d2"]}}}}}),
        _aggregate(m={"missing": {"field": "from.seq_no"}}),
        ("POST", "/@a/_search", {"size": 0, "query": {"range": {"_seq_no": {"gt": 4}}}, "aggs": {"s": {"sum": {"field": "_seq_no"}}}}),
        ("POST", "/@a/_search", {"size": 0, "query": {"term": {"n": 12345}}, "aggs": {"h": {"histogram": {"field": "_seq_no", "interval": 3}}}}),
    ],
    "statistics of shards": [
        ("PUT", "/@a", _MAPPED),
        ("GET", "/@a/_stats?level=shards"),
        *_FILLED[1:],
        ("PUT", "/@a/_create/d2", {"n": 1}),
        ("GET", "/@a/_stats?level=shards"),
        ("GET", "/@a/_stats/indexing"),
        ("GET", "/_cluster/state/metadata/@a?filter_path=metadata.indices.*.mappings"),
        ("POST", "/@a/_update/d2", {"doc": {"n": 20}}),
        ("DELETE", "/@a/_doc/none"),
        ("GET", "/@a/_stats?level=shards"),
        ("GET", "/@a/_stats/indexing"),
    ],
    "rollover": [
        ("PUT", "/@a-000001", {"mappings": {"properties": {"n": {"type": "long"}}}}),
        _alias({"add": {"index": "@a-000001", "alias": "@x", "is_write_index": True}}),
        ("PUT", "/@x/_doc/1", {"n": 1}),
        ("POST", "/@x/_rollover"),
        ("GET", "/_alias/@x"),
        ("PUT", "/@x/_doc/1", {"n": 2}),
        ("GET", "/@x/_doc/1"),
        ("PUT", "/@b-1", {}),
        _alias({"add": {"index": "@b-1", "alias": "@y"}}),
        ("POST", "/@y/_rollover"),
        ("GET", "/_alias/@y"),
        ("PUT", "/@c", {}),
        _alias({"add": {"index": "@c", "alias": "@z"}}),
        ("POST", "/@z/_rollover"),
        ("POST", "/@none/_rollover"),
    ],
    "index templates": [
        ("PUT", "/_index_template/@t", {"index_patterns": ["@a*"], "priority": 901, "template": {"settings": {"number_of_shards": 2}, "mappings": {"properties": {"x": {"type": "long"}}}, "aliases": {"@y": {}}}}),
        ("PUT", "/_index_template/@u", {"index_patterns": ["@a*"], "priority": 902, "template": {"mappings": {"properties": {"z": {"type": "long"}}}}}),
        ("GET", "/_index_template/@t"),
        ("PUT", "/@a1", {"mappings": {"properties": {"n": {"type": "long"}}}}),
        ("GET", "/@a1/_mapping"),
        ("DELETE", "/_index_template/@u"),
        ("PUT", "/@a2", {"mappings": {"properties": {"n": {"type": "long"}}}}),
        ("GET", "/@a2"),
        ("DELETE", "/_index_template/@t"),
        ("DELETE", "/_index_template/@t"),
        ("GET", "/_index_template/@t"),
        ("POST", "/@a1/_flush"),
        ("GET", "/_ingest/pipeline/@none"),
    ],
    "indices": [
        ("PUT", "/@a", _MAPPED),
        ("PUT", "/@a", _MAPPED),
        ("GET", "/@a/_mapping"),
        ("PUT", "/@a/_mapping", {"_meta": {"x": {"y": 1}}, "properties": {"m": {"type": "long"}}}),
        ("PUT", "/@a/_mapping", {"_meta": {"z": 1}}),
        ("GET", "/@a/_mapping"),
        ("DELETE", "/@a"),
        ("DELETE", "/@a"),
        ("GET", "/@a"),
    ],
}  # fmt: skip
