"""What cannot be read or written for a while: no document and no worker is to blame."""

from __future__ import annotations

from typing import Any

import pytest
from opensearchpy import OpenSearch

from ce2de_os.config import OpenSearchSettings
from ce2de_os.errors import BackendUnavailableError
from ce2de_os.index import admin, bulk
from ce2de_os.index.client import connect
from ce2de_os.local.servers import Endpoints
from ce2de_os.reindex.job import WAITING
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.slices import page_reader
from ce2de_os.reindex.slices.page_reader import PageReader
from ce2de_os.reindex.slices.pipeline import run_slices
from tests.integration.gateway import gateway
from tests.integration.indexes import HashEncoder, InlineQueue, articles, begin, create_index


def test_a_page_larger_than_the_window_is_put_together(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(20), max_result_window=5)
    reader = PageReader(client, index_name, 0, None, None)
    found, after = [], -1
    while documents := reader.read(after, 100, 16)[0]:
        assert len(documents) == min(16, 20 - len(found))
        found += [document.doc_id for document in documents]
        after = documents[-1].seq_no
    assert found == [str(number) for number in range(20)]


def test_pages_whose_answers_are_too_large_shrink_and_grow_again(
    client: OpenSearch, endpoints: Endpoints, index_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_reader, "_PAUSE_S", 0.0)
    large = [{"title": "x" * 20_000} for _ in range(10)]
    create_index(client, index_name, [*large, *articles(40)])
    found, after, sizes = [], -1, []
    with gateway(endpoints.opensearch_url) as server, connect(OpenSearchSettings(url=server.url)) as narrow:
        server.most_bytes = 90_000
        reader = PageReader(narrow, index_name, 0, None, None)
        while documents := reader.read(after, 100, 32)[0]:
            found += [document.doc_id for document in documents]
            sizes.append(len(documents))
            after = documents[-1].seq_no
    assert found == [str(number) for number in range(50)]
    assert sizes[0] == 4
    assert max(sizes) >= 16


def test_in_place_only_the_needed_fields_are_read(client: OpenSearch, index_name: str) -> None:
    sources = ({**article, "attachment": "x" * 1000, "meta": {"a": 1}} for article in articles(5))
    create_index(client, index_name, sources, knn=True)
    queue = InlineQueue()
    job = begin(client, index_name, queue, mode="in_place", alias=None)
    read: list[int] = []

    class Watching(HashEncoder):
        def encode_documents(self, texts: Any) -> Any:
            read.append(len(texts))
            return super().encode_documents(texts)

    run_slices(client, Watching(), job.job_id, 0, "one", 20.0)
    client.indices.refresh(index=index_name)
    found = client.search(index=index_name, body={"size": 10})["hits"]["hits"]
    assert read == [5]
    assert all(len(hit["_source"]["attachment"]) == 1000 for hit in found)
    assert all(job.vector.name in hit["_source"] and hit["_source"]["meta"] == {"a": 1} for hit in found)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up after two seconds instead of two minutes."""
    monkeypatch.setattr(admin.patiently, "__defaults__", (2.0,))
    monkeypatch.setattr(bulk, "PATIENCE_S", 1.0)


@pytest.mark.usefixtures("impatient")
def test_a_target_that_takes_nothing_for_a_while_costs_no_document(
    client: OpenSearch, index_name: str
) -> None:
    """Its worker gives the slice back and says why; whoever takes it next counts no death."""
    create_index(client, index_name, articles(30))
    job = begin(client, index_name, InlineQueue())
    ledger = Ledger(client)
    admin.put_settings(client, job.target, {"index.blocks.read_only_allow_delete": True})
    for name in ("one", "two", "three", "four"):
        with pytest.raises(BackendUnavailableError):
            run_slices(client, HashEncoder(), job.job_id, 0, name, 20.0)
        (record,) = ledger.slices(job)
        assert (record.state, record.owner, record.deaths, record.failures) == (WAITING, None, 0, 0)
        assert record.page_limit is None
        assert record.retry_at_s > ledger.now()
        assert "write to" in str(record.last_error)
    admin.put_settings(client, job.target, {"index.blocks.read_only_allow_delete": None})
    run_slices(client, HashEncoder(), job.job_id, 0, "five", 20.0)
    (record,) = ledger.slices(job)
    assert (record.counts.written, record.counts.refused, record.retry_at_s) == (30, 0, 0.0)
