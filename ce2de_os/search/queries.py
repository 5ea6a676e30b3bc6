"""Request bodies for OpenSearch, built by pure functions from plain values."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ce2de_os.errors import DataError

Body = dict[str, Any]
Filters = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None
"""One OpenSearch query, several that must all hold, or none."""

MAX_CLAUSES = 1024
"""OpenSearch's default for ``indices.query.bool.max_clause_count``: one clause is one word in one field."""

PASSAGE_VECTOR = "vector"
"""The field of a passage that holds its vector, next to ``start`` and ``end``."""

MAX_WORDS = 512
"""Most words of a query; the encoder reads fewer anyway."""

_WORD = re.compile(r"\w+|[^\w\s]")


def clip(text: str, fields: int, others: int = 0, words: int = MAX_WORDS) -> str:
    """Cut ``text`` after as many words as fit into OpenSearch's clause limit when ``fields`` are searched.

    A script without upper and lower case (Chinese, Thai, ...) may be split anywhere, so there each character
    counts as a word, and so does each emoji. Half of the limit stays free, because analyzers may make two
    words of one. Lone surrogates, which no request can carry, become question marks.

    Args:
        text: the question.
        fields: text fields that are searched: a clause for each word in each.
        others: fields of other types that are searched too: a clause each.
        words: the most words to keep.
    """
    text = text.encode("utf-8", "replace").decode("utf-8")
    left = max(1, min(words, (MAX_CLAUSES // 2 - others) // max(fields, 1)))
    for match in _WORD.finditer(text):
        word = match.group()
        cost = _cost(word)
        if cost > left:
            return text[: match.start() + left].rstrip() if cost > 1 else text[: match.start()].rstrip()
        left -= cost
    return text


def word_limits() -> Iterator[int]:
    """Yield how many words to search, where it turns out that a cluster takes fewer: half of them each time.

    An analyzer, such as one for n-grams or synonyms, may make dozens of words of one, and a cluster's limit
    may be below the default; only the cluster's answer shows it.
    """
    limit = MAX_WORDS
    while limit:
        yield limit
        limit //= 2


def is_too_long(error: Exception) -> bool:
    """Return whether OpenSearch refused a query for its number of clauses."""
    return any(name in str(error) for name in ("maxClauseCount", "too_many_clauses", "too_many_nested"))


def _cost(word: str) -> int:
    if len(word) == 1 and not word.isalnum():
        return int(unicodedata.category(word) in ("So", "Sk"))  # an emoji or a part of one; "_" is none
    return 1 if word.lower() != word.upper() or word.isdigit() else len(word)


def as_filters(filters: Filters) -> list[Body]:
    """Convert ``filters`` to a list of queries that must all match.

    Raises:
        DataError: a filter is not a query object such as ``{"term": {"lang": "en"}}``.
    """
    several = [filters] if isinstance(filters, Mapping) and filters else filters or []
    if not isinstance(several, Sequence) or not all(one and isinstance(one, Mapping) for one in several):
        raise DataError(
            f"filters: got {filters!r:.80}, expected OpenSearch queries such as {{'term': {{'lang': 'en'}}}}"
        )
    return [dict(one) for one in several]


def default_lexical(text: str, fields: Sequence[str]) -> Body:
    """Build a query for ``text`` in any of ``fields`` (``"title^3"``: with a boost); their scores add up.

    ``lenient``: a field that cannot hold words, such as a number, does not match instead of failing.
    """
    return {"multi_match": {"query": text, "fields": list(fields), "type": "most_fields", "lenient": True}}


def by_language(text: str, fields: Sequence[str]) -> Body:
    """Build a query for ``text`` in the fields of all languages; each field's analyzer reads the words.

    A document has its text in one of the fields. So its score is that of its own field, and documents of all
    languages compete: the best field counts (``best_fields``, a ``dis_max``), nothing is added up. Word
    frequencies differ from field to field: an English word in an Italian text weighs more than in an English
    one.
    """
    return {"multi_match": {"query": text, "fields": list(fields), "type": "best_fields", "lenient": True}}


def filtered(query: Mapping[str, Any], filters: Sequence[Body]) -> Body:
    """Add filters to ``query``; they do not change its scores."""
    return {"bool": {"must": [dict(query)], "filter": list(filters)}} if filters else dict(query)


def dense_query(
    vector: Sequence[float],
    field: str,
    candidates: int,
    filters: Sequence[Body],
    passages: bool = False,
) -> Body:
    """Build the dense leg: the ``candidates`` nearest documents of each shard that pass the filters.

    The filter is inside ``knn``, so it is applied during the search; outside, it would leave fewer
    than ``candidates`` documents. ``passages``: ``field`` is nested, and its best passage counts.
    """
    knn: Body = {"vector": list(vector), "k": candidates}
    if filters:
        knn["filter"] = {"bool": {"filter": list(filters)}}
    if not passages:
        return {"knn": {field: knn}}
    query: Body = {"knn": {f"{field}.{PASSAGE_VECTOR}": knn}}
    return {"nested": {"path": field, "query": query, "score_mode": "max"}}


def best_passage(vector: Sequence[float], field: str, doc_ids: Sequence[str]) -> Body:
    """Build a query that returns each document's nearest passage as its only inner hit."""
    query = dense_query(vector, field, len(doc_ids), [by_ids(doc_ids)], passages=True)
    query["nested"]["inner_hits"] = {"size": 1, "_source": [f"{field}.start", f"{field}.end"]}
    return query


def by_ids(doc_ids: Sequence[str]) -> Body:
    """Build a query for the documents with these ids."""
    return {"ids": {"values": list(doc_ids)}}


def either(legs: Sequence[Body]) -> Body:
    """Build a query for documents that match any of the legs: for counting, aggregating and sorting."""
    return {"bool": {"should": list(legs), "minimum_should_match": 1}}


def hybrid_query(legs: Sequence[Body], candidates: int) -> Body:
    """Build one query of both legs; each shard gives the pipeline ``candidates`` documents per leg."""
    return {"hybrid": {"queries": list(legs), "pagination_depth": candidates}}
