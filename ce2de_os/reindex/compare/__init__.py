"""The exact comparison of a source with its copy, without reading all ids.

Each copied document says where it came from: the source's shard and ``_seq_no``. OpenSearch counts and adds
such numbers fast, so both sides are asked for the sums of stretches of each shard's history. Equal everywhere
means that the target holds exactly the source's live documents at their newest versions. Where stretches
differ they are cut into narrower ones, all in one request, down to single numbers; only their ids are read.
"""

from ce2de_os.reindex.compare.differences import (
    Batch,
    IndexComparison,
    Lost,
    Stale,
    Surplus,
    compare,
    differences,
)
from ce2de_os.reindex.compare.removal import remove_surplus

__all__ = [
    "Batch", "IndexComparison", "Lost", "Stale", "Surplus", "compare", "differences", "remove_surplus",
]  # fmt: skip
