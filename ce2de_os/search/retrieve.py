"""Retrieve the ids of the best documents for many questions at once, for training."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from opensearchpy import OpenSearch

from ce2de_os.errors import BackendError, ConfigError
from ce2de_os.index.admin import patiently
from ce2de_os.index.client import backend_errors, with_part
from ce2de_os.records import Query, ScoredDoc
from ce2de_os.search import answers, queries
from ce2de_os.search.queries import Body
from ce2de_os.search.question import MOST, Question
from ce2de_os.search.target import embedded_in, query_vector, read_target
from ce2de_os.search.vectors import QueryEncoder, model_of

_REQUEST = 32  # searches in one `_msearch`: a live cluster has others to serve


class Bm25Retriever:
    """Finds documents by their words, in any of some text fields.

    Args:
        client: the connection to OpenSearch.
        index: an index or an alias.
        fields: the fields to search; ``None``: the embedded text under the analyzer of its language where the
            index has that, else the fields that were embedded, else every text field.

    Raises:
        IndexSchemaError: there is no such index, or it has no text field.
        BackendError: OpenSearch does not answer, or rejects the request.
    """

    def __init__(self, client: OpenSearch, index: str, fields: Sequence[str] | None = None) -> None:
        self._client = client
        self._index = index
        self._target = read_target(client, index)
        self._given = fields
        self._target.check_fields(Question("", fields=fields))
        self.fields = tuple(fields or self._target.lexical_fields())

    def __call__(self, asked: Sequence[Query], top_k: int) -> dict[str, list[ScoredDoc]]:
        """Return the best ``top_k`` documents of each query, best first; an empty list if nothing matches.

        Raises:
            ConfigError: ``top_k`` is not between 1 and 10,000.
            BackendError: OpenSearch rejects one of the searches, or does not answer for two minutes.
        """
        for words in queries.word_limits():
            bodies = [self._target.lexical(query.text, self._given, words=words) for query in asked]
            try:
                return _retrieve(self._client, self._index, asked, bodies, top_k)
            except BackendError as error:
                if words == 1 or not queries.is_too_long(error):
                    raise
        raise AssertionError("unreachable: the last limit raises")


class DenseRetriever:
    """Finds documents by the vectors that an index carries.

    Args:
        client: the connection to OpenSearch.
        index: an index or an alias that ``ce2de reindex`` has filled.
        encoder: the model whose vectors the index carries.

    Raises:
        IndexSchemaError: there is no such index, or it has no vectors.
        ArtifactMismatchError: its vectors are another model's.
        BackendError: OpenSearch does not answer, or rejects the request.
    """

    def __init__(self, client: OpenSearch, index: str, encoder: QueryEncoder) -> None:
        self._client = client
        self._index = index
        self._encoder = encoder
        self._target = read_target(client, index)
        self._metadata = embedded_in(self._target, encoder.space, fingerprint=model_of(encoder))
        self.vector_field = self._metadata.vector_field

    def __call__(self, asked: Sequence[Query], top_k: int) -> dict[str, list[ScoredDoc]]:
        """Return each query's nearest ``top_k`` documents, nearest first; raises like `Bm25Retriever`."""
        vectors = self._encoder.encode_queries([query.text for query in asked])
        bodies = [
            queries.dense_query(
                query_vector(self._target, self._metadata, vector),
                self.vector_field, top_k, [], self._metadata.passages,
            )
            for vector in vectors
        ]  # fmt: skip
        return _retrieve(self._client, self._index, asked, bodies, top_k)


def _retrieve(
    client: OpenSearch, index: str, asked: Sequence[Query], bodies: Sequence[Body], top_k: int
) -> dict[str, list[ScoredDoc]]:
    if not 1 <= top_k <= MOST:
        raise ConfigError(f"depth: got {top_k}, expected 1 to {MOST:,}, the most OpenSearch gives at once")
    runs: dict[str, list[ScoredDoc]] = {}
    for start in range(0, len(asked), _REQUEST):
        chunk = bodies[start : start + _REQUEST]
        rankings = patiently(partial(_msearch, client, index, chunk, top_k))
        for query, ranking in zip(asked[start:], rankings, strict=False):
            runs[query.query_id] = ranking
    return runs


def _msearch(client: OpenSearch, index: str, bodies: Sequence[Body], top_k: int) -> list[list[ScoredDoc]]:
    # A shard that does not answer is an error: half a ranking would silently teach the wrong thing.
    header = {"index": index, "allow_partial_search_results": False}
    lines = [
        line
        for body in bodies
        for line in (header, {"query": body, "size": top_k, "_source": False, "track_total_hits": False})
    ]
    with backend_errors(f"search {index}"):
        responses = with_part(f"search {index}", client.msearch(body=lines), "responses")["responses"]
        for answer in responses:
            answers.check(answer)
    return [_ranking(answer) for answer in responses]


def _ranking(answer: answers.Answer) -> list[ScoredDoc]:
    """Return the documents, best first, equal ones by id; an id in several indices counts once."""
    best: dict[str, float] = {}
    for found in answers.found_in([answer]):
        best.setdefault(found.doc_id, found.score)
    return [ScoredDoc(*pair) for pair in sorted(best.items(), key=lambda pair: (-pair[1], pair[0]))]
