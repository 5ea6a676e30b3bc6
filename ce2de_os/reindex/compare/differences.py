"""Find the differences of source and target, document by document: lost, surplus or stale."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple, TypeVar

from opensearchpy import OpenSearch

from ce2de_os.index import admin
from ce2de_os.index.admin import patiently
from ce2de_os.reindex.compare.sides import Key, Numbered, Sides
from ce2de_os.reindex.compare.stretches import (
    MOST_BUCKETS,
    NOTHING,
    Look,
    differing,
    first_looks,
    narrower_looks,
)
from ce2de_os.reindex.job import Part

LISTED = 1000
"""Most documents of each kind whose ids a comparison keeps; all of them are counted."""

T = TypeVar("T")

_TOGETHER = 8
"""Most searches in one request, so that its answer stays small."""


class Lost(NamedTuple):
    """A document that is live in the source at ``seq_no`` of ``shard``, and absent from the target."""

    doc_id: str
    routing: str | None
    shard: int
    seq_no: int


class Stale(NamedTuple):
    """The same, but the target holds another version of it: that of ``origin``, or -1 if that is unknown."""

    doc_id: str
    routing: str | None
    shard: int
    seq_no: int
    origin: int


class Surplus(NamedTuple):
    """A document of the target that is not in the source.

    Attributes:
        seq_no: in the target; with ``primary_term`` it can be deleted only as it is now.
        foreign: whether it does not say what it was copied from.
        shard: of the source that it was copied from, -1 if it is foreign.
    """

    doc_id: str
    routing: str | None
    seq_no: int
    primary_term: int
    foreign: bool = False
    shard: int = -1


@dataclass
class Batch:
    """Some differences.

    Attributes:
        refused: documents that were lost or stale and known to the caller.
        newer: the target's documents whose version in the source is newer than the compared ones.
    """

    lost: list[Lost] = field(default_factory=list)
    stale: list[Stale] = field(default_factory=list)
    surplus: list[Surplus] = field(default_factory=list)
    refused: int = 0
    newer: int = 0


@dataclass
class IndexComparison:
    """All differences of a part: counted, and the first of them listed.

    Attributes:
        upto: the last ``_seq_no`` of each source shard that was compared.
        requests: to both sides.
        surplus_by_shard: how many surplus documents come from each shard of the source, foreign ones from -1.
    """

    upto: Mapping[int, int]
    lost_count: int = 0
    stale_count: int = 0
    surplus_count: int = 0
    refused: int = 0
    newer: int = 0
    requests: int = 0
    lost: list[Lost] = field(default_factory=list)
    stale: list[Stale] = field(default_factory=list)
    surplus: list[Surplus] = field(default_factory=list)
    surplus_by_shard: Counter[int] = field(default_factory=Counter)

    @property
    def differing(self) -> int:
        """Documents that differ."""
        return self.lost_count + self.stale_count + self.surplus_count

    def add(self, batch: Batch) -> None:
        """Count a batch, and list as much of it as there is room for."""
        self.refused += batch.refused
        self.newer += batch.newer
        self.lost_count += len(batch.lost)
        self.stale_count += len(batch.stale)
        self.surplus_count += len(batch.surplus)
        self.surplus_by_shard.update(one.shard for one in batch.surplus)
        self.lost += batch.lost[: LISTED - len(self.lost)]
        self.stale += batch.stale[: LISTED - len(self.stale)]
        self.surplus += batch.surplus[: LISTED - len(self.surplus)]


def compare(
    client: OpenSearch,
    part: Part,
    origin_field: str,
    upto: Mapping[int, int] | None = None,
    known: Collection[Key] = frozenset(),
    keep: Callable[[], None] | None = None,
    equal: Mapping[int, int] | None = None,
) -> IndexComparison:
    """Compare a part's source and target; arguments as for `differences`."""
    sides, bounds = Sides(client, part, origin_field), _bounds(client, part, upto)
    found = IndexComparison(bounds)
    for batch in _differences(sides, bounds, upto is not None, known, keep, equal or {}):
        found.add(batch)
    found.requests = sides.requests
    return found


def differences(
    client: OpenSearch,
    part: Part,
    origin_field: str,
    upto: Mapping[int, int] | None = None,
    known: Collection[Key] = frozenset(),
    keep: Callable[[], None] | None = None,
    equal: Mapping[int, int] | None = None,
) -> Iterator[Batch]:
    """Find every difference, in batches; memory holds a few thousand numbers, however many differ.

    Both sides are refreshed first. Afterwards each document that seems to differ is looked up as it is at
    that moment, so writes during the comparison are no differences.

    Args:
        client: the cluster.
        part: whose source and target are compared.
        origin_field: the target's field that names what each document was copied from.
        upto: for each source shard, the ``_seq_no`` up to which the target has been brought; versions beyond
            are not compared. It must have been read before this call. ``None``: up to the newest; then an
            origin beyond it is an error as well.
        known: id and routing of documents that the target lacks, or holds at an old version, for a reason
            that the caller knows.
        keep: is called now and then, to keep a lease.
        equal: for each source shard, the ``_seq_no`` up to which an earlier comparison found no difference,
            since when only the job wrote to the target. The comparison is then as exact at a tenth of the
            cost. ``None``: there was none.
    """
    sides, bounds = Sides(client, part, origin_field), _bounds(client, part, upto)
    return _differences(sides, bounds, upto is not None, known, keep, equal or {})


def _bounds(client: OpenSearch, part: Part, upto: Mapping[int, int] | None) -> Mapping[int, int]:
    return patiently(lambda: admin.checkpoints(client, part.source)) if upto is None else upto


def _differences(
    sides: Sides,
    upto: Mapping[int, int],
    bounded: bool,
    known: Collection[Key],
    keep: Callable[[], None] | None,
    equal: Mapping[int, int],
) -> Iterator[Batch]:
    sides.refresh()
    for shard, counts in _numbers(sides, upto, equal, keep):
        yield _judged(sides, shard, counts, upto[shard], known)
    foreign = sides.foreign(upto, bounded=bounded)
    if sides.count(foreign):
        for page in sides.pages(foreign):
            batch = Batch()
            _add_surplus(sides, page, max(upto.values(), default=-1), batch, -1)
            yield batch
            if keep is not None:
                keep()


def _numbers(
    sides: Sides, upto: Mapping[int, int], equal: Mapping[int, int], keep: Callable[[], None] | None
) -> Iterator[tuple[int, dict[int, tuple[int, int]]]]:
    """Yield, page by page of a shard, the numbers that differ and their counts in source and target.

    The stretch found last is read first: so few stretches are in memory, even while many differ.
    """
    waiting = [
        look for shard, last in upto.items() for look in first_looks(shard, last, equal.get(shard, -1))
    ]
    while waiting:
        looks = _next(waiting)
        for look, (source, target) in zip(looks, sides.sums(looks), strict=True):
            found = differing(look, source, target)
            if look.width > 1:
                waiting += narrower_looks(look, found)
                continue
            for some in _pages(found, sides.page):
                yield (
                    look.shard,
                    {one: (source.get(one, NOTHING).size, target.get(one, NOTHING).size) for one in some},
                )
        if keep is not None:
            keep()


def _next(waiting: list[Look]) -> list[Look]:
    """Take the last looks, as many as one answer has room for."""
    taken: list[Look] = []
    buckets = 0
    while waiting and len(taken) < _TOGETHER:
        size = sum((last - first) // waiting[-1].width + 1 for first, last in waiting[-1].ranges)
        if taken and buckets + size > MOST_BUCKETS:
            break
        taken.append(waiting.pop())
        buckets += size
    return taken


def _judged(
    sides: Sides,
    shard: int,
    counts: Mapping[int, tuple[int, int]],
    last: int,
    known: Collection[Key],
) -> Batch:
    """Look up the documents of numbers that differ, and report what is wrong with each."""
    in_source = sides.in_source(shard, [one for one, (there, _) in counts.items() if there])
    copied = {one: there for one, (_, there) in counts.items() if there}
    in_target = list(chain.from_iterable(sides.in_target(shard, copied)))
    held = {(one.key, one.number) for one in in_target}
    right = {(one.key, one.number) for one in in_source}
    batch = Batch()
    _add_missing(sides, shard, [one for one in in_source if (one.key, one.number) not in held], known, batch)
    extra = [one for one in in_target if (one.key, one.number) not in right]
    for page in _pages(extra, sides.page):
        _add_surplus(sides, page, last, batch, shard)
    return batch


def _add_missing(
    sides: Sides, shard: int, documents: Sequence[Numbered], known: Collection[Key], batch: Batch
) -> None:
    """Judge the source's documents that the target lacks as they are: lost or stale, unless they changed."""
    now = sides.now_in_source([one.key for one in documents])
    still = [one for one, seq_no in zip(documents, now, strict=True) if seq_no == one.seq_no]
    for one, origin in zip(still, sides.now_in_target([one.key for one in still]), strict=True):
        if origin == (shard, one.seq_no):
            continue  # it was written just now
        if one.key in known:
            batch.refused += 1
        elif origin is None:
            batch.lost.append(Lost(one.doc_id, one.routing, shard, one.seq_no))
        else:
            number = origin[1] if origin[0] == shard else -1
            batch.stale.append(Stale(one.doc_id, one.routing, shard, one.seq_no, number))


def _add_surplus(sides: Sides, documents: Sequence[Numbered], last: int, batch: Batch, shard: int) -> None:
    """Judge the target's documents whose version is not in the source; if another is, that one is stale."""
    now = sides.now_in_source([one.key for one in documents])
    for one, seq_no in zip(documents, now, strict=True):
        if seq_no is None:
            batch.surplus.append(
                Surplus(one.doc_id, one.routing, one.seq_no, one.primary_term, shard < 0, shard)
            )
        elif seq_no > last:
            batch.newer += 1


def _pages(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (values[start : start + size] for start in range(0, len(values), size))
