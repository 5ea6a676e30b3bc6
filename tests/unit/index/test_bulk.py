"""Bulk requests as they are built and read; no server."""

import json

import pytest

from ce2de_os.errors import BulkWriteError
from ce2de_os.index.bulk import (
    Action,
    BulkReport,
    DeleteAction,
    Refusal,
    UpdateAction,
    WriteAction,
    _Answer,
    _enter,
    _Entry,
    _serialize,
    _share,
)
from ce2de_os.index.bulk.pace import LEAST_BYTES, BulkPace
from ce2de_os.index.json_text import JsonText


def lines(action: Action) -> list[dict]:
    payload = _serialize(action).payload
    assert payload.endswith(b"\n")
    return [json.loads(line) for line in payload.decode().splitlines()]


def test_a_write_carries_the_source_version():
    assert lines(WriteAction("a", 7, "r", {"title": "x"})) == [
        {"index": {"_id": "a", "routing": "r", "version": 7, "version_type": "external_gte"}},
        {"title": "x"},
    ]


def test_an_update_and_a_delete_hold_for_the_document_as_it_was_read():
    unchanged = {"_id": "a", "if_seq_no": 5, "if_primary_term": 2}
    assert lines(UpdateAction("a", 5, 2, None, {"v": [1]})) == [{"update": unchanged}, {"doc": {"v": [1]}}]
    assert lines(DeleteAction("a", "r", 5, 2)) == [{"delete": {**unchanged, "routing": "r"}}]


def test_lone_surrogates_travel_as_escapes():
    assert rb"\ud800" in _serialize(WriteAction("a", 1, None, {"title": "\ud800"})).payload


def entries(*sizes: int) -> list[_Entry]:
    return [_Entry(str(number), b"x" * size) for number, size in enumerate(sizes)]


def shares(sizes: list[int], in_flight: int, request_bytes: int) -> list[list[int]]:
    pace = BulkPace()
    pace.in_flight, pace.request_bytes = in_flight, request_bytes
    return [[len(entry.payload) for entry in request] for request in _share(entries(*sizes), pace)]


KB = 1024


def test_a_page_is_shared_evenly_among_the_requests_in_flight():
    requests = shares([10 * KB] * 400, in_flight=4, request_bytes=8192 * KB)
    assert sum(map(len, requests)) == 400
    assert [len(request) for request in requests] == [101, 101, 101, 97]


def test_small_pages_are_not_cut():
    assert len(shares([KB] * 100, in_flight=4, request_bytes=8192 * KB)) == 1


def test_no_request_is_larger_than_the_pace_allows_unless_one_document_is():
    requests = shares([40 * KB, 40 * KB, 900 * KB, KB], in_flight=1, request_bytes=LEAST_BYTES)
    assert requests == [[40 * KB], [40 * KB], [900 * KB], [KB]]


def entered(*items: dict) -> tuple[BulkReport, list[str]]:
    report = BulkReport()
    answer = _Answer(entries(*[1] * len(items)), list(items), 0.1)
    return report, [entry.doc_id for entry in _enter("articles", answer, report)]


def error(kind: str, reason: str = "because") -> dict:
    return {"type": kind, "reason": reason}


def test_every_item_is_counted_once():
    report, again = entered(
        {"status": 201, "_seq_no": 7},
        {"status": 200, "_seq_no": 9},
        {"status": 409, "error": error("version_conflict_engine_exception")},
        {"status": 404, "error": error("document_missing_exception")},
        {"status": 400, "error": error("mapper_parsing_exception", "no number")},
        {"status": 429, "error": error("rejected_execution_exception")},
        {"status": 503, "error": error("unavailable_shards_exception")},
        {"status": 403, "error": error("cluster_block_exception")},
    )
    assert (report.written, report.already_newer, report.rejected) == (2, 2, 1)
    assert report.seq_nos == [7, 9]
    assert report.refused == [Refusal("4", 400, "mapper_parsing_exception", "no number")]
    assert again == ["5", "6", "7"]


@pytest.mark.parametrize(
    ("status", "kind"), [(403, "security_exception"), (404, "index_not_found_exception")]
)
def test_what_is_no_documents_fault_stops_the_call_instead_of_refusing_every_document(status, kind):
    with pytest.raises(BulkWriteError, match=r"write to 'articles': because \(HTTP 40[34]\)"):
        entered({"status": status, "error": error(kind)})


def test_json_that_is_written_already_is_taken_over():
    vector = JsonText("[0.5,-1]")
    written = WriteAction("a", 1, None, {"title": 'a "b"', "v": vector, "n": None})
    assert lines(written)[1] == {"title": 'a "b"', "n": None, "v": [0.5, -1]}
    assert lines(UpdateAction("a", 5, 2, None, {'"': vector}))[1] == {"doc": {'"': [0.5, -1]}}
    assert lines(WriteAction("a", 1, None, {}))[1] == {}
