"""Delete from the target what was deleted from the source."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from opensearchpy import OpenSearch

from ce2de_os.index.admin import patiently
from ce2de_os.index.bulk import DeleteAction, write_documents
from ce2de_os.reindex.compare.differences import Surplus, differences
from ce2de_os.reindex.job import Part


def remove_surplus(
    client: OpenSearch,
    part: Part,
    origin_field: str,
    upto: Mapping[int, int] | None = None,
    keep: Callable[[], None] | None = None,
) -> int:
    """Delete what the target holds and the source does not; return the number of documents.

    The request goes through the target's guard, so it is rejected once the job may not write any more.
    ``upto`` and ``keep`` are as for `differences`. A document that comes back in the meantime is not deleted,
    or is written again by the worker that reads it next.
    """
    batches = differences(client, part, origin_field, upto, keep=keep)
    return sum(delete_surplus(client, part, batch.surplus) for batch in batches)


def delete_surplus(client: OpenSearch, part: Part, documents: Iterable[Surplus]) -> int:
    """Delete documents that a comparison found, unless they changed since; return the number of deletes."""
    actions = [DeleteAction(one.doc_id, one.routing, one.seq_no, one.primary_term) for one in documents]
    if not actions:
        return 0
    return patiently(lambda: write_documents(client, part.target, actions, guarded=True)).written
