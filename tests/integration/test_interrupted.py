"""A worker dies, or an operator interferes, at a certain moment of a job."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from opensearchpy import OpenSearch

from ce2de_os.errors import Ce2deError, JobError
from ce2de_os.index import aliases
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.reindex import operate
from ce2de_os.reindex.cutover.finish import finish
from ce2de_os.reindex.cutover.rollback import rollback
from ce2de_os.reindex.job import DONE, FINISHING, ROLLED_BACK, Job
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.start import start
from ce2de_os.reindex.slices.pipeline import run_slice
from tests.integration.indexes import HashEncoder, InlineQueue, articles, create_index

ENCODER = HashEncoder()
OTHER = HashEncoder("b" * 64, name="other")
FIELDS = TextSpec(("title", "body"))


class DeathError(BaseException):
    """A worker was killed: it cleans nothing up."""


@pytest.fixture
def at_step(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], object]], None]:
    """Let something happen when a job first reaches a step."""

    def register(step: str, action: Callable[[], object]) -> None:
        left = [step]

        def reached(name: str, _job_id: str) -> None:
            if name in left:
                left.remove(name)
                action()

        for module in ("switch", "finish"):
            monkeypatch.setattr(import_module(f"ce2de_os.reindex.cutover.{module}"), "reached", reached)

    return register


def die() -> None:
    raise DeathError


def begin(client: OpenSearch, name: str, encoder: Any = ENCODER, **options: Any) -> tuple[Job, InlineQueue]:
    queue = InlineQueue()
    options = {"alias": f"{name}-app", "follow": False, **options}
    return start(client, JobRequest(name, FIELDS, **options), encoder, queue), queue


def test_the_alias_of_before_is_known_to_whoever_finishes_the_job(
    client: OpenSearch, index_name: str, at_step: Any
) -> None:
    """Once it has moved, its present definition is no longer that of before."""
    create_index(client, index_name, articles(5))
    first, queue = begin(client, index_name)
    queue.run(client, ENCODER)
    before = aliases.definitions(client, str(first.alias))
    assert list(before) == [first.target]
    job, queue = begin(client, index_name, OTHER)
    at_step("alias_moved", die)
    with pytest.raises(DeathError):
        queue.run(client, OTHER)
    finish(client, OTHER, job.job_id, "another", is_gone=lambda owner: owner == "tester")
    job = Ledger(client).job(job.job_id).job
    assert (job.state, job.previous) == (DONE, (first.target,)), job.error
    assert rollback(client, job.job_id).state == ROLLED_BACK
    assert aliases.definitions(client, str(first.alias)) == before


@pytest.mark.parametrize("step", ["switching", "alias_moved"])
def test_nobody_ends_a_job_while_the_truth_moves(
    client: OpenSearch, index_name: str, at_step: Any, step: str
) -> None:
    create_index(client, index_name, articles(5))
    client.indices.put_alias(index=index_name, name=f"{index_name}-app")
    job, queue = begin(client, index_name)
    told: list[str] = []

    def interfere() -> None:
        for command in (operate.pause, operate.cancel):
            with pytest.raises(JobError) as raised:
                command(client, job.job_id)
            told.append(str(raised.value))

    at_step(step, interfere)
    queue.run(client, ENCODER)
    assert [f"job '{job.job_id}' is switching" in error for error in told] == [True, True]
    job = Ledger(client).job(job.job_id).job
    assert (job.state, job.truth, job.previous) == (DONE, "target", (index_name,))


def test_a_worker_that_still_encodes_writes_nothing_after_its_job_was_cancelled_and_cleaned(
    client: OpenSearch, index_name: str
) -> None:
    """A bulk request would make the deleted target again, with a mapping that OpenSearch guesses."""
    create_index(client, index_name, articles(30))
    job, _ = begin(client, index_name)

    class Slow(HashEncoder):
        def encode_documents(self, texts: Any) -> Any:
            if client.indices.exists(index=job.target):
                operate.cancel(client, job.job_id)
                assert operate.clean(client, job.job_id, targets=True) == [job.target]
            return super().encode_documents(texts)

    with pytest.raises(Ce2deError, match=r"may not write to|no job"):
        run_slice(client, Slow(), job.job_id, 0, "late", 20.0)
    assert not client.indices.exists(index=job.target)


def test_a_worker_that_died_in_the_switch_leaves_it_to_the_command(
    client: OpenSearch, index_name: str, at_step: Any
) -> None:
    """Without any worker an operator completes or undoes it; writes must not stay blocked."""
    create_index(client, index_name, articles(5))
    client.indices.put_alias(index=index_name, name=f"{index_name}-app")
    job, queue = begin(client, index_name)
    at_step("blocked", die)
    with pytest.raises(DeathError):
        queue.run(client, ENCODER)
    stored = Ledger(client).job(job.job_id)
    assert (stored.job.state, stored.job.truth) == (FINISHING, "switching")
    Ledger(client).change_job(stored, lease_until_s=0.0)  # it has run out
    assert operate.cutover(client, ENCODER, job.job_id, "operator").state == DONE
    client.index(index=f"{index_name}-app", id="new", body={"title": "written again"})
