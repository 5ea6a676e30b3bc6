"""A start that is repeated with other options applies them or says why not; it ignores none."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from opensearchpy import OpenSearch

from ce2de_os.errors import ConfigError, JobError
from ce2de_os.index.language_fields import LanguageSpec
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.index.vector_field import VectorField
from ce2de_os.reindex import operate
from ce2de_os.reindex.cutover.rollback import rollback
from ce2de_os.reindex.following.adopt import adopt
from ce2de_os.reindex.job import DONE, FOLLOWING, READY, ROLLED_BACK
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.start import start
from ce2de_os.reindex.standing import standing_id
from tests.integration import indexes
from tests.integration.indexes import HashEncoder, InlineQueue, all_documents, articles, create_index

ENCODER = HashEncoder()
begin, run = partial(indexes.begin, follow=False), partial(indexes.run, follow=False)
FIELDS = TextSpec(("title", "body"))


@pytest.fixture
def queue() -> InlineQueue:
    return InlineQueue()


def test_options_that_may_change_are_taken_over(
    client: OpenSearch, index_name: str, queue: InlineQueue
) -> None:
    create_index(client, index_name, articles(3))
    begin(client, index_name, queue)
    options = {
        "hold": True, "docs_per_s": 99.0, "accept_rejected": True, "accept_unreplicated": True,
        "block": False, "max_block_s": 7.0, "follow": True,
    }  # fmt: skip
    job = begin(client, index_name, queue, **options)
    stored = {
        "accept_refused" if name == "accept_rejected" else name: value for name, value in options.items()
    }
    assert {name: getattr(job, name) for name in stored} == stored
    assert begin(client, index_name, queue, **{**options, "docs_per_s": None}).docs_per_s == 99.0


def test_options_that_would_mix_two_kinds_of_documents_are_refused(
    client: OpenSearch, index_name: str, queue: InlineQueue
) -> None:
    create_index(client, index_name, articles(3))
    client.ingest.put_pipeline(id=index_name, body={"processors": []})
    try:
        job = begin(client, index_name, queue, hold=True)
        told = f"without a pipeline, this command asks for through pipeline '{index_name}'"
        with pytest.raises(JobError, match=told):
            begin(client, index_name, queue, hold=True, pipeline=index_name)
        with pytest.raises(JobError, match="is a mirror; to change that"):
            begin(client, index_name, queue, hold=True, way="handover")
        assert Ledger(client).job(job.job_id).job == job
    finally:
        client.ingest.delete_pipeline(id=index_name)


@pytest.mark.parametrize("vector", [{"m": 32}, {"engine": "faiss"}, {"compression_level": "4x"}])
def test_a_vector_field_with_other_options_is_not_the_present_one(
    client: OpenSearch, index_name: str, queue: InlineQueue, vector: dict[str, Any]
) -> None:
    """They are fixed when a target is created; one that exists must not be taken as if it had them."""
    create_index(client, index_name, articles(3))
    job = run(client, index_name, queue, hold=True)
    (name,) = vector
    with pytest.raises(ConfigError, match=f"'{job.target}' has .*`{name}=.*choose another `target`"):
        begin(client, index_name, queue, hold=True, vector=partial(VectorField, **vector))
    other = begin(
        client, index_name, queue, hold=True, vector=partial(VectorField, **vector), target=f"{index_name}-2"
    )
    assert other.job_id != job.job_id


def test_a_job_that_was_rolled_back_is_brought_up_to_date_only_with_hold(
    client: OpenSearch, index_name: str, queue: InlineQueue
) -> None:
    alias = f"{index_name}-search"
    create_index(client, index_name, articles(5))
    client.indices.put_alias(index=index_name, name=alias)
    job = run(client, index_name, queue)
    assert job.state == DONE, job.error
    assert rollback(client, job.job_id).state == ROLLED_BACK
    client.index(index=alias, id="later", body={"title": "after the rollback"}, refresh=True)
    with pytest.raises(JobError, match="was rolled back; to move the alias again: ce2de reindex cutover"):
        begin(client, index_name, queue)
    again = run(client, index_name, queue, hold=True)
    assert (again.job_id, again.state) == (job.job_id, READY), again.error
    assert list(client.indices.get_alias(name=alias)) == [index_name]
    assert "later" in all_documents(client, job.target)


def test_settings_that_an_operator_gave_the_target_stay(
    client: OpenSearch, index_name: str, queue: InlineQueue
) -> None:
    """What the load held back is restored once; from then on the target's settings are its owner's."""
    create_index(client, index_name, articles(5), number_of_replicas=0, refresh_interval="7s")
    job = run(client, index_name, queue, hold=True)
    wanted = {"index.number_of_replicas": "2", "index.refresh_interval": "30s"}
    client.indices.put_settings(index=job.target, body=wanted)
    job = operate.cutover(client, ENCODER, job.job_id, "operator", accept_unreplicated=True)
    assert job.state == DONE
    found = client.indices.get_settings(index=job.target, flat_settings="true")[job.target]["settings"]
    assert {name: found[name] for name in wanted} == wanted


@pytest.mark.parametrize("again", ["start", "follow"])
def test_a_field_in_place_with_other_options_is_not_taken_as_if_it_had_them(
    client: OpenSearch, index_name: str, queue: InlineQueue, again: str
) -> None:
    create_index(client, index_name, articles(3), **{"index.knn": True})
    job = run(client, index_name, queue, alias=None)
    assert job.state == DONE, job.error
    request = JobRequest(index_name, FIELDS, vector=partial(VectorField, m=32))
    with pytest.raises(ConfigError, match="with `m=16`, not 32; leave the option out"):
        (start if again == "start" else adopt)(client, request, ENCODER, queue)
    following = adopt(client, JobRequest(index_name, FIELDS), ENCODER, queue)
    assert following.state == FOLLOWING
    with pytest.raises(JobError, match=f"'{following.job_id}' follows .* with `m=16`, not 32; end it first"):
        adopt(client, request, ENCODER, queue)
    with pytest.raises(JobError, match="without these languages; end it first"):
        adopt(client, JobRequest(index_name, FIELDS, languages=LanguageSpec(("en",), None)), ENCODER, queue)


def test_options_after_a_handover(client: OpenSearch, index_name: str, queue: InlineQueue) -> None:
    alias = f"{index_name}-app"
    create_index(client, index_name, articles(3))
    client.indices.put_alias(index=index_name, name=alias)
    job = run(client, index_name, queue, alias=alias)
    assert (job.state, job.way) == (DONE, "handover"), job.error
    ledger, follower = Ledger(client), standing_id(alias)
    assert begin(client, index_name, queue, alias=alias).job_id == job.job_id
    assert ledger.find_job(follower) is None, "it was asked not to follow"
    with pytest.raises(JobError, match="`way=mirror` cannot apply any more"):
        begin(client, index_name, queue, alias=alias, way="mirror")
    begin(client, index_name, queue, alias=alias, follow=True, docs_per_s=5.0)
    assert ledger.job(follower).job.docs_per_s == 5.0
    with pytest.raises(JobError, match=f"'{follower}' keeps the vectors .*`follow=False` does not apply"):
        begin(client, index_name, queue, alias=alias)
