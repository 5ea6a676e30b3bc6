"""``ce2de follow`` on indices that other tools made, and what it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from opensearchpy import OpenSearch, helpers

from ce2de_os.arrays import Embeddings
from ce2de_os.errors import (
    ArtifactMismatchError,
    Ce2deError,
    ConfigError,
    IndexSchemaError,
    JobError,
)
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.reindex import dead_letters, operate
from ce2de_os.reindex.dead_letters import DeadLetter
from ce2de_os.reindex.following import follow as following
from ce2de_os.reindex.following.adopt import adopt
from ce2de_os.reindex.following.follow import follow
from ce2de_os.reindex.job import FOLLOWING, Job
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.slices import held
from ce2de_os.reindex.status import status
from tests.integration.indexes import HashEncoder, InlineQueue, all_documents, articles, create_index

ENCODER = HashEncoder()
OTHER = HashEncoder("b" * 64, name="other")
FIELDS = TextSpec(("title", "body"))
KNN = {"index.knn": True}


@pytest.fixture
def queue() -> InlineQueue:
    return InlineQueue()


def followed(client: OpenSearch, queue: InlineQueue, name: str, **request: Any) -> Job:
    job = adopt(client, JobRequest(name, **{"text": FIELDS, **request}), ENCODER, queue)
    queue.follow(client, ENCODER)
    return Ledger(client).job(job.job_id).job


def assert_vectors(client: OpenSearch, index: str) -> None:
    for doc_id, source in all_documents(client, index).items():
        text = "\n".join(str(source[field]) for field in ("title", "body") if source.get(field))
        right = ENCODER.encode_documents([text])[0]
        np.testing.assert_allclose(source["ce2de_vector"], right, atol=1e-5, err_msg=doc_id)


def test_an_index_that_another_tool_filled_is_embedded_and_kept_up_to_date(
    client: OpenSearch, index_name: str, queue: InlineQueue
) -> None:
    create_index(client, index_name, articles(20), **KNN)
    job = followed(client, queue, index_name)
    assert (job.state, job.standing, job.mode) == (FOLLOWING, True, "in_place")
    assert_vectors(client, index_name)
    helpers.bulk(
        client, [{"_index": index_name, "_id": f"n{one}", "title": f"new {one}"} for one in range(3)]
    )
    client.update(index=index_name, id="3", body={"doc": {"title": "changed"}})
    for _ in range(2):  # its own updates come round once
        queue.follow(client, ENCODER)
    assert_vectors(client, index_name)
    assert status(client, job.job_id).lag == 0
    assert followed(client, queue, index_name, text=TextSpec(())).job_id == job.job_id, (
        "the index says the fields"
    )


def test_an_alias_on_several_indices_and_one_that_joins_later(
    client: OpenSearch, index_name: str, queue: InlineQueue
) -> None:
    alias = f"{index_name}-a"
    for number in (1, 2):
        create_index(client, f"{index_name}-{number}", articles(4), **KNN)
        client.indices.put_alias(index=f"{index_name}-{number}", name=alias)
    only = {"filter": {"match": {"title": "river"}}, "routing": "k"}
    client.indices.put_alias(index=f"{index_name}-1", name=alias, body=only)
    job = followed(client, queue, alias)
    assert set(job.sources) == {f"{index_name}-1", f"{index_name}-2"}
    create_index(client, f"{index_name}-3", articles(4), **KNN)
    client.indices.put_alias(index=f"{index_name}-3", name=alias)
    create_index(client, f"{index_name}-4", articles(1))  # without index.knn
    client.indices.put_alias(index=f"{index_name}-4", name=alias)
    for _ in range(2):  # it joins, and is embedded at the next look
        queue.follow(client, ENCODER)
    for number in (1, 2, 3):  # a filter of the alias hides no document from the vectors
        assert_vectors(client, f"{index_name}-{number}")
    assert f"'{index_name}-4' was created without index.knn" in str(Ledger(client).job(job.job_id).job.error)
    definitions = client.indices.get_alias(name=alias)[f"{index_name}-1"]["aliases"][alias]
    assert definitions["filter"] == only["filter"]


def test_vectors_of_another_model_stay_when_an_alias_is_moved_by_hand(
    client: OpenSearch, index_name: str, queue: InlineQueue
) -> None:
    """Else searches would compare vectors of two models, and nothing would say so."""
    alias, other = f"{index_name}-a", f"{index_name}-other"
    create_index(client, index_name, articles(4), **KNN)
    client.indices.put_alias(index=index_name, name=alias)
    job = followed(client, queue, alias)
    create_index(client, other, articles(4), **KNN)
    theirs = InlineQueue()
    adopt(client, JobRequest(other, FIELDS), OTHER, theirs)
    theirs.follow(client, OTHER)
    before = all_documents(client, other)
    moves = [{"remove": {"index": index_name, "alias": alias}}, {"add": {"index": other, "alias": alias}}]
    client.indices.update_aliases(body={"actions": moves})
    for _ in range(3):
        queue.follow(client, ENCODER)
    assert all_documents(client, other) == before
    found = Ledger(client).job(job.job_id).job
    assert found.state == FOLLOWING
    assert f"'{other}' has vectors of model bbbbbbbbbbbb in 'ce2de_vector'" in str(found.error)


def test_what_cannot_be_followed_is_one_clear_line(
    client: OpenSearch, index_name: str, queue: InlineQueue
) -> None:
    create_index(client, index_name, articles(3))
    create_index(client, f"{index_name}-knn", articles(3), **KNN)
    cases: list[tuple[str, TextSpec, type[Ce2deError], str]] = [
        (f"{index_name}-nothing", FIELDS, IndexSchemaError, "no such index|no open index"),
        (f"{index_name}-no*", FIELDS, IndexSchemaError, "no open index has this name; see GET _cat/indices"),
        (index_name, FIELDS, ConfigError, "without index.knn.*`mode=copy`"),
        (f"{index_name}-knn", TextSpec(()), ConfigError, "the text to embed is unknown; name the fields"),
    ]
    for name, text, kind, told in cases:
        with pytest.raises(kind, match=told) as raised:
            adopt(client, JobRequest(name, text), ENCODER, queue)
        assert "\n" not in str(raised.value)
    client.indices.close(index=f"{index_name}-knn")
    with pytest.raises(Ce2deError, match=r"closed|no open index"):
        adopt(client, JobRequest(f"{index_name}-knn", FIELDS), ENCODER, queue)


def test_two_follows_of_one_index_are_refused_and_other_fields_too(
    client: OpenSearch, index_name: str, queue: InlineQueue
) -> None:
    create_index(client, index_name, articles(3), **KNN)
    client.indices.put_alias(index=index_name, name=f"{index_name}-a")
    job = followed(client, queue, index_name)
    told = f"'{job.job_id}' keeps the vectors of '{index_name}' up to date already; end it first"
    with pytest.raises(JobError, match=told):
        adopt(client, JobRequest(f"{index_name}-a", FIELDS), ENCODER, queue)
    with pytest.raises(JobError, match="asks for title; end it first: ce2de reindex cancel"):
        adopt(client, JobRequest(index_name, TextSpec(("title",))), ENCODER, queue)
    assert adopt(client, JobRequest(index_name, FIELDS, docs_per_s=9.0), ENCODER, queue).docs_per_s == 9.0
    operate.cancel(client, job.job_id)
    assert followed(client, queue, f"{index_name}-a").state == FOLLOWING


def test_a_worker_with_another_model_leaves_a_follow_as_it_is(
    client: OpenSearch, index_name: str, queue: InlineQueue
) -> None:
    """Its model was uninstalled: nothing is embedded with the wrong one, the job waits."""
    create_index(client, index_name, articles(3), **KNN)
    job = followed(client, queue, index_name)
    client.index(index=index_name, id="new", body={"title": "new"}, refresh=True)
    with pytest.raises(ArtifactMismatchError, match="set CE2DE_ARTIFACT to the job's model"):
        follow(client, OTHER, queue, job.job_id, "other", 0.0)
    found = status(client, job.job_id)
    assert found.job.state == FOLLOWING
    assert found.lag
    assert "ce2de_vector" not in client.get(index=index_name, id="new")["_source"]
    queue.follow(client, ENCODER)
    assert_vectors(client, index_name)


class CountingEncoder(HashEncoder):
    """Keeps the texts that it was given."""

    def __init__(self) -> None:
        super().__init__()
        object.__setattr__(self, "texts", [])

    def encode_documents(self, texts: Sequence[str]) -> Embeddings:
        self.texts.extend(texts)
        return super().encode_documents(texts)


@pytest.mark.parametrize("name", ["itself", "alias", "pattern"])
@pytest.mark.parametrize("looks", [0, 2])
def test_an_index_that_is_deleted_and_created_again_is_followed_on(
    client: OpenSearch, index_name: str, queue: InlineQueue, name: str, looks: int
) -> None:
    create_index(client, index_name, articles(5), **KNN)
    name = {"itself": index_name, "alias": f"{index_name}-alias", "pattern": f"{index_name}*"}[name]
    if name.endswith("-alias"):
        client.indices.put_alias(index=index_name, name=name)
    job = followed(client, queue, name)
    client.indices.delete(index=index_name)
    for _ in range(looks):
        queue.follow(client, ENCODER)
        found = Ledger(client).job(job.job_id).job
        assert found.state == FOLLOWING
        assert found.error == f"'{name}': no open index has this name at present; the job waits for one"
    create_index(client, index_name, articles(7), **KNN)
    if name.endswith("-alias"):
        client.indices.put_alias(index=index_name, name=name)
    queue.follow(client, ENCODER)
    found = Ledger(client).job(job.job_id).job
    assert (found.state, found.error) == (FOLLOWING, None)
    assert_vectors(client, index_name)


def test_a_rejected_document_of_an_index_that_is_away_does_not_end_the_job(
    client: OpenSearch, index_name: str, queue: InlineQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "LETTERS_S", -1.0)
    create_index(client, index_name, articles(5), **KNN)
    job = followed(client, queue, index_name)
    dead_letters.add(client, [DeadLetter(job.job_id, 0, index_name, "3", None, 400, "kind", "why", 0.0)])
    client.indices.delete(index=index_name)
    for _ in range(2):
        queue.follow(client, ENCODER)
        assert Ledger(client).job(job.job_id).job.state == FOLLOWING


@pytest.mark.parametrize("name", ["itself", "alias"])
@pytest.mark.parametrize("looks", [0, 2])
def test_an_index_that_is_closed_for_a_while_is_followed_on_where_it_stopped(
    client: OpenSearch, index_name: str, queue: InlineQueue, name: str, looks: int
) -> None:
    create_index(client, index_name, articles(5), **KNN)
    client.indices.put_alias(index=index_name, name=f"{index_name}-alias")
    job = followed(client, queue, index_name if name == "itself" else f"{index_name}-alias")
    client.indices.close(index=index_name)
    for _ in range(looks):
        queue.follow(client, ENCODER)
        assert Ledger(client).job(job.job_id).job.state == FOLLOWING
    client.indices.open(index=index_name)
    client.index(index=index_name, id="new", body={"title": "new"}, refresh=True)
    encoder = CountingEncoder()
    for _ in range(2):
        queue.follow(client, encoder)
    assert_vectors(client, index_name)
    assert encoder.texts == ["new"], "documents that have their vectors are not embedded again"
    found = Ledger(client).job(job.job_id).job
    assert (found.state, found.error) == (FOLLOWING, None)


@pytest.mark.parametrize("change", ["deleted", "recreated", "closed", "closed for a moment"])
def test_an_index_that_goes_away_while_its_documents_are_embedded(
    client: OpenSearch, index_name: str, queue: InlineQueue, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_index(client, index_name, articles(5), **KNN)
    job = followed(client, queue, index_name)
    client.index(index=index_name, id="new", body={"title": "new"}, refresh=True)

    closed: list[Any] = []

    class Meddling(HashEncoder):
        def encode_documents(self, texts: Sequence[str]) -> Embeddings:
            if change.startswith("closed"):
                if not closed:
                    closed.append(client.indices.close(index=index_name))
            else:
                client.indices.delete(index=index_name)
            if change == "recreated":
                create_index(client, index_name, articles(3), **KNN)
            return super().encode_documents(texts)

    check = held.check_still_there

    def check_and_open(*arguments: Any) -> None:
        try:
            check(*arguments)
        finally:
            client.indices.open(index=index_name)

    if change == "closed for a moment":
        monkeypatch.setattr(held, "check_still_there", check_and_open)
    queue.follow(client, Meddling())
    assert Ledger(client).job(job.job_id).job.state == FOLLOWING
    assert client.indices.exists(index=index_name) == (change != "deleted"), "a write must not create it"
    if change == "deleted":
        create_index(client, index_name, articles(7), **KNN)
    if change == "closed":
        client.indices.open(index=index_name)
    for _ in range(2):
        queue.follow(client, ENCODER)
    found = Ledger(client).job(job.job_id).job
    assert (found.state, found.error) == (FOLLOWING, None)
    assert_vectors(client, index_name)
    assert status(client, job.job_id).errors == ()
