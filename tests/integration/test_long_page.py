"""A page that takes far longer than a lease."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from opensearchpy import OpenSearch

from ce2de_os.index.text_spec import TextSpec
from ce2de_os.reindex import ledger
from ce2de_os.reindex.job import DONE
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.start import start
from ce2de_os.reindex.slices import held
from ce2de_os.reindex.slices.embedding import PIECES
from ce2de_os.reindex.slices.pipeline import run_slices
from ce2de_os.reindex.status import status
from tests.integration.indexes import HashEncoder, InlineQueue, create_index


def test_it_is_never_taken_over_and_its_progress_shows(
    client: OpenSearch, index_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (ledger, held):
        monkeypatch.setattr(module, "LEASE_S", 5.0)
    create_index(client, index_name, [{"title": "x" * 10 * 3 * PIECES}])
    text = TextSpec(("title",), None, (10, 10))
    job = start(
        client, JobRequest(index_name, text, alias=f"{index_name}-search"), HashEncoder(), InlineQueue()
    )
    seen: list[str] = []

    class Slow(HashEncoder):
        def encode_documents(self, texts: Any) -> Any:
            assert len(texts) <= PIECES
            time.sleep(4)
            return super().encode_documents(texts)

    ended = threading.Event()

    def other() -> None:
        """Tries to take the slice the whole time, as an idle worker does."""
        records = Ledger(client)
        while not ended.wait(0.5):
            stored = records.slice(job.job_id, 0)
            if stored.slice.state != DONE:
                assert records.claim(stored, "two") is None
            seen.extend([stored.slice.doing] if stored.slice.doing else [])

    watching = threading.Thread(target=other)
    watching.start()
    try:
        run_slices(client, Slow(), job.job_id, 0, "one", 20.0)
    finally:
        ended.set()
        watching.join()
    (record,) = Ledger(client).slices(job)
    assert (record.state, record.deaths, record.doing) == (DONE, 0, None)
    assert "1,024 of 1,536 passages of this page are encoded" in seen
    assert status(client, job.job_id).counts.written == 1
