"""Cut the operations of a job's source into slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ce2de_os.reindex.job import Range

SLICE_OPERATIONS = 1000
"""Least number of ``_seq_no`` in a slice; smaller slices would only cost messages."""

SLICES, SHARD_SLICES = 256, 5
"""Slices of a large job, and least of a large shard: shards are uneven, and workers are to end together."""

MAX_SLICES = 1024
"""Most slices of a job whose indices have fewer shards than that, so that the ledger stays small."""


def cut(checkpoints: Sequence[Mapping[int, int]]) -> tuple[Range, ...]:
    """Cut every shard's operations into slices of equal size; each shard's last slice has an open end.

    ``checkpoints`` maps, for each part, a shard to its global checkpoint, -1 for an empty shard.
    """
    shards = [
        (part, shard, checkpoint)
        for part, found in enumerate(checkpoints)
        for shard, checkpoint in sorted(found.items())
    ]
    count = max(1, len(shards))
    per_shard = max(1, min(MAX_SLICES // count, max(SLICES // count, SHARD_SLICES)))
    ranges = []
    for part, shard, checkpoint in shards:
        operations = checkpoint + 1
        parts = max(1, min(per_shard, operations // SLICE_OPERATIONS))
        bounds = [operations * number // parts - 1 for number in range(parts)]
        for after, upto in zip(bounds, [*bounds[1:], None], strict=True):
            ranges.append(Range(part, shard, after, upto))
    return tuple(ranges)
