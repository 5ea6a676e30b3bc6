"""Applications that write, and the journal of what they were told: it is what the alias must show in the end."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.model import Model
from tests.simulation.refusals import RefusedError, blocked

State = dict[str, Any] | None
"""A document as an application wrote it; ``None``: deleted, or never written."""

CLIENT_TIMEOUT_S = 30.0
"""No write is on its way for longer, for then its application would have given it up."""

HALF_DONE_S = 3.0
"""So long a primary shard may be busy with one document."""

_WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "glade", "heath")


@dataclass
class Journal:
    """What each document may be: one state, or several where an answer was lost.

    Attributes:
        states: by id.
        broken: answers that cannot be right, such as "no such document" for one that was acknowledged.
        acknowledged: operations.
    """

    states: dict[str, list[State]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    acknowledged: int = 0

    def of(self, doc_id: str) -> list[State]:
        """The states that a document may have."""
        return self.states.get(doc_id, [None])

    def became(self, doc_id: str, states: list[State]) -> None:
        """An operation was acknowledged."""
        self.states[doc_id] = states
        self.acknowledged += 1


@dataclass(frozen=True)
class Operation:
    """One write of an application."""

    kind: str
    name: str
    doc_id: str
    body: dict[str, Any]

    def after(self, state: State) -> State:
        """The document after this operation."""
        if self.kind == "delete":
            return None
        if self.kind == "update":
            return {**(state or {}), **self.body}
        return dict(self.body)

    def request(self) -> tuple[str, str, Any]:
        """Method, path and body."""
        path = f"/{self.name}/_doc/{self.doc_id}"
        if self.kind == "delete":
            return "DELETE", path, None
        if self.kind == "update":
            return "POST", f"/{self.name}/_update/{self.doc_id}", {"doc": self.body}
        if self.kind == "insert":
            return "PUT", f"/{self.name}/_create/{self.doc_id}", self.body
        return "PUT", path, self.body


class Writers:
    """Writes under ``names``, one after the other or several in flight at a time.

    Attributes:
        names: what the applications write to: an index, an alias, or both.
        refused: how many operations were refused; a write block shows here.
        only_new: every document is written once, as events of a log are.
    """

    def __init__(self, model: Model, chance: random.Random, tell: Callable[[str], None]) -> None:
        self._model, self._chance, self._tell = model, chance, tell
        self.names: Sequence[str] = ()
        self.ids = [f"d{number}" for number in range(8)]
        self.journal = Journal()
        self.refused = 0
        self.delete_share = chance.choice((0.1, 0.25, 0.5))
        self.only_new = False
        self._counter = 0
        self._in_flight: list[tuple[float, Callable[[], None]]] = []

    def step(self) -> None:
        """One operation, which may stay in flight."""
        if not self.names:
            return
        operation = self._drawn()
        try:
            prepared = self._model.prepared(*self._as_request(operation))
        except RefusedError as error:
            self._refused(operation, error)
            return
        chance = self._chance.random()
        if chance < 0.06 and operation.kind != "update":
            self._begin(operation)
        elif chance < 0.15:
            self._tell(f"app: in flight {operation}")
            issued_s, goals = (
                self._model.now(),
                [index.name for index in self._model.names.find(operation.name)],
            )
            self._send(lambda: self._arrive(operation, prepared, issued_s, goals))
        else:
            self._finish(operation, prepared, answered=chance < 0.95)

    def _arrive(self, operation: Operation, prepared: Any, issued_s: float, goals: list[str]) -> None:
        """Let a request arrive; one that was on its way while its index got a write block is rejected."""
        late = next((name for name in goals if self._model.blocked_at_s.get(name, -1.0) >= issued_s), None)
        if late is not None:
            self._refused(operation, blocked(late))
        else:
            self._finish(operation, prepared, answered=True)

    def _begin(self, operation: Operation) -> None:
        """The write has its sequence number, but it is not indexed yet."""
        method, path, _, body = self._as_request(operation)
        try:
            finish = self._model.begun(
                method, path, body, lambda answer: self._acknowledge(operation, answer["status"], answer)
            )
        except RefusedError as error:
            self._refused(operation, error)
            return
        self._tell(f"app: half done {operation}")
        self._send(finish, HALF_DONE_S)

    def write(self, kind: str, doc_id: str, name: str | None = None) -> None:
        """One operation of this kind, at once."""
        operation = Operation(kind, name or self._chance.choice(self.names), doc_id, self._body(kind))
        try:
            prepared = self._model.prepared(*self._as_request(operation))
        except RefusedError as error:
            self._refused(operation, error)
            return
        self._finish(operation, prepared, answered=True)

    def by_old_route(self, name: str) -> None:
        """One operation of a client that knows an index by its name, whatever others read and write."""
        kind = self._chance.choice(("index", "update", "delete"))
        operation = Operation(kind, name, self._chance.choice(self.ids), self._body(kind))
        try:
            status, _ = self._model.answer(*self._as_request(operation))
        except RefusedError:
            return
        if status == 404:
            return
        states = self.journal.of(operation.doc_id)
        existing = [state for state in states if state is not None] or [None]
        after = [operation.after(state) for state in (existing if kind == "update" else states)]
        self._tell(f"old route: {operation}")
        self.journal.became(operation.doc_id, _distinct(after))

    def deliver(self) -> None:
        """Let one operation that is in flight arrive."""
        if self._in_flight:
            self._in_flight.pop(self._chance.randrange(len(self._in_flight)))[1]()

    def deliver_due(self) -> None:
        """Let those arrive that were long enough on their way."""
        if not self._in_flight:
            return
        now_s = self._model.now()
        due = [one for one in self._in_flight if one[0] <= now_s]
        if due:
            self._in_flight = [one for one in self._in_flight if one[0] > now_s]
            for _, finish in sorted(due, key=lambda one: one[0]):
                finish()

    def deliver_all(self) -> None:
        """Let all of them arrive."""
        while self._in_flight:
            self.deliver()

    def _send(self, finish: Callable[[], None], longest_s: float = CLIENT_TIMEOUT_S) -> None:
        self._in_flight.append((self._model.now() + self._chance.uniform(0.0, longest_s), finish))

    def _drawn(self) -> Operation:
        if self.only_new:
            body = self._body("insert")
            return Operation("insert", self._chance.choice(self.names), f"e{self._counter}", body)
        doc_id, name = self._chance.choice(self.ids), self._chance.choice(self.names)
        exists = any(state is not None for state in self.journal.of(doc_id))
        if not exists:
            kind = self._chance.choice(("insert", "index"))
        elif self._chance.random() < self.delete_share:
            kind = "delete"
        else:
            kind = self._chance.choice(("index", "update"))
        return Operation(kind, name, doc_id, self._body(kind))

    def _body(self, kind: str) -> dict[str, Any]:
        self._counter += 1
        if kind == "delete":
            return {}
        if kind == "update" and self._chance.random() < 0.5:
            return {"n": self._counter}  # the text stays as it is
        text = "" if self._chance.random() < 0.1 else f"{self._chance.choice(_WORDS)} {self._counter}"
        return {"title": text, "n": self._counter}

    def _as_request(self, operation: Operation) -> tuple[str, str, dict[str, Any], Any]:
        method, path, body = operation.request()
        return method, path, {}, body

    def _finish(self, operation: Operation, prepared: Callable[[], Any], *, answered: bool) -> None:
        try:
            status, answer = prepared()
        except RefusedError as error:
            self._refused(operation, error)
            return
        self._acknowledge(operation, status, answer, answered)

    def _acknowledge(
        self, operation: Operation, status: int, answer: dict[str, Any], answered: bool = True
    ) -> None:
        doc_id = operation.doc_id
        states = self.journal.of(doc_id)
        if status == 404:
            if None not in states:
                self.journal.broken.append(f"{operation}: acknowledged document is not there")
            self._tell(f"app: {operation} -> 404")
            self.journal.became(doc_id, [None])
            return
        existing = [state for state in states if state is not None]
        if operation.kind == "update" and not existing:
            self.journal.broken.append(f"{operation}: a deleted document is there again")
            existing = [None]
        after = [operation.after(state) for state in (existing if operation.kind == "update" else states)]
        self._tell(
            f"app: {operation} -> {status} _seq_no {answer['_seq_no']} of "
            f"{answer['_index']}{'' if answered else ', answer lost'}"
        )
        self.journal.became(doc_id, _distinct(after if answered else [*after, *states]))

    def _refused(self, operation: Operation, error: RefusedError) -> None:
        self._tell(f"app: {operation} -> {error}")
        doc_id = operation.doc_id
        states = self.journal.of(doc_id)
        if error.kind == "document_missing_exception":
            if None not in states:
                self.journal.broken.append(f"{operation}: acknowledged document is not there")
            self.journal.became(doc_id, [None])
        elif error.kind == "version_conflict_engine_exception":
            existing = [state for state in states if state is not None]
            if not existing:
                self.journal.broken.append(f"{operation}: a deleted document is there again")
            else:
                self.journal.became(doc_id, existing)
        else:
            self.refused += 1


def _distinct(states: list[State]) -> list[State]:
    found: list[State] = []
    for state in states:
        if state not in found:
            found.append(state)
    return found
