"""Join the parts of the service to one application."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from ce2de_os.config import Settings
from ce2de_os.index.client import connect
from ce2de_os.model.artifact import Artifact
from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.model.manifest import RERANKER
from ce2de_os.model.reranker import OnnxReranker
from ce2de_os.search.searcher import HybridSearcher
from ce2de_os.server.answers import HttpError
from ce2de_os.server.counters import Counters
from ce2de_os.server.engine import Engine, SharedEncoder, SharedReranker
from ce2de_os.server.gate import Gate
from ce2de_os.server.handlers import Handlers
from ce2de_os.server.keys import Keys
from ce2de_os.server.rates import Rates
from ce2de_os.server.request import ServeRequest
from ce2de_os.server.search import Search

SEARCH_MS = 5000
"""Time for OpenSearch to answer a question."""


def create(request: ServeRequest, settings: Settings) -> Gate:
    """Load the models, replay their canaries, and create the application.

    Raises:
        ArtifactError: a model cannot be loaded, or computes wrong values here.
        ConfigError: the file of keys cannot be used.
        BackendError: the index cannot be searched.
    """
    keys = None if request.keys is None else Keys(request.keys)
    encoder = OnnxEncoder(settings.artifact, threads=settings.threads)
    reranker = None
    if request.reranker is not None:
        reranker = OnnxReranker(Artifact.load(request.reranker, kind=RERANKER), threads=settings.threads)
    engine = Engine(encoder, reranker, request.queue_texts)
    counters = Counters()
    handlers = Handlers(engine, counters, request)
    routes = _routes(handlers)
    if request.index is not None:
        search = Search(_searcher(request, settings, engine), handlers.bodies)
        routes.append(Route("/search", search.search, methods=["POST"]))
    app = Starlette(
        routes=routes,
        exception_handlers={
            HttpError: _refused,
            HTTPException: _not_found,
            ClientDisconnect: _gone,
        },
    )
    return Gate(
        app,
        paths=[route.path for route in routes],
        counters=counters,
        keys=keys,
        allow_hosts=request.allow_hosts,
        timeout_s=request.timeout_s,
        rates=None if request.requests_per_minute is None else Rates(request.requests_per_minute),
    )


def _routes(handlers: Handlers) -> list[Route]:
    post = {"methods": ["POST"]}
    return [
        Route("/v1/embeddings", handlers.embeddings, **post),  # type: ignore[arg-type]
        Route("/v1/rerank", handlers.rerank, **post),  # type: ignore[arg-type]
        Route("/v2/rerank", handlers.rerank, **post),  # type: ignore[arg-type]
        Route("/v1/models", handlers.models),
        Route("/v1/models/{model:path}", handlers.model),
        Route("/health", handlers.health),
        Route("/metrics", handlers.metrics),
        Route("/openapi.json", handlers.openapi),
        Route("/docs", handlers.docs),
    ]


def _searcher(request: ServeRequest, settings: Settings, engine: Engine) -> HybridSearcher:
    timeout_s = min(settings.opensearch.timeout_s, request.timeout_s)
    client = connect(replace(settings.opensearch, timeout_s=timeout_s))
    searcher = HybridSearcher(
        client,
        str(request.index),
        SharedEncoder(engine),
        reranker=SharedReranker(engine) if engine.reranker else None,
        timeout_ms=SEARCH_MS,
    )
    searcher.warm_up()  # before the port is open: the first question is as fast as the rest
    return searcher


async def _refused(http: Request, error: Exception) -> Response:
    assert isinstance(error, HttpError)  # noqa: S101
    return error.response()


async def _not_found(http: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        text, code = f"{http.method} is the wrong method for this path; see /docs", "method_not_allowed"
    else:
        text, code = f"no such path: {http.scope['path']:.100}; see /docs", "not_found"
    return HttpError(error.status_code, text, code=code, headers=error.headers).response()


async def _gone(http: Request, error: Exception) -> Response:
    return Response(status_code=499)
