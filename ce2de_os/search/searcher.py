"""HybridSearcher: one question, answered by BM25, by vectors, or by both."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol, get_args

from opensearchpy import OpenSearch

from ce2de_os.arrays import Embeddings
from ce2de_os.errors import ConfigError, DataError, IndexSchemaError
from ce2de_os.fusion import RRF_K, fuse_min_max, fuse_rrf
from ce2de_os.index.client import backend_errors
from ce2de_os.records import Hit, Leg, ScoredDoc
from ce2de_os.search import answers, queries
from ce2de_os.search.answers import Answer, Found
from ce2de_os.search.queries import Body, Filters
from ce2de_os.search.target import Target, Version, embedded_in, neural_search_version, read_target

Mode = Literal["hybrid", "bm25", "dense"]
Fusion = Literal["min_max", "rrf"]
Strategy = Literal["pipeline", "client"]

CANDIDATES = 100

DENSE_WEIGHT = 0.5
"""Half and half: the best or near it on Cranfield and CISI, see ``benchmarks/cranfield_quality.py``."""

# The neural-search version from which a pipeline does what is asked. min_max needs `pagination_depth`. RRF
# came with 2.19 too, but 2.19.1 counts ranks per shard and wants `rank_constant` elsewhere; 3.6.0 was tried.
PIPELINE_SINCE: dict[Fusion, Version] = {"min_max": (2, 19), "rrf": (3, 6)}


class QueryEncoder(Protocol):
    """What a searcher needs of an encoder; `ce2de_os.OnnxEncoder` is one."""

    @property
    def space(self) -> str:
        """Names the vector space, see `ce2de_os.artifact`."""

    def encode_queries(self, texts: Sequence[str], /) -> Embeddings:
        """Encode ``texts`` to ``(B, D)`` float32."""


class _Question(NamedTuple):
    """A checked call of `HybridSearcher.search`."""

    text: str
    top_k: int
    filters: list[Body]


class _Ranking(NamedTuple):
    """The answer to a question: documents with their final scores, and what each leg said of them."""

    documents: list[Found]
    bm25: dict[str, Leg]
    dense: dict[str, Leg]


class HybridSearcher:
    """Searches an index that ``ce2de reindex`` has filled, or any index by BM25 alone.

    A hybrid question takes the best ``candidates`` of each leg from every shard and fuses the two lists.
    Where the cluster has the hybrid query (neural-search 2.19 or later, 3.6 for RRF), a search pipeline fuses
    them; it travels in the request, so nothing is stored in the cluster. Elsewhere the same arithmetic runs
    here, with the same result.

    Nothing is sent before the first search. One searcher may be shared by threads. When its alias moves to
    another index, the searcher notices and checks that index's model too.

    Args:
        client: the connection to OpenSearch.
        index: an index or an alias; the indices behind an alias must carry vectors of one model.
        encoder: the model whose vectors the index carries; ``None`` if only ``mode="bm25"`` is used.
        fusion: ``"min_max"`` (weighted mean of normalised scores) or ``"rrf"`` (ranks only).
        dense_weight: share of the dense leg in ``"min_max"``, 0 to 1; BM25 has the rest.
        rrf_k: the rank constant of ``"rrf"``, 1 to 10,000.
        candidates: documents that each leg takes from each shard; at least ``top_k`` are taken.
        strategy: ``"pipeline"`` or ``"client"`` to force one; ``None``: whatever the cluster can do.

    Raises:
        ConfigError: an argument is outside these bounds.
    """

    def __init__(
        self,
        client: OpenSearch,
        index: str,
        encoder: QueryEncoder | None = None,
        *,
        fusion: Fusion = "min_max",
        dense_weight: float = DENSE_WEIGHT,
        rrf_k: int = RRF_K,
        candidates: int = CANDIDATES,
        strategy: Strategy | None = None,
    ) -> None:
        _check_choice("fusion", fusion, get_args(Fusion))
        _check_choice("strategy", strategy, (None, *get_args(Strategy)))
        _check_bounds("dense_weight", dense_weight, 0, 1)
        _check_bounds("rrf_k", rrf_k, 1, 10_000)
        _check_bounds("candidates", candidates, 1, 10_000)
        self._client = client
        self._index = index
        self._encoder = encoder
        self._fusion = fusion
        self._weights = (1 - dense_weight, dense_weight)
        self._rrf_k = rrf_k
        self._candidates = candidates
        self._strategy = strategy
        self._target: Target | None = None

    def search(
        self, query: str, top_k: int = 10, mode: Mode = "hybrid", filters: Filters = None
    ) -> list[Hit]:
        """The best ``top_k`` documents, best first; fewer where fewer match.

        Args:
            query: the question in plain words; what is beyond some hundred words is cut off.
            top_k: hits wanted.
            mode: ``"hybrid"``, ``"bm25"`` or ``"dense"``.
            filters: an OpenSearch query or several, which every hit must match and which score nothing.

        Raises:
            DataError: the query is blank, or ``filters`` are not OpenSearch queries.
            ConfigError: ``top_k`` is below 1, ``mode`` unknown, or the mode needs an encoder.
            ArtifactMismatchError: the index carries vectors of another model than the encoder's.
            IndexSchemaError: no such index, no vectors in it, or OpenSearch does not understand the filter.
            BackendError: OpenSearch does not answer or refuses.
        """
        _check_choice("mode", mode, get_args(Mode))
        _check_bounds("top_k", top_k, 1, None)
        if not query.strip():
            raise DataError("the query is empty; ask for at least one word")
        question = _Question(query, top_k, queries.as_filters(filters))
        return _hits(self._answer(question, mode))

    def _answer(self, question: _Question, mode: Mode) -> _Ranking:
        """Ask; if the name has come to mean another index since it was read, check that one and ask again."""
        known = self._target or self._read_target()
        try:
            ranking = self._ask(known, question, mode)
        except IndexSchemaError:
            if self._read_target() == known:
                raise
        else:
            if known.indices.issuperset(document.index_name for document in ranking.documents):
                return ranking
        return self._ask(self._read_target(), question, mode)

    def _read_target(self) -> Target:
        self._target = read_target(self._client, self._index)
        return self._target

    def _ask(self, target: Target, question: _Question, mode: Mode) -> _Ranking:
        text = queries.clip(question.text, len(target.text_fields))
        lexical = queries.lexical_query(text, target.text_fields, question.filters)
        if mode == "bm25":
            documents = self._search(target, lexical, question.top_k)
            return _Ranking(documents, answers.legs(documents), {})
        depth = max(self._candidates, question.top_k)
        dense = self._dense_query(target, text, depth, question.filters)
        if mode == "dense":
            documents = self._search(target, dense, question.top_k)
            return _Ranking(documents, {}, answers.legs(documents))
        if self._fuses_in_cluster():
            return self._fuse_by_pipeline(target, lexical, dense, question.top_k, depth)
        return self._fuse_here(target, lexical, dense, question.top_k, depth)

    def _dense_query(self, target: Target, text: str, depth: int, filters: list[Body]) -> Body:
        if self._encoder is None:
            raise ConfigError("only mode 'bm25' works without an encoder; pass one to the searcher")
        metadata = embedded_in(target, self._encoder.space)
        vector = self._encoder.encode_queries([text])[0].tolist()
        return queries.dense_query(vector, metadata.vector_field, depth, filters)

    def _fuses_in_cluster(self) -> bool:
        if self._strategy == "client":
            return False
        version, needed = self._neural_search, PIPELINE_SINCE[self._fusion]
        if self._strategy is None:
            return version is not None and version >= needed
        if version is not None and version < needed:
            raise ConfigError(
                f"strategy 'pipeline' with fusion '{self._fusion}' needs neural-search {_dotted(needed)}, "
                f"the cluster has {_dotted(version)}; leave the strategy out, or use 'client'"
            )
        return True

    @cached_property
    def _neural_search(self) -> Version | None:
        return neural_search_version(self._client)

    def _fuse_by_pipeline(
        self, target: Target, lexical: Body, dense: Body, top_k: int, depth: int
    ) -> _Ranking:
        # The hybrid answer holds fused scores only. Asking both legs beside it in the same round trip is the
        # cheapest way to their raw scores and ranks: named queries and `explain` score every hit once more,
        # run the vector search again while fetching, and know no ranks.
        hybrid = {
            **_body(target, queries.hybrid_query([lexical, dense], depth), top_k),
            "search_pipeline": self._pipeline(),
        }
        requests = [({"index": target.name}, hybrid), *_leg_requests(target, lexical, dense, depth)]
        fused, *rest = self._msearch(target, requests)
        bm25, dense_leg = _leg_answers(rest)
        documents = sorted(answers.found_in([fused]), key=lambda found: (-found.score, found.key))
        return _Ranking(documents, answers.legs(bm25), answers.legs(dense_leg))

    def _fuse_here(self, target: Target, lexical: Body, dense: Body, top_k: int, depth: int) -> _Ranking:
        responses = self._msearch(target, _leg_requests(target, lexical, dense, depth))
        bm25, dense_leg = _leg_answers(responses)
        fused = self._fuse(answers.scored(bm25), answers.scored(dense_leg))[:top_k]
        known = {found.key: found for found in (*bm25, *dense_leg)}
        best = [known[document.doc_id]._replace(score=document.score) for document in fused]
        return _Ranking(self._with_sources(target, best), answers.legs(bm25), answers.legs(dense_leg))

    def _fuse(self, bm25: list[ScoredDoc], dense: list[ScoredDoc]) -> list[ScoredDoc]:
        if self._fusion == "rrf":
            return fuse_rrf([bm25, dense], self._rrf_k)
        return fuse_min_max([bm25, dense], self._weights)

    def _pipeline(self) -> Body:
        if self._fusion == "rrf":
            return queries.rrf_pipeline(self._rrf_k)
        return queries.min_max_pipeline(self._weights)

    def _search(self, target: Target, query: Body, top_k: int) -> list[Found]:
        with backend_errors(f"search {target.name}"):
            answer = self._client.search(index=target.name, body=_body(target, query, top_k))
            answers.check(answer)
        return sorted(answers.found_in([answer]), key=lambda found: (-found.score, found.key))

    def _msearch(self, target: Target, requests: Sequence[tuple[Body, Body]]) -> list[Answer]:
        lines = [line for request in requests for line in request]
        with backend_errors(f"search {target.name}"):
            responses: list[Answer] = self._client.msearch(body=lines)["responses"]
            for answer in responses:
                answers.check(answer)
        return responses

    def _with_sources(self, target: Target, documents: list[Found]) -> list[Found]:
        """Fetch the sources; a document deleted since it was found is left out."""
        if not documents:
            return []
        wanted = [_address(found) for found in documents]
        params = {"realtime": "false", "_source_excludes": ",".join(target.vector_fields)}
        with backend_errors(f"fetch documents of {target.name}"):
            fetched = self._client.mget(body={"docs": wanted}, params=params)["docs"]
        pairs = zip(documents, fetched, strict=True)
        return [found._replace(source=one["_source"]) for found, one in pairs if one.get("found")]


def _body(target: Target, query: Body, size: int) -> Body:
    return {"query": query, "size": size, "_source": {"excludes": list(target.vector_fields)}}


def _address(found: Found) -> Body:
    address = {"_index": found.index_name, "_id": found.doc_id}
    return {**address, "routing": found.routing} if found.routing else address


def _leg_requests(target: Target, lexical: Body, dense: Body, depth: int) -> list[tuple[Body, Body]]:
    """Both legs, shard by shard: the BM25 searches first, then as many dense ones.

    A pipeline normalises over the best ``depth`` documents of every shard. One search over all shards would
    return the best of all together, a different lowest score, and with it different fused scores.
    """
    # Behind an alias, `_shards:0` means shard 0 of each index.
    size = depth * len(target.indices)
    headers: list[Body] = [{"index": target.name}]
    if target.shards > 1:
        headers = [{"index": target.name, "preference": f"_shards:{n}"} for n in range(target.shards)]
    bodies = ({"query": query, "size": size, "_source": False} for query in (lexical, dense))
    return [(header, body) for body in bodies for header in headers]


def _leg_answers(responses: Sequence[Answer]) -> tuple[list[Found], list[Found]]:
    half = len(responses) // 2
    return answers.found_in(responses[:half]), answers.found_in(responses[half:])


def _hits(ranking: _Ranking) -> list[Hit]:
    return [
        Hit(
            found.doc_id,
            found.score,
            rank,
            found.source,
            ranking.bm25.get(found.key),
            ranking.dense.get(found.key),
        )
        for rank, found in enumerate(ranking.documents, start=1)
    ]


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))


def _check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:  # noqa: ANN401
    if value not in choices:
        expected = ", ".join(repr(choice) for choice in choices)
        raise ConfigError(f"{name}: got {value!r}, expected one of {expected}")


def _check_bounds(name: str, value: float, low: float, high: float | None) -> None:
    if not low <= value or (high is not None and value > high):  # NaN fails the first comparison
        expected = f"at least {low}" if high is None else f"{low} to {high}"
        raise ConfigError(f"{name}: got {value}, expected {expected}")
