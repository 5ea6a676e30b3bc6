"""Reads the pages of one shard, in sizes that OpenSearch can deliver."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from opensearchpy import OpenSearch

from ce2de_os.errors import BackendUnavailableError
from ce2de_os.index.admin import patiently
from ce2de_os.index.language_fields import language_field, text_field
from ce2de_os.reindex.job import Job
from ce2de_os.reindex.slices.source import SourceDocument, read_page

logger = logging.getLogger(__name__)

_PAUSE_S = 2.0
_ANY_SIZE = 512  # a page of this size can be read: no limit any more


class PageReader:
    """Reads pages of a shard; ``fields`` are those of ``_source`` to read, ``None``: all.

    Attributes:
        limit: most documents in a page, because larger ones could not be read; ``None``: no limit.
    """

    def __init__(
        self, client: OpenSearch, index: str, shard: int, fields: Sequence[str] | None, limit: int | None
    ) -> None:
        self._client, self._index, self._shard, self._fields = client, index, shard, fields
        self.limit = limit

    def read(self, after: int, upto: int, size: int) -> tuple[list[SourceDocument], int]:
        """Read a page of ``size`` documents, or of fewer if they cannot be read; return the size used.

        A page of large documents may need more memory, or time, than the cluster has (429, timeout).

        Raises:
            BackendUnavailableError: not even one document can be read for two minutes.
        """
        size = min(size, self.limit or size)
        while size > 1:
            try:
                documents = self._page(after, upto, size)
            except BackendUnavailableError as error:
                size = self.limit = size // 2
                keys = {"action": "page_too_large", "index": self._index, "shard": self._shard}
                told = {"documents": size, "error": str(error)}
                logger.warning("A page cannot be read; the next one is smaller", extra=keys | told)
                time.sleep(_PAUSE_S)
            else:
                self.limit = raised_limit(self.limit, size)
                return documents, size
        documents = patiently(lambda: self._page(after, upto, 1))
        self.limit = raised_limit(self.limit, 1)
        return documents, 1

    def next_document(self, after: int, upto: int) -> list[SourceDocument]:
        """Read the next document, if there is one, without its content."""
        return patiently(
            lambda: read_page(self._client, self._index, self._shard, after, upto, 1, with_source=False)
        )

    def _page(self, after: int, upto: int, size: int) -> list[SourceDocument]:
        return read_page(self._client, self._index, self._shard, after, upto, size, fields=self._fields)


def needed_fields(job: Job) -> tuple[str, ...] | None:
    """Return the fields that must be read of each document; ``None``: all, because it is copied."""
    if job.mode == "copy":
        return None
    spoken = job.languages
    languages = (text_field(job.vector.name), language_field(job.vector.name)) if spoken else ()
    named = (spoken.field,) if spoken and spoken.field else ()
    return (*job.text.fields, *job.vector.value_fields, job.hash_field, *languages, *named)


def raised_limit(limit: int | None, size: int) -> int | None:
    """Double the limit after a page of ``size`` documents could be read; ``None``: no limit anymore."""
    if limit is None or size < limit:
        return limit
    return 2 * size if 2 * size < _ANY_SIZE else None
