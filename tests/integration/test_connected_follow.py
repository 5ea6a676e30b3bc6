"""A standing job checks now and then what comes through the pipelines of `ce2de connect`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opensearchpy import OpenSearch

from ce2de_os.cli.jobs.progress import status_lines
from ce2de_os.errors import BackendError
from ce2de_os.index import admin
from ce2de_os.index.connection import Connection
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.reindex.following import connected
from ce2de_os.reindex.following.adopt import adopt
from ce2de_os.reindex.following.follow import follow
from ce2de_os.reindex.metrics import families
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.status import JobStatus, status
from tests.integration.indexes import HashEncoder, InlineQueue, articles, create_index

ENCODER = HashEncoder()
FORBIDDEN = "no permissions"
FAULT = "vectors of documents: another model answers; see the connector's URL"


class Check:
    """Says what the test has put there, and counts how often it is asked."""

    def __init__(self) -> None:
        self.answer: str | None = None
        self.asked: list[str] = []

    def __call__(self, name: str) -> str | None:
        self.asked.append(name)
        if self.answer == FORBIDDEN:
            raise BackendError(FORBIDDEN)
        return self.answer


@pytest.fixture
def job_id(client: OpenSearch, index_name: str) -> Iterator[str]:
    """The standing job of an index that is connected as ``shop``."""
    create_index(client, index_name, articles(10), **{"index.knn": True})
    request = JobRequest(index_name, TextSpec(("title",)), mode="in_place")
    yield adopt(client, request, ENCODER, InlineQueue()).job_id


def connect(client: OpenSearch, index: str, **changes: Any) -> None:
    values = {"fingerprint": ENCODER.fingerprint, "vector_field": "ce2de_vector", **changes}
    connection = Connection("shop", "http://embed.example.org:8080", **values)
    meta = {**admin.describe(client, index).mappings["_meta"], **connection.to_meta()}
    admin.put_meta(client, index, meta, {})


def look(client: OpenSearch, job_id: str, check: Check) -> JobStatus:
    """Let the job look once."""
    assert follow(client, ENCODER, InlineQueue(), job_id, "tester", 0.0, None, check)
    return status(client, job_id)


def shown(found: JobStatus) -> list[float]:
    """The samples of the metric."""
    (gauge,) = [one for one in families([found]) if one.name == "ce2de_connection_right"]
    return [sample.value for sample in gauge.samples]


def test_a_fault_is_in_the_status_until_it_is_mended(
    client: OpenSearch, index_name: str, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = Check()
    found = look(client, job_id, check)
    assert (check.asked, shown(found)) == ([], [])  # not connected

    connect(client, index_name)
    found = look(client, job_id, check)
    assert (check.asked, shown(found), found.job.connection_error) == (["shop"], [1.0], None)
    check.answer = FAULT
    look(client, job_id, check)
    assert check.asked == ["shop"], "only some minutes later again"

    monkeypatch.setattr(connected, "CHECK_S", 0.0)
    found = look(client, job_id, check)
    assert (shown(found), found.job.connection_error) == ([0.0], FAULT)
    assert f"  the pipelines of 'ce2de connect' are wrong: {FAULT}" in list(status_lines(found))

    check.answer = None
    assert look(client, job_id, check).job.connection_error == FAULT  # its own pause
    monkeypatch.setattr(connected, "AGAIN_S", 0.0)
    found = look(client, job_id, check)
    assert (shown(found), found.job.connection_error) == ([1.0], None)


def test_the_connection_of_another_model_is_not_the_job_s(
    client: OpenSearch, index_name: str, job_id: str
) -> None:
    check = Check()
    connect(client, index_name, fingerprint="b" * 64)
    assert shown(look(client, job_id, check)) == []
    connect(client, index_name, vector_field="other_vector")
    assert shown(look(client, job_id, check)) == []
    assert check.asked == []


def test_a_connection_that_was_taken_back_is_forgotten(
    client: OpenSearch, index_name: str, job_id: str
) -> None:
    check = Check()
    check.answer = FAULT
    connect(client, index_name)
    assert shown(look(client, job_id, check)) == [0.0]
    meta = admin.describe(client, index_name).mappings["_meta"]
    del meta["ce2de_connect"]
    admin.put_meta(client, index_name, meta, {})
    found = look(client, job_id, check)
    assert (shown(found), found.job.connection_error) == ([], None)


def test_a_connection_that_may_not_be_looked_at_is_neither_right_nor_wrong(
    client: OpenSearch, index_name: str, job_id: str
) -> None:
    check = Check()
    check.answer = FORBIDDEN
    connect(client, index_name)
    found = look(client, job_id, check)
    assert (shown(found), found.job.state) == ([], "following")
    assert f"  the pipelines of 'ce2de connect' cannot be checked: {FORBIDDEN}" in list(status_lines(found))
    look(client, job_id, check)
    assert check.asked == ["shop"], "not at each look"
