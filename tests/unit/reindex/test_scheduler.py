"""The scheduler in virtual time: jobs of a billion documents, workers that die, a broker that loses messages.

What decides is the real code: how a job is cut, who gets a lease, what follows a death, which messages are
sent. Only the ledger's storage, the broker and the work on a page are simulated, and no clock is waited for.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from opensearchpy import OpenSearch

from ce2de_os.index.text_spec import TextSpec
from ce2de_os.index.vector_field import VectorField
from ce2de_os.reindex.job import DONE, RUNNING, WAITING, Job, Part, Slice
from ce2de_os.reindex.ledger import Ledger, StoredJob, StoredSlice, is_poisoned
from ce2de_os.reindex.queue import after_slices, nudge
from ce2de_os.reindex.setup.cutting import cut
from ce2de_os.reindex.slices.claims import Claims, patience

RATE = 1000  # documents a second and worker
BUDGET_S = 20.0
PAGE_S = 20.0  # longer than real pages, so that the simulation has fewer events; shorter than a lease
IDLE_S = 5.0
TASK_S = 0.05  # that a task takes beside its pages
VISIBILITY_S = 300.0
FOLLOW_S = 30.0
STALL_S = 90.0
REPLACED_S = 30.0  # until another worker stands in for a dead one
BILLION = 10**9


class MemoryLedger(Ledger):
    """The ledger's rules over records in memory."""

    def __init__(self, clock: Clock, job: Job) -> None:
        super().__init__(cast(OpenSearch, None))
        self.clock, self._job = clock, StoredJob(0, 1, job)
        self.records = [
            StoredSlice(0, 1, Slice(job.job_id, number, bounds, cursor=bounds.after))
            for number, bounds in enumerate(job.ranges)
        ]

    def now(self) -> float:
        return self.clock.now_s

    def find_job(self, job_id: str) -> StoredJob | None:
        return self._job

    def slice(self, job_id: str, number: int) -> StoredSlice:
        return self.records[number]

    def stored_slices(self, job: Job) -> list[StoredSlice]:
        return list(self.records)

    def change_slice(self, stored: StoredSlice, **changes: Any) -> StoredSlice | None:
        number = stored.slice.number
        if self.records[number].seq_no != stored.seq_no:
            return None
        self.records[number] = StoredSlice(stored.seq_no + 1, 1, replace(stored.slice, **changes))
        return self.records[number]


class Clock:
    """Virtual time: what is to happen when."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def after(self, delay_s: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now_s + delay_s, next(self._order), event))

    def run(self, ended: Callable[[], bool], until_s: float) -> None:
        while self._events and not ended():
            self.now_s, _, event = heapq.heappop(self._events)
            assert self.now_s < until_s, "the job does not end"
            event()


class Broker:
    """A broker that may lose and repeat messages; what is taken and not acknowledged comes back.

    The message for the job's end, ``None``, goes before all others.
    """

    def __init__(self, clock: Clock, chance: random.Random, lose: float = 0.0, repeat: float = 0.0) -> None:
        self._clock, self._chance, self._lose, self._repeat = clock, chance, lose, repeat
        self._queue: deque[int | None] = deque()
        self._taken: dict[int, int | None] = {}
        self._tags = itertools.count()
        self.sent = self.most = 0

    def embed_slice(self, job: Job, number: int) -> None:
        self._send(number)

    def finish_job(self, job: Job) -> None:
        self._send(None)

    def following(self) -> int:
        return 0

    def waiting(self) -> int:
        return len(self._queue)

    def take(self) -> tuple[int, int | None] | None:
        if not self._queue:
            return None
        tag, message = next(self._tags), self._queue.popleft()
        self._taken[tag] = message
        self._clock.after(VISIBILITY_S, lambda: self._give_back(tag))
        return tag, message

    def acknowledge(self, tag: int) -> None:
        self._taken.pop(tag, None)

    def empty(self) -> None:
        self._queue.clear()
        self._taken.clear()

    def _give_back(self, tag: int) -> None:
        if tag in self._taken:
            self._enter(self._taken.pop(tag))

    def _send(self, message: int | None) -> None:
        self.sent += 1
        if self._chance.random() >= self._lose:
            for _ in range(2 if self._chance.random() < self._repeat else 1):
                self._enter(message)
            self.most = max(self.most, len(self._queue) + len(self._taken))

    def _enter(self, message: int | None) -> None:
        if message is None:
            self._queue.appendleft(message)
        else:
            self._queue.append(message)


@dataclass
class Simulation:
    """A job and its workers.

    Attributes:
        shards: documents in each.
        poison: documents, by shard and ``_seq_no``, that kill whoever encodes them.
        finished_s: when the job's end was announced, ``None`` before.
        stall: how likely a worker stands still when it has a lease, for longer than that.
        written: documents that a cursor has passed; ``leases_lost``: pages at whose end it could not move.
        deaths: workers that died; ``with_two``: those that had two slices in hand.
        tasks: messages that were handled; ``idle_tasks``: those that found nothing to do.
        set_aside: poison documents that were passed over.
    """

    shards: Sequence[int]
    workers: int
    seed: int = 1
    mean_life_s: float | None = None
    lose: float = 0.0
    repeat: float = 0.0
    stall: float = 0.0
    poison: frozenset[tuple[int, int]] = frozenset()
    finished_s: float | None = None
    written: int = 0
    leases_lost: int = 0
    deaths: int = 0
    with_two: int = 0
    tasks: int = 0
    idle_tasks: int = 0
    set_aside: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance, self.clock = random.Random(self.seed), Clock()
        self.job = a_job(self.shards)
        self.ledger = MemoryLedger(self.clock, self.job)
        self.broker = Broker(self.clock, self.chance, self.lose, self.repeat)
        self.busy: dict[int, Worker] = {}
        self.leases: dict[int, float] = {}
        self._names = itertools.count()

    def run(self) -> float:
        """Simulate to the end; returns its time divided by the least that the workers could need."""
        for number in range(len(self.job.ranges)):
            self.broker.embed_slice(self.job, number)
        for _ in range(self.workers):
            self.start_worker()
        self.clock.after(FOLLOW_S, self.follow)
        ideal_s = sum(self.shards) / RATE / self.workers
        self.clock.run(lambda: self.finished_s is not None, until_s=100 * ideal_s)
        assert self.finished_s is not None
        return self.finished_s / ideal_s

    def start_worker(self) -> None:
        worker = Worker(self, f"host-{next(self._names)}:1")
        self.clock.after(self.chance.random(), worker.look)
        if self.mean_life_s is not None:
            self.clock.after(self.chance.expovariate(1 / self.mean_life_s), worker.die)

    def follow(self) -> None:
        nudge(self.ledger, self.broker, self.job.job_id)
        self.clock.after(FOLLOW_S, self.follow)

    def upper_bound(self, record: Slice) -> int:
        return self.shards[record.range.shard] - 1 if record.range.upto is None else record.range.upto


class Worker:
    """Does what ``run_slices`` and the task around it do, a page at a time."""

    def __init__(self, simulation: Simulation, name: str) -> None:
        self._sim, self._name, self._alive = simulation, name, True
        self._claims = Claims(simulation.ledger, simulation.job, name, chance=simulation.chance)
        self._tag, self._deadline_s = -1, 0.0
        self._held: list[int] = []

    def die(self) -> None:
        if self._alive:
            self._alive = False
            self._sim.deaths += 1
            self._sim.with_two += len(self._held) > 1
            self._sim.clock.after(REPLACED_S, self._sim.start_worker)

    def look(self) -> None:
        if not self._alive:
            return
        taken = self._sim.broker.take()
        if taken is None:
            self._sim.clock.after(IDLE_S, self.look)
            return
        self._tag, number = taken
        if number is None:
            self._sim.finished_s = self._sim.clock.now_s
            return
        self._sim.tasks += 1
        self._claim(number, -1, self._sim.clock.now_s)

    def _claim(self, number: int, held: int, since_s: float) -> None:
        """As `Claims.named`, which sleeps instead of calling itself later."""
        if not self._alive:
            return
        ledger, now_s = self._sim.ledger, self._sim.clock.now_s
        stored = ledger.slice("", number)
        claimed = ledger.claim(stored, self._name) or self._claims.free()
        if claimed is not None:
            stall_s = STALL_S if self._sim.chance.random() < self._sim.stall else 0.0
            self._hold(claimed)
            self._sim.clock.after(stall_s, lambda: self._begin(claimed))
        elif stored.slice.state in (DONE, WAITING) or held not in (-1, stored.seq_no):
            self._sim.idle_tasks += 1
            self._pass_on(None)
        else:
            wait_s = patience(stored.slice.lease_until_s - now_s, now_s - since_s)
            self._sim.clock.after(wait_s, lambda: self._claim(number, stored.seq_no, since_s))

    def _hold(self, stored: StoredSlice) -> None:
        number, busy = stored.slice.number, self._sim.busy
        other = busy.get(number)
        if other is not None and other is not self and other._alive:
            assert self._sim.leases[number] < self._sim.clock.now_s, "two workers at one slice"
        busy[number] = self
        self._sim.leases[number] = stored.slice.lease_until_s
        self._held.append(number)

    def _begin(self, stored: StoredSlice) -> None:
        self._deadline_s = self._sim.clock.now_s + BUDGET_S
        self._page(stored)

    def _in_time(self) -> bool:
        return self._sim.clock.now_s < self._deadline_s

    def _page(self, stored: StoredSlice) -> None:
        record = stored.slice
        shard, first = record.range.shard, record.cursor + 1
        upto = self._sim.upper_bound(record)
        following = None
        if is_poisoned(record):
            self._sim.set_aside.append((shard, first))
            last, spent_s = first, 0.0
        else:
            last = min(record.cursor + (record.page_limit or int(RATE * PAGE_S)), upto)
            spent_s = (last - record.cursor) / RATE
            if last == upto and self._in_time() and record.page_limit is None:
                following = self._claims.ahead()
            if following is not None:
                self._hold(following)
            if any(where == shard and first <= seq_no <= last for where, seq_no in self._sim.poison):
                self._sim.clock.after(spent_s, self.die)
                return
        self._sim.clock.after(spent_s, lambda: self._write(stored, last, upto, following))

    def _write(self, stored: StoredSlice, last: int, upto: int, following: StoredSlice | None) -> None:
        """As `HeldSlice.write` and what follows it."""
        if not self._alive:
            return
        record, ledger = stored.slice, self._sim.ledger
        careful = max(0, record.careful - (last - record.cursor))
        end = {"state": DONE, "owner": None} if last == upto else {}
        advanced = ledger.change_slice(
            stored, cursor=last, lease_until_s=ledger.lease_end(), deaths=0, careful=careful,
            page_limit=record.page_limit if careful else None, **end,
        )  # fmt: skip
        if advanced is None:
            self._sim.leases_lost += 1
            self._let_go(record.number)
            self._go_on(following)
            return
        self._sim.leases[record.number] = advanced.slice.lease_until_s
        self._sim.written += last - record.cursor
        if last == upto:
            self._let_go(record.number)
            self._go_on(following)
        elif self._in_time():
            self._page(advanced)
        else:
            ledger.change_slice(advanced, state=WAITING, owner=None)
            self._let_go(record.number)
            self._pass_on(record.number)

    def _go_on(self, following: StoredSlice | None) -> None:
        """To the slice that was taken ahead, or to one that can only be taken with nothing in hand."""
        if following is None and self._in_time():
            following = self._claims.free()
            if following is not None:
                self._hold(following)
        if following is None:
            self._pass_on(None)
        else:
            self._page(following)

    def _let_go(self, number: int) -> None:
        self._held.remove(number)
        if self._sim.busy.get(number) is self:
            del self._sim.busy[number]

    def _pass_on(self, left: int | None) -> None:
        after_slices(self._sim.ledger, self._sim.broker, "job", left)
        self._sim.broker.acknowledge(self._tag)
        self._sim.clock.after(TASK_S, self.look)


def a_job(shards: Sequence[int]) -> Job:
    return Job(
        job_id="job",
        source="source",
        mode="copy",
        parts=(Part("source", "uuid", "target", sum(shards)),),
        alias="search",
        text=TextSpec(("text",)),
        vector=VectorField(name="v", dim=3),
        fingerprint="f" * 64,
        model="m",
        space="s",
        ranges=cut([{shard: documents - 1 for shard, documents in enumerate(shards)}]),
        created_at_s=0.0,
        state=RUNNING,
    )


def assert_all_done(simulation: Simulation) -> None:
    for record in simulation.ledger.slices(simulation.job):
        assert (record.state, record.cursor) == (DONE, simulation.upper_bound(record))


def test_a_billion_documents_in_200_shards() -> None:
    simulation = Simulation(shards=[BILLION // 200] * 200, workers=50)
    slower = simulation.run()
    assert_all_done(simulation)
    assert slower < 1.01, "50 workers at 1000 documents/s need 20,000 s at least"
    assert simulation.written == BILLION
    assert len(simulation.job.ranges) == len(simulation.ledger.records) == 200 * 5  # at most 1024
    # A message for each slice, and one more for the end of the job.
    assert simulation.broker.most <= len(simulation.job.ranges) + 1


def test_the_same_with_uneven_shards_and_many_workers() -> None:
    chance = random.Random(3)
    shards = [int(BILLION / 200 * chance.uniform(0.5, 1.5)) for _ in range(200)]
    simulation = Simulation(shards, workers=150)
    assert simulation.run() < 1.1
    assert_all_done(simulation)


def test_the_same_while_workers_die_and_messages_are_lost_and_repeated() -> None:
    poison = frozenset({(3, 1_234_567), (77, 0), (199, BILLION // 200 - 1)})
    simulation = Simulation(
        [BILLION // 200] * 200, 50, mean_life_s=3600, lose=0.001, repeat=0.01, poison=poison
    )
    emptied_at_s = 7000
    simulation.clock.after(emptied_at_s, simulation.broker.empty)
    assert simulation.run() < 1.15
    assert_all_done(simulation)
    assert simulation.deaths > 200
    assert sorted(simulation.set_aside) == sorted(poison)
    assert simulation.written == BILLION, (
        "what a dead worker had in hand is not counted, and nothing else comes twice"
    )
    assert len(simulation.ledger.records) == 200 * 5
    assert simulation.broker.most <= 2 * len(simulation.job.ranges)


@pytest.mark.parametrize("seed", range(20))
def test_a_small_job_comes_to_its_end_whatever_happens(seed: int) -> None:
    """Workers live for three tasks on average or stand still, and every tenth message is lost."""
    chance = random.Random(seed)
    poison = frozenset({(shard, chance.randrange(400_000)) for shard in range(3)})
    simulation = Simulation(
        [400_000] * 3, 4, seed, mean_life_s=60, lose=0.1, repeat=0.1, stall=0.1, poison=poison
    )
    simulation.run()
    assert_all_done(simulation)
    assert poison <= set(simulation.set_aside)  # and where three workers died by chance
    assert simulation.written == 3 * 400_000


def test_a_task_goes_from_slice_to_slice() -> None:
    """Of slices of 4.7 s four or five fit in a task; the messages of the others find nothing to do."""
    simulation = Simulation([400_000] * 3, workers=1)
    slower = simulation.run()
    assert_all_done(simulation)
    assert slower < 1.005
    working = simulation.tasks - simulation.idle_tasks
    assert working <= 3 * 400_000 / RATE / BUDGET_S + 1
    assert simulation.broker.sent <= len(simulation.job.ranges) + working + 1
    assert simulation.broker.most <= len(simulation.job.ranges) + 1


@pytest.mark.parametrize("workers", [2, 5, 30])
def test_workers_end_together(workers: int) -> None:
    simulation = Simulation([400_000] * 3, workers)
    ideal_s = 3 * 400_000 / RATE / workers
    longest_slice_s = 400_000 / 85 / RATE
    assert (simulation.run() - 1) * ideal_s < longest_slice_s + 2, "one more slice, and the start"
    assert_all_done(simulation)


@pytest.mark.parametrize("seed", range(10))
def test_of_two_slices_in_hand_only_the_one_with_the_poison_is_blamed(seed: int) -> None:
    """The poison is in a slice's last page, when the next slice is in hand already, or in a first page."""
    chance = random.Random(seed)
    bounds = chance.sample(a_job([400_000] * 3).ranges, 12)
    poison = frozenset((found.shard, found.upto or 399_999) for found in bounds[:6])
    poison |= frozenset((found.shard, found.after + 1) for found in bounds[6:])
    simulation = Simulation([400_000] * 3, 4, seed, poison=poison)
    simulation.run()
    assert_all_done(simulation)
    assert simulation.with_two >= 1
    assert sorted(simulation.set_aside) == sorted(poison)
    assert simulation.written == 3 * 400_000
    assert simulation.deaths <= 6 * len(poison)
