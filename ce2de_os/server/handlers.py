"""What each path answers."""

from __future__ import annotations

import asyncio
import base64
import time
from typing import Any

import numpy as np
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response

from ce2de_os.model.artifact import Artifact
from ce2de_os.server.answers import HttpError, json_response
from ce2de_os.server.bodies import Bodies
from ce2de_os.server.counters import Counters
from ce2de_os.server.engine import DOCUMENTS, QUERIES, RERANKS, Engine
from ce2de_os.server.lanes import Computed, LaneCall, Values
from ce2de_os.server.openapi import document, page
from ce2de_os.server.parsing import (
    EmbeddingRequest,
    RerankRequest,
    embedding_request,
    model_id,
    rerank_request,
)
from ce2de_os.server.request import ServeRequest

SOON_S = 0.02
"""Seconds until a request looks whether its caller has gone: most queries have their answer before."""


class Handlers:
    """The answers of one process."""

    def __init__(self, engine: Engine, counters: Counters, request: ServeRequest) -> None:
        self._engine = engine
        self._counters = counters
        self._request = request
        self._bodies = Bodies(request.max_body_bytes)
        self._started_s = int(time.time())
        counters.waiting(engine.waiting)  # each queue is on the page from the beginning

    @property
    def bodies(self) -> Bodies:
        """Read the bodies of all requests."""
        return self._bodies

    @property
    def _embedder(self) -> Artifact:
        return self._engine.encoder.artifact

    @property
    def _scorer(self) -> Artifact:
        reranker = self._engine.reranker
        return reranker.artifact if reranker else self._embedder

    async def embeddings(self, http: Request) -> Response:
        """Embed texts."""
        async with self._bodies.read(http) as body:
            asked = embedding_request(body, self._embedder, self._request.max_texts)
            lane = QUERIES if asked.is_urgent else DOCUMENTS
            call = self._engine.embed(lane, asked.texts, as_query=asked.as_query)
            found = await self._result(http, lane, call)
        return json_response(_embeddings(asked, found, model_id(self._embedder)))

    async def rerank(self, http: Request) -> Response:
        """Sort documents by a query."""
        async with self._bodies.read(http) as body:
            asked = rerank_request(body, self._scorer, self._request.max_texts)
            scores, tokens = await self._scores(http, asked)
        version = http.scope["path"].split("/")[1].removeprefix("v")
        return json_response(_ranking(asked, scores, tokens, model_id(self._scorer), version))

    async def _scores(self, http: Request, asked: RerankRequest) -> tuple[Values, int]:
        """Score the documents, ``(B,)`` from 0 to 1."""
        if self._engine.reranker is not None:
            found = await self._result(http, RERANKS, self._engine.score(asked.query, asked.documents))
            return np.asarray(1 / (1 + np.exp(-found.values[:, 0])), dtype=np.float32), found.tokens
        call = self._engine.embed(QUERIES, [asked.query], as_query=True)
        query = await self._result(http, QUERIES, call)
        call = self._engine.embed(RERANKS, asked.documents, as_query=False)
        found = await self._result(http, RERANKS, call)
        return (1 + found.values @ query.values[0]) / 2, query.tokens + found.tokens

    async def _result(self, http: Request, lane: str, call: LaneCall) -> Computed:
        """Wait for a result; a caller who goes takes the work back."""
        result = asyncio.wrap_future(call.future)
        try:
            await asyncio.wait((result,), timeout=SOON_S)
            if not result.done():
                await self._wait_for(result, call, http)
            found = result.result()
        finally:
            _take_back(result, call)
        self._counters.computed(lane, len(call.texts), found.tokens)
        return found

    async def _wait_for(self, result: asyncio.Future[Computed], call: LaneCall, http: Request) -> None:
        """Wait for a result that takes longer; raise `ClientDisconnect` if the caller goes before."""
        self._counters.waiting(self._engine.waiting)
        gone = asyncio.ensure_future(http.receive())
        try:
            await asyncio.wait((result, gone), return_when=asyncio.FIRST_COMPLETED)
            if not result.done():
                raise ClientDisconnect
        finally:
            gone.cancel()
            _take_back(result, call)
            self._counters.waiting(self._engine.waiting)

    async def models(self, http: Request) -> Response:
        """List the models."""
        return json_response({"object": "list", "data": list(self._models().values())})

    async def model(self, http: Request) -> Response:
        """Describe one model."""
        found = self._models().get(http.path_params["model"])
        if found is None:
            names = ", ".join(self._models())
            got = http.path_params["model"]
            raise HttpError(404, f"model: got {got!r:.200}; there is {names}", code="model_not_found")
        return json_response(found)

    def _models(self) -> dict[str, Any]:
        artifacts = [self._embedder, *([self._scorer] if self._engine.reranker else [])]
        return {model_id(one): self._described(one) for one in artifacts}

    def _described(self, artifact: Artifact) -> dict[str, Any]:
        return {
            "id": model_id(artifact),
            "object": "model",
            "created": self._started_s,
            "owned_by": "ce2de-os",
            "kind": artifact.kind,
            "fingerprint": artifact.fingerprint,
            "space": artifact.space,
            "dimensions": artifact.dim,
            "max_length": artifact.max_length,
            "languages": list(artifact.languages),
            "needs_input_type": artifact.query_prefix != artifact.document_prefix,
        }

    async def health(self, http: Request) -> Response:
        """Say that the model computes what it should: its canaries were replayed when it was loaded."""
        return json_response({"status": "ok", "model": model_id(self._embedder)})

    async def metrics(self, http: Request) -> Response:
        """Write the counters for Prometheus."""
        return Response(self._counters.page(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def openapi(self, http: Request) -> Response:
        """Describe the interface for programs."""
        return json_response(document(model_id(self._embedder)))

    async def docs(self, http: Request) -> Response:
        """Describe the interface for people."""
        return HTMLResponse(page(model_id(self._embedder)))


def _take_back(result: asyncio.Future[Computed], call: LaneCall) -> None:
    """Cancel a call, unless it has its result; the engine's own future first, so that it counts at once."""
    call.future.cancel()
    result.cancel()


def _embeddings(asked: EmbeddingRequest, found: Computed, model: str) -> dict[str, Any]:
    vectors: list[Any] = list(found.values)
    if asked.encoding == "base64":
        vectors = [base64.b64encode(vector.astype("<f4").tobytes()).decode() for vector in found.values]
    data = [
        {"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": found.tokens, "total_tokens": found.tokens}
    return {"object": "list", "data": data, "model": model, "usage": usage}


def _ranking(asked: RerankRequest, scores: Values, tokens: int, model: str, version: str) -> dict[str, Any]:
    order = sorted(range(len(scores)), key=lambda place: -float(scores[place]))
    # Rounded: OpenSearch reads numbers of more than 15 digits as something else than a double.
    results: list[dict[str, Any]] = [
        {"index": place, "relevance_score": round(float(scores[place]), 6)} for place in order[: asked.top_n]
    ]
    if asked.return_documents:
        for result in results:
            result["document"] = {"text": asked.documents[result["index"]]}
    meta = {"api_version": {"version": version}}
    return {"model": model, "results": results, "usage": {"total_tokens": tokens}, "meta": meta}
