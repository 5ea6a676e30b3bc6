"""A shard and its documents: sequence numbers, versions, tombstones, and what searches see."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tests.simulation.refusals import RefusedError, conflict

NO_SEQ_NO, NO_TERM = -2, 0
_encode, _decode = json.JSONEncoder().encode, json.JSONDecoder().decode


class Doc(NamedTuple):
    """One version of a document; ``deleted_at_s`` is set in a tombstone."""

    doc_id: str
    routing: str | None
    seq_no: int
    term: int
    version: int
    source: dict[str, Any]
    text: str
    deleted_at_s: float | None = None


class Condition(NamedTuple):
    """What a write demands of the version that is there."""

    seq_no: int | None = None
    term: int | None = None
    version: int | None = None
    version_type: str = "internal"
    create: bool = False


ANY = Condition()


class Shard:
    """A primary shard.

    Attributes:
        docs: the newest version of each document, tombstones included.
        visible: what searches see: the live documents of the last refresh, by ``_seq_no``.
        half_done: sequence numbers that were given out to writes which are not yet indexed, each with its
            document and what indexes it.
    """

    def __init__(self, history: str, gc_deletes_s: float) -> None:
        self.history, self.gc_deletes_s = history, gc_deletes_s
        self.docs: dict[str, Doc] = {}
        self.visible: list[Doc] = []
        self.half_done: dict[int, tuple[str, Callable[[], object]]] = {}
        self.max_seq_no, self.term = -1, 1
        self.delete_total, self._changed = 0, False

    @property
    def checkpoint(self) -> int:
        """The global checkpoint: every operation up to it is indexed."""
        return min(self.half_done) - 1 if self.half_done else self.max_seq_no

    def live(self, doc_id: str) -> Doc | None:
        """The document as a get sees it, refreshed or not."""
        doc = self.docs.get(doc_id)
        return None if doc is None or doc.deleted_at_s is not None else doc

    def refresh(self) -> None:
        """Let searches see everything that is indexed."""
        if self._changed:
            live = (doc for doc in self.docs.values() if doc.deleted_at_s is None)
            self.visible = sorted(live, key=lambda doc: doc.seq_no)
            self._changed = False

    def index(
        self,
        doc_id: str,
        routing: str | None,
        source: Mapping[str, Any],
        demand: Condition,
        now_s: float,
        seq_no: int | None = None,
    ) -> Doc:
        """Write a document; ``seq_no`` is one that was given out before."""
        self._lock(doc_id, seq_no)
        version = self._next_version(doc_id, demand, now_s)
        text = _encode(source)
        doc = Doc(doc_id, routing, self._take(seq_no), self.term, version, _decode(text), text)
        self.docs[doc_id] = doc
        self._changed = True
        return doc

    def delete(
        self, doc_id: str, routing: str | None, demand: Condition, now_s: float, seq_no: int | None = None
    ) -> tuple[Doc, bool]:
        """Delete a document; the tombstone, and whether there was one. It takes a number in any case."""
        self._lock(doc_id, seq_no)
        version = self._next_version(doc_id, demand, now_s)
        was_there = self.live(doc_id) is not None
        tombstone = Doc(doc_id, routing, self._take(seq_no), self.term, version, {}, "", now_s)
        self.docs[doc_id] = tombstone
        self.delete_total += 1
        self._changed = True
        return tombstone, was_there

    def give_out(self, doc_id: str, index: Callable[[], object]) -> int:
        """Give out the next sequence number to a write that is not indexed before ``index`` is called."""
        self.max_seq_no += 1
        self.half_done[self.max_seq_no] = (doc_id, index)
        return self.max_seq_no

    def settle(self, doc_id: str | None = None) -> None:
        """Wait for the half done writes, or for that of one document, which holds its lock."""
        for seq_no, (locked, index) in list(self.half_done.items()):
            if doc_id in (None, locked) and seq_no in self.half_done:
                index()

    def check(self, doc_id: str, demand: Condition, now_s: float) -> None:
        """Refuse a write whose demand is not met."""
        self._next_version(doc_id, demand, now_s)

    def _lock(self, doc_id: str, seq_no: int | None) -> None:
        if seq_no is not None:
            del self.half_done[seq_no]
        elif self.half_done:
            self.settle(doc_id)

    def _take(self, seq_no: int | None) -> int:
        if seq_no is not None:
            return seq_no
        self.max_seq_no += 1
        return self.max_seq_no

    def _next_version(self, doc_id: str, demand: Condition, now_s: float) -> int:
        there = self.docs.get(doc_id)
        if there is not None and there.deleted_at_s is not None:
            if now_s - there.deleted_at_s > self.gc_deletes_s:
                there = None  # the tombstone is forgotten: versions begin anew
        live = there is not None and there.deleted_at_s is None
        if demand.create and live:
            raise conflict(doc_id, f"document already exists (current version [{there.version}])")  # type: ignore[union-attr]
        if demand.seq_no is not None:
            self._check_unchanged(doc_id, there if live else None, demand)
        version = there.version if there is not None else 0
        if demand.version is None:
            return version + 1
        return _external(doc_id, there, demand)

    def _check_unchanged(self, doc_id: str, there: Doc | None, demand: Condition) -> None:
        required = f"required seqNo [{demand.seq_no}], primary term [{demand.term}]."
        if there is None:
            raise conflict(doc_id, f"{required} but no document was found")
        if (there.seq_no, there.term) != (demand.seq_no, demand.term):
            raise conflict(
                doc_id,
                f"{required} current document has seqNo [{there.seq_no}] and primary term [{there.term}]",
            )


def _external(doc_id: str, there: Doc | None, demand: Condition) -> int:
    given = demand.version or 0
    if demand.version_type not in ("external", "external_gte"):
        raise RefusedError(
            400, "action_request_validation_exception", "Validation Failed: 1: internal versioning can not be "
            "used for optimistic concurrency control. Please use `if_seq_no` and `if_primary_term` instead;"
        )  # fmt: skip
    if there is not None:
        too_old = there.version > given if demand.version_type == "external_gte" else there.version >= given
        if too_old:
            raise conflict(
                doc_id, f"current version [{there.version}] is higher or equal to the one provided [{given}]"
            )
    return given
