"""Applications that write all the time, by an alias or by an index's name, and keep a journal of it."""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from opensearchpy import OpenSearch
from opensearchpy.exceptions import ConnectionError as OpenSearchConnectionError
from opensearchpy.exceptions import TransportError

from tests.integration.journal import Document, Entry, Journal

_RETRY_S = 0.02
_PROBES_S = 20.0  # changes a second of an application that only sees whether they are refused
_LAST_TRIES_S = 10.0
_PATIENCE_S = 120.0
_BUSY, _UNAVAILABLE = 429, 503
_BLOCKED, _MISSING = "cluster_block_exception", "document_missing_exception"
_CONFLICT = "version_conflict_engine_exception"
_WORDS = ("river", "engine", "poem", "harvest", "signal", "marble", "voyage", "lantern", "orchard", "bridge")
_WAYS = {"insert": 4, "full": 4, "partial": 3, "aside": 1, "delete": 2, "again": 1}


@dataclass(frozen=True)
class Route:
    """How an application addresses what it writes.

    Attributes:
        name: an alias, an index or a data stream.
        is_alias: a write fails if there is no such alias, instead of making an index of that name.
        is_stream: documents are only ever created by this name, with a time.
        by_index: an existing document is changed in the index that holds it, as behind a rollover alias.
        search: where such an application looks for the index of a document.
        may_be_refused: the application expects that its writes are refused, and leaves them.
    """

    name: str
    is_alias: bool = False
    is_stream: bool = False
    by_index: bool = False
    search: str | None = None
    may_be_refused: bool = False


@dataclass(frozen=True)
class Change:
    """One change of one document: an action of a bulk request."""

    way: str
    doc_id: str
    state: Document | None
    changes: Document | None = None
    routing: str | None = None


@dataclass
class Seen:
    """What a writer met beside acknowledgements.

    Attributes:
        acknowledged: changes that OpenSearch said it had done; ``unknown``: those that it did not answer.
        refused: reasons of refusals that were not retried, with their number.
        stood_still_s: how long each request waited until a block, or an overload, was over.
        left: changes that were still refused at the end, and did not happen.
        errors: what must not happen at all.
    """

    acknowledged: int = 0
    unknown: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    stood_still_s: list[float] = field(default_factory=list)
    left: int = 0
    errors: list[str] = field(default_factory=list)


class Writer(threading.Thread):
    """One thread of an application: ``rate`` changes a second in small bulk requests."""

    def __init__(
        self, client: OpenSearch, journal: Journal, route: Route, number: int, rate: float, batch: int,
        owned: Sequence[str],
    ) -> None:  # fmt: skip
        super().__init__(name=f"writer-{number}", daemon=True)
        self.seen = Seen()
        self._client, self._journal, self._route = client, journal, route
        self._number, self._pause_s, self._batch = number, batch / rate, batch
        self._chance, self._counter = random.Random(number), 0
        self._alive = [doc_id for doc_id in owned if journal.entry(doc_id).state is not None]
        self._dead: list[str] = []
        self._over, self._last_try_s = threading.Event(), float("inf")

    def finish(self) -> None:
        """Let the writer end after the request that it is at."""
        self._last_try_s = time.monotonic() + _LAST_TRIES_S
        self._over.set()

    def run(self) -> None:
        due_s = time.monotonic()
        while not self._over.wait(max(0.0, due_s - time.monotonic())):
            try:
                self._write(self._next_changes())
            except Exception as error:  # shown by the test, which would else wait for nothing
                self.seen.errors.append(f"{self.name}: {error!r}")
                return
            due_s = max(due_s + self._pause_s, time.monotonic() - 5 * self._pause_s)

    def _next_changes(self) -> list[Change]:
        chosen: dict[str, Change] = {}
        while len(chosen) < self._batch:
            change = self._next_change()
            chosen.setdefault(change.doc_id, change)
        return list(chosen.values())

    def _next_change(self) -> Change:
        self._counter += 1
        way = self._chance.choices(list(_WAYS), list(_WAYS.values()))[0]
        if way in ("full", "partial", "aside", "delete") and self._alive:
            return self._change(way, self._chance.choice(self._alive))
        if way == "again" and self._dead and not self._route.is_stream:
            doc_id = self._chance.choice(self._dead)
            return Change("insert", doc_id, self._document(), routing=self._journal.entry(doc_id).routing)
        doc_id = f"w{self._number}-{self._counter}"
        routed = self._counter % 7 == 0 and not self._route.is_stream
        return Change("insert", doc_id, self._document(), routing=f"r{self._counter % 3}" if routed else None)

    def _change(self, way: str, doc_id: str) -> Change:
        entry = self._journal.entry(doc_id)
        if way == "delete":
            return Change(way, doc_id, None, routing=entry.routing)
        new = self._document()
        if way == "full" and not self._route.is_stream:  # a data stream takes no such writes
            return Change(way, doc_id, new, routing=entry.routing)
        kept = ("counter",) if way == "aside" else ("counter", "title")  # the counter alone is no text
        changes = {key: new[key] for key in kept}
        return Change("partial", doc_id, {**(entry.state or {}), **changes}, changes, entry.routing)

    def _document(self) -> dict[str, Any]:
        first, second = self._chance.choices(_WORDS, k=2)
        document: dict[str, Any] = {
            "title": f"{first} and {second} {self._counter}",
            "body": f"An account of the {second} by writer {self._number}.",
            "counter": self._counter,
        }
        if self._route.is_stream:
            document["@timestamp"] = int(time.time() * 1000)
        if self._counter % 23 == 0:
            document["title"] = document["body"] = ""  # nothing to embed
        return document

    def _write(self, changes: list[Change]) -> None:
        """Send changes again and again until each is answered."""
        began_s, waited, doubtful = time.monotonic(), False, set[str]()
        while changes:
            try:
                answer = self._client.bulk(body=self._body(changes), params=self._params())
            except (OpenSearchConnectionError, TransportError) as error:
                if _is_refusal(error):
                    raise
                doubtful |= set() if error.status_code == _BUSY else {change.doc_id for change in changes}
                again = changes
            else:
                items = [next(iter(item.values())) for item in answer["items"]]
                pairs = list(zip(changes, items, strict=True))
                again = [
                    change
                    for change, item in pairs
                    if not self._is_settled(change, item, change.doc_id in doubtful)
                ]
                doubtful |= {change.doc_id for change, item in pairs if item["status"] == _UNAVAILABLE}
            if again and self._over.is_set():
                again = self._give_up(again, doubtful)
            if again:
                waited = True
                time.sleep(_RETRY_S)
            changes = again
        if waited:
            self.seen.stood_still_s.append(time.monotonic() - began_s)

    def _give_up(self, changes: list[Change], doubtful: set[str]) -> list[Change]:
        """At the end: what was refused is left, what may have happened is tried a little longer."""
        unclear = [change for change in changes if change.doc_id in doubtful]
        self.seen.left += len(changes) - len(unclear)
        if time.monotonic() < self._last_try_s:
            return unclear
        for change in unclear:
            self.seen.unknown += 1
            self._journal.unknown(change.doc_id, change.state)
            self._forget(change.doc_id)
        return []

    def _is_settled(self, change: Change, item: Mapping[str, Any], doubtful: bool) -> bool:
        """Take note of the answer to one change; false if it must be sent again."""
        status, kind = item["status"], _kind(item)
        if status < 300:
            self._acknowledge(change, item, doubtful)
            return True
        if kind == _BLOCKED or status in (_BUSY, _UNAVAILABLE):
            self._look_elsewhere(change)
            return False
        if kind == _CONFLICT and change.way != "insert":
            return False  # the vector was written at the same moment
        if kind == _CONFLICT or (status == 404 and (change.way == "delete" or kind == _MISSING)):
            self._note_presence(change, item, doubtful)
        elif self._route.may_be_refused:
            self.seen.refused[kind] = self.seen.refused.get(kind, 0) + 1
        else:
            self.seen.errors.append(f"{change.way} {change.doc_id}: {item.get('error')}")
        return True

    def _note_presence(self, change: Change, item: Mapping[str, Any], doubtful: bool) -> None:
        """The document is there and should not be, or the other way round."""
        if doubtful and change.way in ("insert", "delete"):  # the first sending has done it
            self._acknowledge(change, item, doubtful)
        else:
            self._contradict("resurrected" if change.way == "insert" else "lost", change, item)

    def _acknowledge(self, change: Change, item: Mapping[str, Any], doubtful: bool) -> None:
        entry, result = self._journal.entry(change.doc_id), item.get("result")
        surprise = self._surprise(change, entry, str(result))
        self.seen.acknowledged += 1
        self._journal.acknowledged(change.doc_id, change.state)
        if change.way == "insert":
            entry.index, entry.routing = item.get("_index"), change.routing
        if doubtful:  # the first sending may still come late: no other change may meet it
            entry.settled = True
        elif surprise:
            self._contradict(surprise, change, item)
            return
        self._forget(change.doc_id)
        if not entry.settled:
            (self._dead if change.state is None else self._alive).append(change.doc_id)

    def _surprise(self, change: Change, entry: Entry, result: str) -> str | None:
        """What the answer says of the state before, if that is not what was acknowledged."""
        if entry.settled or entry.possible:
            return None
        if entry.state is not None and result == "created":
            return "lost"
        return "resurrected" if entry.state is None and result == "updated" else None

    def _contradict(self, kind: str, change: Change, item: Mapping[str, Any]) -> None:
        told = item.get("result") or _kind(item)
        self._journal.contradiction(kind, change.doc_id, f"{change.way} in {item.get('_index')} was '{told}'")
        self._forget(change.doc_id)

    def _forget(self, doc_id: str) -> None:
        for known in (self._alive, self._dead):
            if doc_id in known:
                known.remove(doc_id)

    def _look_elsewhere(self, change: Change) -> None:
        """The index takes no writes: an application that names indices asks where the document is now."""
        if self._route.by_index and change.way != "insert" and self._route.search:
            query = {"query": {"ids": {"values": [change.doc_id]}}, "_source": False}
            hits = self._client.search(index=self._route.search, body=query)["hits"]["hits"]
            if hits:
                self._journal.entry(change.doc_id).index = hits[0]["_index"]

    def _params(self) -> dict[str, Any]:
        return {"require_alias": "true"} if self._route.is_alias and not self._route.by_index else {}

    def _body(self, changes: list[Change]) -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = []
        for change in changes:
            action = {"insert": "create", "full": "index", "delete": "delete"}.get(change.way, "update")
            target: dict[str, Any] = {"_index": self._address(change), "_id": change.doc_id}
            if change.routing:
                target["routing"] = change.routing
            if action == "update":
                target["retry_on_conflict"] = 5
            lines.append({action: target})
            if action == "update":
                lines.append({"doc": change.changes})
            elif action != "delete":
                lines.append(dict(change.state or {}))
        return lines

    def _address(self, change: Change) -> str:
        if change.way == "insert" or not self._route.by_index:
            return self._route.name
        return self._journal.entry(change.doc_id).index or self._route.name


@dataclass(frozen=True)
class Report:
    """What all writers of a route, or of all routes, did and met."""

    acknowledged: int
    unknown: int
    per_s: float
    stood_still_s: tuple[float, ...]
    refused: Mapping[str, int]
    left: int
    errors: tuple[str, ...]

    def __str__(self) -> str:
        told = f"{self.acknowledged} changes at {self.per_s:.0f}/s, {self.unknown} without an answer"
        if self.stood_still_s:
            middle, most = statistics.median(self.stood_still_s), max(self.stood_still_s)
            told += f", stood still {len(self.stood_still_s)} times, p50 {middle:.2f} s, max {most:.2f} s"
        if self.refused:
            told += f", refused {sum(self.refused.values())}"
        return told


class Traffic:
    """Writers that are at it; `report` adds up what they met."""

    def __init__(self, journal: Journal, writers: Sequence[tuple[Route, Writer]]) -> None:
        self.journal, self._writers = journal, writers
        self._began_s, self._ended_s = time.monotonic(), 0.0

    def stop(self) -> None:
        """Let every writer end, and wait for it."""
        for _, writer in self._writers:
            writer.finish()
        for _, writer in self._writers:
            writer.join()
        self._ended_s = self._ended_s or time.monotonic()

    def wait_until(self, met: Callable[[Report], bool], route: Route | None = None) -> Report:
        """Wait until enough has happened, however slow the machine is; return the sums of then."""
        deadline = time.monotonic() + _PATIENCE_S
        while not met(report := self.report(route)):
            assert time.monotonic() < deadline, f"not met after {_PATIENCE_S} s: {report}"
            time.sleep(0.05)
        return report

    def report(self, route: Route | None = None) -> Report:
        """The sums; of one ``route``, or of all."""
        chosen = [writer.seen for taken, writer in self._writers if route in (None, taken)]
        refused: dict[str, int] = {}
        for seen in chosen:
            for kind, number in list(seen.refused.items()):  # its writer may still be at it
                refused[kind] = refused.get(kind, 0) + number
        lasted_s = (self._ended_s or time.monotonic()) - self._began_s
        return Report(
            acknowledged=(acknowledged := sum(seen.acknowledged for seen in chosen)),
            unknown=sum(seen.unknown for seen in chosen),
            per_s=acknowledged / lasted_s,
            stood_still_s=tuple(value for seen in chosen for value in seen.stood_still_s),
            refused=refused,
            left=sum(seen.left for seen in chosen),
            errors=tuple(error for seen in chosen for error in seen.errors),
        )


def _kind(item: Mapping[str, Any]) -> str:
    return str((item.get("error") or {}).get("type", ""))


def _is_refusal(error: TransportError) -> bool:
    """Whether a whole request was refused for what it is, so that sending it again changes nothing."""
    return (
        isinstance(error.status_code, int) and 400 <= error.status_code < 500 and error.status_code != _BUSY
    )


def writer_client(*urls: str) -> OpenSearch:
    """A client that never sends a request again by itself: the journal must know of every sending."""
    return OpenSearch(hosts=list(urls), timeout=20, max_retries=0, retry_on_timeout=False, pool_maxsize=8)


@contextmanager
def traffic(
    connect: Callable[[], OpenSearch],
    journal: Journal,
    routes: Sequence[Route],
    rate: float = 150.0,
    batch: int = 10,
) -> Iterator[Traffic]:
    """Write by all ``routes`` during the block, each in its own thread, ``rate`` changes a second in all.

    The documents that the journal begins with are shared out among the writers that change documents. A
    writer whose changes are refused only tries now and then, beside the others.
    """
    owners = [number for number, route in enumerate(routes) if not route.may_be_refused]
    ids = sorted(journal.entries())
    owned = {owner: ids[place :: len(owners)] for place, owner in enumerate(owners)}
    with connect() as client:
        writers = [
            (route, Writer(client, journal, route, number, share, batch, owned.get(number, ())))
            for number, route in enumerate(routes)
            for share in [_PROBES_S if route.may_be_refused else rate / len(owners)]
        ]
        running = Traffic(journal, writers)
        for _, writer in writers:
            writer.start()
        try:
            yield running
        finally:
            running.stop()


def behind_index(route: Route, search: str) -> Route:
    """The same route of an application that changes a document in the index that holds it."""
    return replace(route, by_index=True, search=search)
