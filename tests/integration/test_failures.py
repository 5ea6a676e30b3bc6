"""Documents and tasks that fail in ways that nobody raised on purpose."""

from __future__ import annotations

from typing import Any

import pytest
from opensearchpy import OpenSearch

from ce2de_os.reindex import dead_letters
from ce2de_os.reindex.job import DONE, FAILED, Job
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.queue import after_failure
from ce2de_os.reindex.slices.held import MOST_CONDEMNED
from ce2de_os.reindex.slices.pipeline import run_slices
from ce2de_os.reindex.status import status
from ce2de_os.reindex.syncing.retry import retry
from tests.integration.indexes import HashEncoder, InlineQueue, all_documents, articles, begin, create_index

ENCODER = HashEncoder()


class Choosy(HashEncoder):
    """Fails at some texts, as a model's runtime does at one that it cannot take."""

    word = "indigestible"

    def encode_documents(self, texts: Any) -> Any:
        if any(self.word in text for text in texts):
            raise RuntimeError("Fail: [ONNXRuntimeError]")
        return super().encode_documents(texts)


def assert_only(client: OpenSearch, job: Job, doc_id: str, error: str) -> None:
    """One document was set aside with this error, and all others arrived."""
    ((letter),) = dead_letters.letters(client, job.job_id)
    assert (letter.doc_id, letter.kind) == (doc_id, dead_letters.FAILING)
    assert error in letter.reason
    assert set(all_documents(client, job.target)) == set(all_documents(client, job.parts[0].source)) - {
        doc_id
    }
    (record,) = Ledger(client).slices(job)
    assert (record.deaths, record.failures, record.counts.refused) == (0, 0, 1)


def test_a_text_that_the_model_cannot_take_is_set_aside_and_the_rest_goes_on(
    client: OpenSearch, index_name: str
) -> None:
    create_index(client, index_name, articles(200))
    client.index(index=index_name, id="odd", body={"title": Choosy.word}, refresh=True)
    queue = InlineQueue()
    job = begin(client, index_name, queue, accept_rejected=True)
    queue.run(client, Choosy())
    assert status(client, job.job_id).job.state == DONE
    assert_only(client, job, "odd", "RuntimeError: Fail: [ONNXRuntimeError]")
    assert retry(client, Choosy(), job.job_id).refused == 1
    assert retry(client, ENCODER, job.job_id).written == 1


@pytest.mark.parametrize("depth", [400, 990])
def test_lists_as_deep_as_opensearch_takes_them_are_embedded(
    client: OpenSearch, index_name: str, depth: int
) -> None:
    create_index(client, index_name, articles(20), **{"mapping.depth.limit": 1000})
    nested = f'{{"title":{"[" * depth}"deep"{"]" * depth}}}'
    client.index(index=index_name, id="deep", body=nested, refresh=True)
    queue = InlineQueue()
    job = begin(client, index_name, queue)
    queue.run(client, ENCODER)
    found = status(client, job.job_id)
    assert (found.job.state, found.dead_letters) == (DONE, 0), found.to_json()
    assert client.get(index=job.target, id="deep")["_source"][job.hash_field] == job.text.hash_of(
        "deep", ENCODER.fingerprint
    )


def test_where_every_document_fails_the_slice_fails_with_the_error(
    client: OpenSearch, index_name: str
) -> None:
    class Broken(HashEncoder):
        def encode_documents(self, texts: Any) -> Any:
            raise TypeError("broken for all")

    create_index(client, index_name, articles(100))
    queue = InlineQueue()
    job = begin(client, index_name, queue)
    with pytest.raises(Exception, match="documents in a row failed"):
        queue.run(client, Broken())
    (record,) = Ledger(client).slices(job)
    assert record.state == FAILED
    assert f"{MOST_CONDEMNED} documents in a row failed" in str(record.last_error)
    assert "TypeError: broken for all" in str(record.last_error)


def test_an_error_outside_of_any_page_lets_the_slice_fail_the_third_time(
    client: OpenSearch, index_name: str
) -> None:
    create_index(client, index_name, articles(5))
    queue = InlineQueue()
    job = begin(client, index_name, queue)
    for _ in range(3):
        assert queue.messages, "it is tried again"
        queue.messages.clear()
        after_failure(Ledger(client), queue, job.job_id, 0, KeyError("shard"))
    assert not queue.messages
    found = status(client, job.job_id)
    assert found.job.state == FAILED
    assert "KeyError: …" in str(found.job.error)  # a message may quote a document


def test_ctrl_c_is_no_fault_of_a_document(client: OpenSearch, index_name: str) -> None:
    class Interrupted(HashEncoder):
        def encode_documents(self, texts: Any) -> Any:
            raise KeyboardInterrupt

    create_index(client, index_name, articles(5))
    job = begin(client, index_name, InlineQueue())
    with pytest.raises(KeyboardInterrupt):
        run_slices(client, Interrupted(), job.job_id, 0, "one", 20.0)
    (record,) = Ledger(client).slices(job)
    assert (record.failures, record.last_error) == (0, None)
