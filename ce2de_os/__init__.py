"""Put a small, fast, trustworthy embedding model into an OpenSearch cluster that you already run."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"
__all__ = [
    "Artifact", "AsyncHybridSearcher", "HybridSearcher", "LateInteraction", "LowerBound", "OnnxEncoder",
    "OnnxReranker", "Question", "__version__",
]  # fmt: skip

if TYPE_CHECKING:
    from ce2de_os.fusion import LowerBound
    from ce2de_os.model.artifact import Artifact
    from ce2de_os.model.encoder import OnnxEncoder
    from ce2de_os.model.reranker import OnnxReranker
    from ce2de_os.search.async_searcher import AsyncHybridSearcher
    from ce2de_os.search.late_interaction import LateInteraction
    from ce2de_os.search.question import Question
    from ce2de_os.search.searcher import HybridSearcher

_HOMES = {
    "Artifact": "ce2de_os.model.artifact",
    "AsyncHybridSearcher": "ce2de_os.search.async_searcher",
    "HybridSearcher": "ce2de_os.search.searcher",
    "LateInteraction": "ce2de_os.search.late_interaction",
    "LowerBound": "ce2de_os.fusion",
    "OnnxEncoder": "ce2de_os.model.encoder",
    "OnnxReranker": "ce2de_os.model.reranker",
    "Question": "ce2de_os.search.question",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - lazy, so that `ce2de --help` stays fast
    if name not in _HOMES:
        raise AttributeError(f"module 'ce2de_os' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)
