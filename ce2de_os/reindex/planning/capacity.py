"""Compute what a reindex costs in memory, disk, shards and time, from plain numbers, without a server.

Bytes of memory per vector follow OpenSearch's published formula for HNSW graphs, with ``d`` dimensions of
``b`` bytes (float 4, fp16 2, byte 1, binary 1/8) and ``m`` links::

    1.1 * (b * d + 8 * m)
"""

from __future__ import annotations

import heapq
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ce2de_os.errors import ConfigError
from ce2de_os.index.vector_field import VectorField

GB = 10**9


@dataclass(frozen=True)
class Storage:
    """One way to keep vectors.

    Attributes:
        engine: k-NN engine.
        option: the ``compression_level``, or ``byte`` for that ``data_type``.
        stored_as: how an element is kept in memory.
        element_bytes: memory for one element.
        full_bytes: disk for one element, without the graph file: merging and rescoring read it. Lucene's
            graph of uncompressed elements has no copy of its own, so there it is 0.
        since: the first OpenSearch version that supports it.
    """

    engine: str
    option: str
    stored_as: str
    element_bytes: float
    full_bytes: float
    since: tuple[int, int]


BYTE = "byte"
STORAGES = (
    Storage("lucene", "1x", "float", 4, 0, (2, 2)),
    Storage("lucene", "4x", "7 bit", 1, 4, (2, 17)),
    Storage("lucene", "32x", "binary", 1 / 8, 4, (3, 6)),
    Storage("lucene", BYTE, "byte", 1, 0, (2, 9)),
    Storage("faiss", "1x", "float", 4, 4, (2, 2)),
    Storage("faiss", "2x", "fp16", 2, 4, (2, 17)),
    Storage("faiss", "8x", "4 bit", 1 / 2, 4, (2, 17)),
    Storage("faiss", "16x", "2 bit", 1 / 4, 4, (2, 17)),
    Storage("faiss", "32x", "binary", 1 / 8, 4, (2, 17)),
    Storage("faiss", BYTE, "byte", 1, 1, (2, 17)),
)

SMALLEST_SHARD_BYTES, LARGEST_SHARD_BYTES = 10 * GB, 50 * GB
LUCENE_MAX_DOCUMENTS = 2**31 - 129  # in one shard: Lucene's own limit
DELETED_SHARE = 0.2
"""Share of a shard that may be deleted documents before Lucene merges them away (``deletes_pct_allowed``)."""

LARGEST_MERGE_BYTES = 5 * 2**30
"""A merge writes a segment of at most this size before the old ones go (``max_merged_segment``)."""

SOURCE_BYTES_PER_FLOAT, SOURCE_BYTES_PER_BYTE = 6.1, 1.7
"""Disk for one number of a vector in ``_source``, compressed JSON: six decimals, or a whole number.

Measured on random vectors of 384 dimensions in OpenSearch 3.6 with the default codec: 6.03 and 1.69."""

BYTES_PER_TOKEN_NUMBER = 2.4
"""Disk for one number of a token vector: a byte in its column, and base64 in ``_source``.

Measured on Cranfield's abstracts, 64 numbers a token, in OpenSearch 3.6 with the default codec: 2.35."""

_OVERHEAD = 1.1  # of the published formula
_UNITS = {"b": 1, "kb": 2**10, "mb": 2**20, "gb": 2**30, "tb": 2**40, "pb": 2**50}


@dataclass(frozen=True)
class MemoryRow:
    """One line of the memory table; all copies of all shards together.

    Attributes:
        engine: k-NN engine.
        option: the ``compression_level``, or ``byte`` for that ``data_type``.
        stored_as: how an element is kept in memory.
        bytes_per_vector: by the published formula.
        primaries_bytes: one copy of every vector.
        total_bytes: with replicas.
        disk_bytes: files of the vectors on disk, with replicas.
    """

    engine: str
    option: str
    stored_as: str
    bytes_per_vector: float
    primaries_bytes: float
    total_bytes: float
    disk_bytes: float


@dataclass(frozen=True)
class ShardLoad:
    """The primary shards of one index, all of the same size, and how many copies of each get a node.

    ``shard_bytes`` is the size of a shard when the job is finished, ``new_bytes`` what the job adds to it,
    headroom for merges included, and ``vectors`` the number of vectors in one shard.
    """

    index: str
    shards: int
    copies: int
    documents: int
    shard_bytes: float
    new_bytes: float
    vectors: float


def storages(version: tuple[int, int]) -> tuple[Storage, ...]:
    """Return the ways to store vectors that an OpenSearch version supports."""
    return tuple(storage for storage in STORAGES if version >= storage.since)


def storage_of(field: VectorField, version: tuple[int, int]) -> Storage:
    """Return how a field's vectors are stored.

    Raises:
        ConfigError: the version does not have it.
    """
    on_disk = "4x" if field.engine == "lucene" and version < (3, 6) else "32x"
    option = field.compression_level or (on_disk if field.mode == "on_disk" else "1x")
    if field.encoder == "fp16":
        option = "2x"
    if field.data_type == BYTE:
        option = BYTE
    there = [storage for storage in storages(version) if storage.engine == field.engine]
    found = next((storage for storage in there if storage.option == option), None)
    if found is None:
        raise ConfigError(
            f"{field.engine} has no {option} in OpenSearch {version[0]}.{version[1]}, it has "
            f"{', '.join(storage.option for storage in there)}; choose one of them or another `engine`"
        )
    return found


def memory_per_vector(dim: int, m: int, storage: Storage) -> float:
    """Return the bytes of memory for one vector and its links, by the published formula."""
    return _OVERHEAD * (storage.element_bytes * dim + 8 * m)


def disk_per_vector(dim: int, m: int, storage: Storage, *, derived_source: bool) -> float:
    """Return the bytes of disk for one vector in one copy of its shard.

    A graph file as large as the memory that it takes, the full elements, and unless ``derived_source`` the
    vector once more as text in ``_source``.
    """
    number = SOURCE_BYTES_PER_BYTE if storage.option == BYTE else SOURCE_BYTES_PER_FLOAT
    text = 0.0 if derived_source else number * dim
    return memory_per_vector(dim, m, storage) + storage.full_bytes * dim + text


def disk_per_tokens(token_dim: int | None, tokens: float) -> float:
    """Return the bytes of disk for one document's token vectors in one copy; ``None``: no such field."""
    return BYTES_PER_TOKEN_NUMBER * (token_dim or 0) * tokens


def memory_table(
    dim: int,
    m: int,
    vectors: Sequence[tuple[float, int]],
    version: tuple[int, int],
    *,
    derived_source: bool,
) -> tuple[MemoryRow, ...]:
    """Compute the memory of every engine and compression; ``vectors``: number and copies per index."""
    primaries = sum(number for number, _ in vectors)
    total = sum(number * copies for number, copies in vectors)
    rows = []
    for storage in storages(version):
        memory = memory_per_vector(dim, m, storage)
        rows.append(
            MemoryRow(
                engine=storage.engine,
                option=storage.option,
                stored_as=storage.stored_as,
                bytes_per_vector=memory,
                primaries_bytes=memory * primaries,
                total_bytes=memory * total,
                disk_bytes=disk_per_vector(dim, m, storage, derived_source=derived_source) * total,
            )
        )
    return tuple(rows)


def copies(replicas: int, nodes: int | None) -> int:
    """Return the copies of a shard that get a node: two never share one; ``nodes`` ``None``: all of them."""
    return replicas + 1 if nodes is None else max(1, min(replicas + 1, nodes))


def shard_load(
    index: str,
    shards: int,
    copies: int,
    documents: int,
    *,
    store_bytes: float,
    vectors: float,
    vector_bytes: float,
    in_place: bool,
    text_bytes: float = 0.0,
) -> ShardLoad:
    """Compute what one index's shards hold at the end, and how much of it is new.

    Args:
        index: name of the source index.
        shards: primary shards, which the target has too.
        copies: copies of each shard that get a node.
        documents: documents in the index.
        store_bytes: size of the source's primaries on disk.
        vectors: documents that get a vector.
        vector_bytes: disk for one vector, see `disk_per_vector`.
        in_place: whether the documents stay where they are; else a second copy of them is written.
        text_bytes: what the fields for the languages add to the index; 0: there are none.

    """
    added = (vectors * vector_bytes + text_bytes) / shards
    final = store_bytes / shards + added
    new = (added if in_place else final) + merge_headroom(final)
    return ShardLoad(index, shards, copies, documents, final, new, vectors / shards)


def merge_headroom(shard_bytes: float) -> float:
    """Return the bytes that merging needs temporarily, in addition to a shard of this size."""
    return max(DELETED_SHARE * shard_bytes, min(shard_bytes, LARGEST_MERGE_BYTES))


def unplaced(sizes: Iterable[float], rooms: Iterable[float]) -> int:
    """Count the pieces that fit nowhere; place the largest first, where there is most room."""
    heap = [-room for room in rooms]
    heapq.heapify(heap)
    left = 0
    for size in sorted(sizes, reverse=True):
        if heap and -heap[0] >= size:
            heapq.heapreplace(heap, heap[0] + size)
        else:
            left += 1
    return left


def room(total_bytes: float, free_bytes: float, watermark: str | None) -> float:
    """Return the bytes that can be written to a disk until it reaches a watermark; 0 if it is above.

    A watermark is the used share (``85%`` or ``0.85``) or the free bytes that must stay (``50gb``); ``None``
    means that the disk may be filled.

    Raises:
        ValueError: the watermark is neither.
    """
    if watermark is None:
        return max(0.0, free_bytes)
    share = parse_share(watermark)
    kept = parse_bytes(watermark) if share is None else total_bytes * (1 - share)
    return max(0.0, free_bytes - kept)


def breaker_limit(setting: str, memory_bytes: float, heap_bytes: float) -> float:
    """Return a node's k-NN breaker limit in bytes: ``50%`` of the memory outside the heap, or ``8gb``.

    Raises:
        ValueError: the setting is neither.
    """
    share = parse_share(setting)
    return parse_bytes(setting) if share is None else share * max(0.0, memory_bytes - heap_bytes)


def parse_share(text: str) -> float | None:
    """Parse ``85%`` or ``0.85`` to 0.85; ``None`` for anything else."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(%?)\s*", text)
    if found is None:
        return None
    number = float(found[1]) / (100 if found[2] else 1)
    return number if found[2] or number <= 1 else None


def parse_bytes(text: str) -> float:
    """Convert an OpenSearch byte size such as ``50gb``, in 1024-based units, to bytes.

    Raises:
        ValueError: it is none.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgtp]?b)?\s*", text.lower())
    if found is None:
        raise ValueError(f"got '{text}', expected a size such as 50gb")
    return float(found[1]) * _UNITS[found[2] or "b"]


def fewest_shards(primaries_bytes: float, documents: int) -> int:
    """Return the number of shards that keeps each below 50 GB and below Lucene's limit of documents."""
    by_size = math.ceil(primaries_bytes / LARGEST_SHARD_BYTES)
    return max(1, by_size, math.ceil(documents / LUCENE_MAX_DOCUMENTS))


def most_shards(primaries_bytes: float) -> int:
    """Return the number of primary shards that keeps each at 10 GB or more; one for a small index."""
    return max(1, math.floor(primaries_bytes / SMALLEST_SHARD_BYTES))


def seconds_for(documents: float, docs_per_s: float, workers: int) -> float:
    """Estimate the seconds to encode the documents with ``workers``, each at ``docs_per_s``."""
    return documents / (docs_per_s * workers)


def workers_for(documents: float, docs_per_s: float, within_s: float) -> int:
    """Estimate the number of workers that encode the documents within a time."""
    return max(1, math.ceil(documents / (docs_per_s * within_s)))
