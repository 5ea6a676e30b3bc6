"""What must hold in the end, whatever happened."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import numpy as np

from ce2de_os.index.text_spec import TextSpec
from tests.simulation.world import World
from tests.simulation.writers import State

TEXT = TextSpec(("title",))
FIELD = "ce2de_vector"


def problems_of_alias(
    world: World, alias: str, *, vectors: bool, forgiven: Collection[str] = ()
) -> list[str]:
    """How what an alias shows differs from what its writers were told, but for the ids that are ``forgiven``."""
    found: list[str] = list(world.writers.journal.broken)
    shown: dict[str, list[dict[str, Any]]] = {}
    for index in world.model.names.find(alias, strict=False):
        for shard in index.shards:
            for doc in shard.docs.values():
                if doc.deleted_at_s is None:
                    shown.setdefault(doc.doc_id, []).append(doc.source)
    journal = world.writers.journal
    for doc_id in sorted((shown.keys() | journal.states.keys()) - set(forgiven)):
        copies, allowed = shown.get(doc_id, []), journal.of(doc_id)
        found += _problems(world, doc_id, copies, allowed, vectors)
    return found


def _problems(
    world: World, doc_id: str, copies: list[dict[str, Any]], allowed: list[State], vectors: bool
) -> Iterable[str]:
    if not copies:
        if None not in allowed:
            yield f"lost: {doc_id}, expected {_told(allowed)}"
        return
    if len(copies) > 1:
        yield f"twice: {doc_id}"
    own = {key: value for key, value in copies[0].items() if not key.startswith(FIELD)}
    if own not in allowed:
        kind = "resurrected" if allowed == [None] else "stale"
        yield f"{kind}: {doc_id} is {own}, expected {_told(allowed)}"
    elif vectors:
        yield from _wrong_vector(world, doc_id, copies[0])


def _wrong_vector(world: World, doc_id: str, source: dict[str, Any]) -> Iterable[str]:
    text = TEXT.text_of(source)
    stored = source.get(FIELD)
    if not text:
        if stored is not None:
            yield f"vector of no text: {doc_id}"
        return
    if stored is None:
        yield f"without vector: {doc_id}"
        return
    right = world.encoder.encode_documents([text])[0]
    if not np.allclose(np.array(stored), right, atol=1e-5):
        yield f"vector of another text: {doc_id}"
    if source.get(f"{FIELD}_hash") != TEXT.hash_of(text, world.encoder.fingerprint):
        yield f"hash of another text: {doc_id}"


def unasked_indices(world: World) -> list[str]:
    """Indices that came to be because somebody wrote to a name that nothing had."""
    return [f"index '{name}' made itself" for name, how in world.model.names.created if how == "auto-create"]


def members_left_alone(world: World, alias: str, others: dict[str, dict[str, Any]]) -> list[str]:
    """Members of the alias that are no business of the job, and how they have changed."""
    there = world.model.names.members(alias)
    return [
        f"member '{name}' of '{alias}' is now {there.get(name)}, was {definition}"
        for name, definition in others.items()
        if there.get(name) != definition
    ]


def _told(allowed: list[State]) -> str:
    return " or ".join("nothing" if state is None else str(state) for state in allowed)
