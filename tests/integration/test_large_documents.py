"""Documents and pages that are larger than the cluster takes in one request."""

from __future__ import annotations

from opensearchpy import OpenSearch

from ce2de_os.index.bulk import TOO_LARGE, WriteAction, write_documents
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.reindex import dead_letters
from ce2de_os.reindex.job import DONE
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.start import start
from ce2de_os.reindex.status import status
from tests.integration.indexes import HashEncoder, InlineQueue, all_documents, articles, create_index

LIMIT = 1024 * 1024


def test_one_document_over_the_limit_is_set_aside_and_the_rest_goes_on(small_client: OpenSearch) -> None:
    create_index(small_client, "articles", articles(300))
    header = len('{"title":"","body":""}')
    largest = {"title": "fits", "body": "x" * (LIMIT - header - 1000)}
    small_client.index(index="articles", id="large", body={**largest, "body": largest["body"] + "x" * 990})
    small_client.index(index="articles", id="russian", body={"title": "т" * 450_000}, refresh=True)
    queue, encoder = InlineQueue(), HashEncoder()
    request = JobRequest("articles", TextSpec(("title",)), alias="search", accept_rejected=True)
    job = start(small_client, request, encoder, queue)
    queue.run(small_client, encoder)
    found = status(small_client, job.job_id)
    assert found.job.state == DONE, found.to_json()
    ((letter),) = dead_letters.letters(small_client, job.job_id)
    assert (letter.doc_id, letter.status, letter.kind) == ("large", 413, TOO_LARGE)
    assert "http.max_content_length" in letter.reason
    copied = all_documents(small_client, job.target)
    assert set(copied) == set(all_documents(small_client, "articles")) - {"large"}
    assert copied["russian"]["title"] == "т" * 450_000  # 900 kB, which escapes would make 2.7 MB


def test_a_request_over_the_limit_is_halved_until_it_fits(small_client: OpenSearch) -> None:
    actions = [WriteAction(str(number), 1, None, {"text": "x" * 150_000}) for number in range(40)]
    report = write_documents(small_client, "many", actions)
    assert (report.written, report.refused) == (40, [])
