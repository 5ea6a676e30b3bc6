"""Put a small, fast, trustworthy embedding model into an OpenSearch cluster that you already run."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"
__all__ = [
    "Artifact", "AsyncHybridSearcher", "ConnectRequest", "DistillRequest", "EvaluateRequest",
    "HybridSearcher", "JobRequest", "LateInteraction", "LowerBound", "OnnxEncoder", "OnnxReranker",
    "Question", "ServeRequest", "TextSpec", "__version__", "connect", "disconnect", "distill", "evaluate",
    "follow", "plan", "reindex", "serve",
]  # fmt: skip

if TYPE_CHECKING:
    from ce2de_os.connect.request import ConnectRequest
    from ce2de_os.fusion import LowerBound
    from ce2de_os.index.text_spec import TextSpec
    from ce2de_os.model.artifact import Artifact
    from ce2de_os.model.encoder import OnnxEncoder
    from ce2de_os.model.reranker import OnnxReranker
    from ce2de_os.recipes.connect import connect, disconnect
    from ce2de_os.recipes.distill import DistillRequest, distill
    from ce2de_os.recipes.evaluate import EvaluateRequest, evaluate
    from ce2de_os.recipes.follow import follow
    from ce2de_os.recipes.plan import plan
    from ce2de_os.recipes.reindex import reindex
    from ce2de_os.recipes.serve import ServeRequest, serve
    from ce2de_os.reindex.request import JobRequest
    from ce2de_os.search.async_searcher import AsyncHybridSearcher
    from ce2de_os.search.late_interaction import LateInteraction
    from ce2de_os.search.question import Question
    from ce2de_os.search.searcher import HybridSearcher

_HOMES = {
    "Artifact": "ce2de_os.model.artifact",
    "AsyncHybridSearcher": "ce2de_os.search.async_searcher",
    "ConnectRequest": "ce2de_os.connect.request",
    "DistillRequest": "ce2de_os.recipes.distill",
    "EvaluateRequest": "ce2de_os.recipes.evaluate",
    "HybridSearcher": "ce2de_os.search.searcher",
    "JobRequest": "ce2de_os.reindex.request",
    "LateInteraction": "ce2de_os.search.late_interaction",
    "LowerBound": "ce2de_os.fusion",
    "OnnxEncoder": "ce2de_os.model.encoder",
    "OnnxReranker": "ce2de_os.model.reranker",
    "Question": "ce2de_os.search.question",
    "ServeRequest": "ce2de_os.recipes.serve",
    "TextSpec": "ce2de_os.index.text_spec",
    "connect": "ce2de_os.recipes.connect",
    "disconnect": "ce2de_os.recipes.connect",
    "distill": "ce2de_os.recipes.distill",
    "evaluate": "ce2de_os.recipes.evaluate",
    "follow": "ce2de_os.recipes.follow",
    "plan": "ce2de_os.recipes.plan",
    "reindex": "ce2de_os.recipes.reindex",
    "serve": "ce2de_os.recipes.serve",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - lazy, so that `ce2de --help` stays fast
    if name not in _HOMES:
        raise AttributeError(f"module 'ce2de_os' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


# Three functions have the name of a package. A package enters this namespace when it is first imported:
# imported here and taken out again, it leaves the name to the function; `from ce2de_os.distill.config import
# DistillConfig` finds it all the same.
for _package in ("connect", "distill", "reindex"):
    import_module(f"{__name__}.{_package}")
    del globals()[_package]
