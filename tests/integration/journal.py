"""A journal of the writes that OpenSearch acknowledged, and the comparison of an index with it.

A document's id belongs to one writer, which sends the next change of it when the last one is answered. So
the journal knows the exact state of every id, but for a change that was sent and never answered.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

import numpy as np
from opensearchpy import OpenSearch, helpers

from ce2de_os import OnnxEncoder
from ce2de_os.arrays import Embeddings, cosine
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.reindex.job import Job

_SAMPLE = 48
_SHOWN = 5
_IN_BETWEEN = "seen while writing"

Document = Mapping[str, Any]


@dataclass
class Entry:
    """What is known of one id.

    Attributes:
        state: its last acknowledged state; ``None``: it was deleted, or never written.
        possible: states that a change without an answer may have left.
        routing: as it was inserted.
        index: the index that it was inserted into, by OpenSearch's answer.
        settled: no writer changes it any more, so that its state stays to be looked at.
    """

    state: Document | None = None
    possible: list[Document | None] = field(default_factory=list)
    routing: str | None = None
    index: str | None = None
    settled: bool = False


class Journal:
    """The expected state of every id; writers in several threads may use it."""

    def __init__(self, documents: Mapping[str, Document] | None = None) -> None:
        """``documents`` are in the index before any writer starts."""
        self._lock = threading.Lock()
        self._entries = {doc_id: Entry(dict(state)) for doc_id, state in (documents or {}).items()}
        self._contradictions: dict[str, dict[str, str]] = {"lost": {}, "resurrected": {}}

    def entry(self, doc_id: str) -> Entry:
        """The entry of an id, made if there is none."""
        with self._lock:
            return self._entries.setdefault(doc_id, Entry())

    def entries(self) -> dict[str, Entry]:
        """All entries by id."""
        with self._lock:
            return dict(self._entries)

    def acknowledged(self, doc_id: str, state: Document | None) -> None:
        """OpenSearch said that the id is in ``state`` now."""
        entry = self.entry(doc_id)
        entry.state, entry.possible = state, []

    def unknown(self, doc_id: str, state: Document | None) -> None:
        """A change to ``state`` was sent and not answered: it may have happened or not."""
        entry = self.entry(doc_id)
        entry.possible.append(state)
        entry.settled = True

    def contradiction(self, kind: str, doc_id: str, answer: str) -> None:
        """An answer shows that the id was not in its acknowledged state: ``lost`` or ``resurrected``."""
        with self._lock:
            self._contradictions[kind].setdefault(doc_id, f"{_IN_BETWEEN}: {answer}")
        self.entry(doc_id).settled = True

    def contradictions(self, kind: str) -> dict[str, str]:
        """What such answers showed, by id."""
        with self._lock:
            return dict(self._contradictions[kind])


class Encoder(Protocol):
    """Encodes texts again, to compare."""

    def encode_documents(self, texts: list[str], /) -> Embeddings: ...


@dataclass(frozen=True)
class Fields:
    """How an index was embedded; all of our own fields begin with the vector field's name."""

    text: TextSpec
    vector: str
    hash_field: str
    fingerprint: str

    @classmethod
    def of(cls, job: Job) -> Fields:
        return cls(job.text, job.vector.name, job.hash_field, job.fingerprint)

    def wanted_hash(self, document: Document) -> str | None:
        text = self.text.text_of(document)
        return self.text.hash_of(text, self.fingerprint) if text else None


@dataclass(frozen=True)
class Verdict:
    """How an index differs from the journal: for each kind the ids, and what was seen.

    Attributes:
        lost: acknowledged, and not there.
        resurrected: there, though it was deleted, never written, or twice.
        stale: there with another content than the last acknowledged one.
        without_vector: the content is right, the vector is missing, or is that of another text.
    """

    lost: Mapping[str, str]
    resurrected: Mapping[str, str]
    stale: Mapping[str, str]
    without_vector: Mapping[str, str]

    @property
    def is_clean(self) -> bool:
        return not any(vars(self).values())

    def at_the_end(self, but: Collection[str] = ()) -> Verdict:
        """Without what only an answer in between showed, and without the ids ``but``."""
        kept = {
            kind: {
                doc_id: what
                for doc_id, what in found.items()
                if doc_id not in but and not what.startswith(_IN_BETWEEN)
            }
            for kind, found in vars(self).items()
        }
        return Verdict(**kept)

    def __str__(self) -> str:
        numbers = "/".join(str(len(found)) for found in vars(self).values())
        return f"lost/resurrected/stale/without-vector = {numbers}"

    def explain(self) -> str:
        """The numbers, and some examples of each kind."""
        lines = [str(self)]
        for kind, found in vars(self).items():
            lines += [f"  {kind} {doc_id}: {what}" for doc_id, what in sorted(found.items())[:_SHOWN]]
        return "\n".join(lines)


def compare(
    client: OpenSearch, journal: Journal, index: str, fields: Fields, encoder: Encoder | None = None
) -> Verdict:
    """Compare what ``index``, an alias too, shows with the journal.

    ``encoder`` ``None``: the packaged one.
    """
    shown, twice = _shown(client, index, fields)
    lost, stale, bare = journal.contradictions("lost"), {}, {}
    resurrected = journal.contradictions("resurrected") | twice
    entries, right = journal.entries(), {}
    for doc_id in entries.keys() | shown.keys():
        entry, hit = entries.get(doc_id, Entry()), shown.get(doc_id)
        allowed = [entry.state, *entry.possible]
        content = None if hit is None else _content(hit, fields)
        if content in allowed:
            if hit is not None:
                right[doc_id] = hit
        elif content is None:
            lost[doc_id] = f"expected {_brief(entry.state)}"
        elif all(state is None for state in allowed):
            resurrected[doc_id] = f"got {_brief(content)}"
        else:
            stale[doc_id] = f"got {_brief(content)}, expected {_brief(entry.state)}"
    for doc_id, hit in right.items():
        if (found := hit["_source"].get(fields.hash_field)) != (wanted := fields.wanted_hash(hit["_source"])):
            bare[doc_id] = f"got the hash {found}, expected {wanted}"
    bare |= _wrong_vectors(client, right, fields, encoder or packaged_encoder())
    return Verdict(lost, resurrected, stale, bare)


def settle(
    client: OpenSearch,
    journal: Journal,
    index: str,
    fields: Fields,
    within_s: float,
    encoder: Encoder | None = None,
) -> Verdict:
    """Compare until nothing differs, for ``within_s`` at most; returns the last verdict."""
    deadline = time.monotonic() + within_s
    while not (verdict := compare(client, journal, index, fields, encoder)).is_clean:
        if time.monotonic() > deadline:
            break
        time.sleep(0.3)
    return verdict


@cache
def packaged_encoder() -> OnnxEncoder:
    return OnnxEncoder()


def _shown(
    client: OpenSearch, index: str, fields: Fields
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Every hit by id, without vectors, and the ids that come more than once."""
    client.indices.refresh(index=index)
    query = {"query": {"match_all": {}}, "_source": {"excludes": [fields.vector]}}
    found: dict[str, dict[str, Any]] = {}
    twice: dict[str, str] = {}
    for hit in helpers.scan(client, index=index, query=query, size=2000):
        doc_id = hit["_id"]
        if doc_id in found:
            twice[doc_id] = f"in {found[doc_id]['_index']} and again in {hit['_index']}"
        found[doc_id] = hit
    return found, twice


def _content(hit: Mapping[str, Any], fields: Fields) -> dict[str, Any]:
    return {key: value for key, value in hit["_source"].items() if not key.startswith(fields.vector)}


def _wrong_vectors(
    client: OpenSearch, hits: Mapping[str, Mapping[str, Any]], fields: Fields, encoder: Encoder
) -> dict[str, str]:
    """Documents without a vector though they have text, or with one without; and a sample encoded again."""
    wrong: dict[str, str] = {}
    with_text = {doc_id: hit for doc_id, hit in hits.items() if fields.wanted_hash(hit["_source"])}
    sample = random.Random(7).sample(sorted(with_text), min(_SAMPLE, len(with_text)))
    stored = {hit["_id"]: hit["_source"].get(fields.vector) for hit in _with_vectors(client, hits, fields)}
    for doc_id in hits:
        has, wants = stored.get(doc_id) is not None, doc_id in with_text
        if has != wants:
            wrong[doc_id] = "has text and no vector" if wants else "has a vector and no text"
    checked = [doc_id for doc_id in sample if stored.get(doc_id) is not None]
    if checked:
        texts = [fields.text.text_of(with_text[doc_id]["_source"]) for doc_id in checked]
        vectors = np.array([stored[doc_id] for doc_id in checked], dtype=np.float32)
        for doc_id, value in zip(checked, cosine(vectors, encoder.encode_documents(texts)), strict=True):
            if value < 0.999:
                wrong[doc_id] = f"the cosine with the vector of its text is {value:.3f}"
    return wrong


def _with_vectors(
    client: OpenSearch, hits: Mapping[str, Mapping[str, Any]], fields: Fields
) -> Iterator[dict[str, Any]]:
    for batch in _batches(list(hits.values()), 500):
        wanted = [
            {
                "_id": hit["_id"],
                "_index": hit["_index"],
                "_source": [fields.vector],
                **({"routing": hit["_routing"]} if "_routing" in hit else {}),
            }
            for hit in batch
        ]
        for entry in client.mget(body={"docs": wanted})["docs"]:
            if entry.get("found"):
                yield entry


def _batches(rows: list[Any], size: int) -> Iterable[list[Any]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _brief(state: Document | None) -> str:
    return "nothing" if state is None else json.dumps(state, ensure_ascii=False)[:160]
