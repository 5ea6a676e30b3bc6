"""Applications write during a whole job and after it, workers are killed at every step: nothing is lost.

Each test prints what the alias shows differently from what was acknowledged; all must be 0.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from opensearchpy import OpenSearch

from ce2de_os.index.client import backend_errors
from ce2de_os.local.servers import Endpoints, LocalServers
from ce2de_os.reindex import operate
from ce2de_os.reindex.cutover.steps import Step
from ce2de_os.reindex.job import DONE, Job
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.standing import standing_id
from tests.integration.indexes import TEXT_MAPPING, articles, create_index
from tests.integration.jobs import FIELDS, Run, has_ended, wait_for
from tests.integration.journal import Fields, Journal, settle
from tests.integration.killing import DIE, DIE_WITH_ALL, WAIT, MortalWorkers
from tests.integration.writers import Route, traffic, writer_client

DOCUMENTS = 300
BEFORE_S, AFTER_S = 1.0, 2.0
RATE = 120.0
SETTLED_S = 45.0

MIRROR_STEPS: tuple[Step | None, ...] = (
    None, "restored", "caught_up", "compared", "verified", "alias_moved", "follow_started",
)  # fmt: skip
HANDOVER_STEPS: tuple[Step | None, ...] = (
    None, "restored", "caught_up", "compared", "verified", "switching", "blocked", "drained",
    "compared_again", "alias_moved", "truth_moved", "follow_started",
)  # fmt: skip
UNBLOCKED_STEPS: tuple[Step | None, ...] = (None, "alias_moved")  # each waits half a minute for late writes
IN_PLACE_STEPS: tuple[Step | None, ...] = (None, "caught_up", "verified", "follow_started")

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def workers(servers: LocalServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MortalWorkers]:
    """One worker for the whole file."""
    endpoints = servers.endpoints() or servers.up()
    env = {
        **os.environ,
        "CE2DE_OPENSEARCH_URL": endpoints.opensearch_url,
        "CE2DE_BROKER_URL": endpoints.broker_url,
    }
    with MortalWorkers(tmp_path_factory.mktemp("mortal"), env) as started:
        yield started


class Scene:
    """An index, its alias and its applications; `run` does a whole job, and compares."""

    def __init__(
        self, client: OpenSearch, url: str, name: str, ce2de: Run, workers: MortalWorkers,
        say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.client, self.url, self.ce2de, self.workers, self.say = client, url, ce2de, workers, say
        self.name, self.index, self.alias = name, f"{name}-1", f"{name}-a"
        self.meanwhile: Callable[[], None] = lambda: None
        self.journal = Journal({str(number): each for number, each in enumerate(articles(DOCUMENTS))})

    def create(self, **settings: object) -> None:
        create_index(self.client, self.index, articles(DOCUMENTS), number_of_replicas=0, **settings)

    def run(self, what: str, routes: list[Route], options: tuple[str, ...], shown: str) -> None:
        """Write by ``routes``, start a job with ``options``, and compare ``shown`` at the end."""
        self.workers.mend()
        connect = lambda: writer_client(self.url)  # noqa: E731
        with traffic(connect, self.journal, routes, RATE) as running:
            time.sleep(BEFORE_S)
            job = self._job(options)
            time.sleep(AFTER_S)
        fields = Fields.of(job)
        began_s = time.monotonic()
        verdict = settle(self.client, self.journal, shown, fields, SETTLED_S)
        settled_s = time.monotonic() - began_s
        # How long writes stood still is what those saw that write through the alias.
        report = replace(running.report(), stood_still_s=running.report(routes[0]).stood_still_s)
        if not job.block:
            # For a moment the alias shows the target before the last writes; what was written on both sides
            # cannot be ordered, and the job says which documents these are.
            unordered = Ledger(self.client).job(job.job_id).job.unordered
            what += f" ({len(unordered)} written on both sides)"
            verdict = verdict.at_the_end(but=unordered)
        self.say(f"{what}: {verdict}; {report}; settled in {settled_s:.1f} s")
        assert not report.errors, report.errors[:3]
        assert verdict.is_clean, verdict.explain()

    def _job(self, options: tuple[str, ...]) -> Job:
        started = self.ce2de("reindex", "start", *options, *FIELDS, "--detach", "--json")
        assert started.returncode == 0, started.stderr
        job_id = started.stdout.split('"job_id": "')[1].split('"')[0]
        self.meanwhile()
        found = wait_for(self.client, job_id, has_ended)
        assert found.job.state == DONE, (found.job.error, found.errors, self.workers.said())
        return found.job

    def end(self) -> None:
        """Let nobody follow what is deleted next."""
        ledger = Ledger(self.client)
        for followed in (self.alias, self.index):
            if ledger.find_job(standing_id(followed)) is not None:
                operate.cancel(self.client, standing_id(followed))
        with backend_errors("allow deleting"):
            self.client.indices.put_settings(
                index=f"{self.name}*", body={"index.blocks.write": None}, params={"allow_no_indices": "true"}
            )


@pytest.fixture
def scene(
    client: OpenSearch,
    endpoints: Endpoints,
    index_name: str,
    ce2de: Run,
    workers: MortalWorkers,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Scene]:
    def say(line: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{line}\n")

    made = Scene(client, endpoints.opensearch_url, index_name, ce2de, workers, say)
    yield made
    made.end()


def kill_at(scene: Scene, step: Step | None, action: str = DIE) -> None:
    """Order the death, and see that it came."""
    scene.workers.orders.at(step, action)
    if step is not None:
        scene.meanwhile = scene.workers.orders.wait_until_done


@pytest.mark.parametrize("step", MIRROR_STEPS, ids=str)
def test_a_mirror(scene: Scene, step: Step | None) -> None:
    scene.create()
    kill_at(scene, step)
    by_name = Route(scene.index)
    by_alias = Route(scene.alias, is_alias=True, may_be_refused=True)
    options = (scene.index, "--alias", scene.alias)
    scene.run(f"mirror, killed at {step}", [by_name, by_name, by_alias], options, scene.alias)


@pytest.mark.parametrize("step", HANDOVER_STEPS, ids=str)
def test_a_handover(scene: Scene, step: Step | None) -> None:
    hand_over(scene, step, f"handover, killed at {step}")


@pytest.mark.parametrize("step", UNBLOCKED_STEPS, ids=str)
def test_a_handover_without_a_block(scene: Scene, step: Step | None) -> None:
    hand_over(scene, step, f"handover without a block, killed at {step}", "--no-block", by_name=False)


@pytest.mark.parametrize("step", ["blocked", "alias_moved", "truth_moved"])
def test_a_handover_whose_whole_worker_dies(scene: Scene, step: Step) -> None:
    scene.meanwhile = lambda: (scene.workers.orders.wait_until_done(), time.sleep(0.5), scene.workers.mend())
    hand_over(scene, step, f"handover, the whole worker killed at {step}", action=DIE_WITH_ALL)


@pytest.mark.parametrize("step", ["switching", "blocked", "alias_moved"])
def test_a_handover_whose_opensearch_dies(scene: Scene, servers: LocalServers, step: Step) -> None:
    def restart() -> None:
        scene.workers.orders.wait_until_done()
        servers.kill_node(1)
        servers.up()
        scene.workers.orders.let_go()

    scene.meanwhile = restart
    hand_over(scene, step, f"handover, OpenSearch killed at {step}", action=WAIT)


@pytest.mark.parametrize("step", ["blocked", "truth_moved"])
def test_a_handover_whose_redis_dies(scene: Scene, servers: LocalServers, step: Step) -> None:
    def restart() -> None:
        scene.workers.orders.wait_until_done()
        servers.stop_redis()
        servers.up()
        scene.workers.orders.let_go()

    scene.meanwhile = restart
    hand_over(scene, step, f"handover, Redis stopped at {step}", action=WAIT)


def hand_over(
    scene: Scene, step: Step | None, what: str, *options: str, action: str = DIE, by_name: bool = True
) -> None:
    """Applications write by an alias, and by the name of the index until that takes no writes any more."""
    scene.create()
    scene.client.indices.put_alias(index=scene.index, name=scene.alias)
    meanwhile = scene.meanwhile
    kill_at(scene, step, action)
    if action != DIE:
        scene.meanwhile = meanwhile
    by_alias = Route(scene.alias, is_alias=True)
    routes = [by_alias, by_alias, *([Route(scene.index)] if by_name else [])]
    scene.run(what, routes, (scene.index, "--alias", scene.alias, *options), scene.alias)


@pytest.mark.parametrize("step", IN_PLACE_STEPS, ids=str)
def test_in_place(scene: Scene, step: Step | None) -> None:
    scene.create(**{"index.knn": True})
    kill_at(scene, step)
    by_name = Route(scene.index)
    scene.run(f"in place, killed at {step}", [by_name, by_name], (scene.index,), scene.index)


def test_a_data_stream_that_rolls_over_meanwhile(scene: Scene) -> None:
    template = {
        "index_patterns": [scene.name],
        "data_stream": {},
        "template": {
            "settings": {"number_of_replicas": 0},
            "mappings": {"properties": {**TEXT_MAPPING["properties"], "@timestamp": {"type": "date"}}},
        },
    }
    scene.client.indices.put_index_template(name=scene.name, body=template)
    scene.client.indices.create_data_stream(name=scene.name)
    scene.journal = Journal()
    scene.workers.orders.at(None)
    scene.meanwhile = lambda: scene.client.indices.rollover(alias=scene.name)
    route = Route(scene.name, is_stream=True, by_index=True, search=scene.name)
    options = (scene.name, "--alias", scene.alias)
    try:
        scene.run("data stream", [route, route], options, scene.alias)
    finally:
        scene.client.indices.delete_data_stream(name=scene.name)
        scene.client.indices.delete_index_template(name=scene.name)


def test_a_worker_that_is_killed_has_a_folder_of_orders(tmp_path: Path) -> None:
    """The driver itself: an order is carried out once, at the right occurrence."""
    from tests.integration.killing import Orders

    orders = Orders(tmp_path)
    orders.at("blocked", WAIT, occurrence=2)
    orders.let_go()
    orders.carry_out("switching")
    orders.carry_out("blocked")
    assert not orders.is_done()
    orders.carry_out("blocked")
    assert orders.is_done()
    assert orders.reached() == ["switching", "blocked", "blocked"]
