"""What a copy does to numbers and texts: nothing."""

from __future__ import annotations

import json
import re

from opensearchpy import OpenSearch

from ce2de_os.index.bulk import write_documents
from ce2de_os.index.raw import search, without
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.reindex.job import DONE
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.start import start
from ce2de_os.reindex.slices.embedding import embed
from ce2de_os.reindex.slices.source import read_page
from ce2de_os.reindex.status import status
from tests.integration.indexes import HashEncoder, InlineQueue

MAPPINGS = {
    "properties": {
        "title": {"type": "text"},
        "code": {"type": "keyword"},
        "other": {"type": "object", "enabled": False},
    }
}
SOURCES = [
    '{"title":"price","code":1.10}',
    '{"title":"short for a hundred thousand","code":1E5}',
    '{"title":"24 digits","code":123456789012345678901234,"other":{"x":12345678901234567890.12345}}',
    '{"title":"small","other":0.10000000000000000001}',
    '{"title":"beyond","other":[1E400,-1E400,1e-400]}',
    '{\n  "title" : "written by hand",\n  "code" : [ "a", 2.50 ]\n}',
    '{"title":"escapes \\u0442 \\ud83d\\ude00 \\/","code":"\\ud800"}',
]


def filled(client: OpenSearch, name: str) -> None:
    client.indices.create(index=name, body={"mappings": MAPPINGS})
    for number, source in enumerate(SOURCES):
        client.index(index=name, id=str(number), body=source, refresh=True)


def test_terms_of_numbers_keep_their_digits(client: OpenSearch, index_name: str) -> None:
    filled(client, index_name)
    queue, encoder = InlineQueue(), HashEncoder()
    request = JobRequest(index_name, TextSpec(("title",)), alias=f"{index_name}-search")
    job = start(client, request, encoder, queue)
    queue.run(client, encoder)
    assert status(client, job.job_id).job.state == DONE, status(client, job.job_id).to_json()
    body = {"size": 0, "aggs": {"codes": {"terms": {"field": "code", "size": 20}}}}
    before, after = (
        {bucket["key"] for bucket in client.search(index=name, body=body)["aggregations"]["codes"]["buckets"]}
        for name in (index_name, job.target)
    )
    assert after == before
    assert {"1.10", "1E5", "123456789012345678901234"} <= after


def test_a_copied_source_is_the_same_to_the_letter(client: OpenSearch, index_name: str) -> None:
    """In an index with vectors OpenSearch 3 itself writes numbers of ``_source`` anew; not in this one."""
    filled(client, index_name)
    encoder, plain = HashEncoder(), f"{index_name}-plain"
    request = JobRequest(index_name, TextSpec(("title",)), alias=f"{index_name}-search")
    job = start(client, request, encoder, InlineQueue())
    client.indices.create(index=plain, body={"mappings": {"dynamic": False}})
    documents = read_page(client, index_name, 0, -1, 100, 100)
    write_documents(client, plain, embed(client, encoder, job, job.parts[0], documents).actions)
    client.indices.refresh(index=plain)
    found = {hit["_id"]: raw for hit, raw in search(client, plain, {"size": 20}, {})}
    for number, source in enumerate(SOURCES):
        copied = found[str(number)]
        assert copied.startswith(source.replace("\n", " ")[:-1].rstrip()), "ours are added at the end"
        ours = json.loads(copied).keys() - json.loads(source).keys()
        assert {job.vector.name, job.hash_field} <= ours
        assert re.sub(r"\s", "", without(copied, ours)) == re.sub(r"\s", "", source)
