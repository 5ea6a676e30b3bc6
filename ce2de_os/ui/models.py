"""The models that questions are embedded by, and the searchers that use them."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from opensearchpy import OpenSearch

from ce2de_os.config import Settings
from ce2de_os.errors import BackendError, ConfigError
from ce2de_os.index.client import backend_errors
from ce2de_os.model.artifact import Artifact
from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.model.manifest import RERANKER
from ce2de_os.model.reranker import OnnxReranker
from ce2de_os.search.searcher import HybridSearcher
from ce2de_os.search.target import Target, read_target
from ce2de_os.server.engine import Engine, SharedEncoder, SharedReranker
from ce2de_os.server.parsing import model_id
from ce2de_os.ui.request import UiRequest

QUEUE_TEXTS = 4096
MOST_SEARCHERS = 64
TARGET_S = 10.0
"""Seconds for which the fields of an index are remembered."""

TITLES = ("title", "name", "subject", "headline", "heading")
"""Fields that are a title, if an index has them."""

T = TypeVar("T")


@dataclass(frozen=True)
class Fields:
    """The fields of an index that a hit shows: its title's, and those of its text; and its shards."""

    title: str
    texts: tuple[str, ...]
    shards: int = 1

    @property
    def all(self) -> list[str]:
        """The title's field and those of the text, each once."""
        return list(dict.fromkeys((self.title, *self.texts)))

    @classmethod
    def of(cls, target: Target) -> Fields:
        """Choose them."""
        mapped = target.mapped
        named = [name for name in TITLES if mapped is not None and mapped.searchable(name)]
        title = named[0] if named else target.text_fields[0]
        return cls(title, target.text_fields, target.shards * len(target.indices))


class Models:
    """The loaded models; each replayed its canaries.

    Raises:
        ArtifactError: a model cannot be loaded, or computes wrong values here.
    """

    def __init__(self, settings: Settings, request: UiRequest) -> None:
        folders: list[Path | None] = [settings.artifact, *request.models]
        encoders = [OnnxEncoder(folder, threads=settings.threads) for folder in folders]
        self.reranker = None
        if request.reranker is not None:
            artifact = Artifact.load(request.reranker, kind=RERANKER)
            self.reranker = OnnxReranker(artifact, threads=settings.threads)
        self._engines: dict[str, Engine] = {}
        for encoder in encoders:
            own = self.reranker if not self._engines else None
            self._engines.setdefault(model_id(encoder.artifact), Engine(encoder, own, QUEUE_TEXTS))
        self.default = next(iter(self._engines))

    @property
    def names(self) -> list[str]:
        """The names of the embedding models, the one of the settings first."""
        return list(self._engines)

    @property
    def encoders(self) -> Mapping[str, OnnxEncoder]:
        """The embedding models by name."""
        return {name: engine.encoder for name, engine in self._engines.items()}

    def encoder(self, name: str) -> SharedEncoder:
        """Return a model by its name; ``""``: the one of the settings.

        Raises:
            ConfigError: there is no such model.
        """
        engine = self._engines.get(name or self.default)
        if engine is None:
            raise ConfigError(f"the model '{name:.80}' is not loaded; there are {', '.join(self._engines)}")
        return SharedEncoder(engine)

    def shared_reranker(self) -> SharedReranker | None:
        """Return the cross-encoder; ``None``: there is none."""
        return SharedReranker(self._engines[self.default]) if self.reranker else None


class Searchers:
    """Searchers and facts by index, kept for the next question."""

    def __init__(self, client: OpenSearch, models: Models) -> None:
        self.client = client
        self._models = models
        self._searchers: OrderedDict[tuple[str, str], HybridSearcher] = OrderedDict()
        self._fields: OrderedDict[str, tuple[float, Fields]] = OrderedDict()
        self._lock = Lock()

    def searcher(self, index: str, model: str) -> HybridSearcher:
        """Return the searcher of an index for a model; ``""``: the one of the settings."""

        def make() -> HybridSearcher:
            encoder, reranker = self._models.encoder(model), self._models.shared_reranker()
            return HybridSearcher(self.client, index, encoder, reranker=reranker)

        return self._kept(self._searchers, (index, model or self._models.default), make)

    def fields(self, index: str) -> Fields:
        """Return the fields that a hit of this index shows.

        Raises:
            IndexSchemaError: there is no such index.
            BackendError: OpenSearch does not answer, or rejects the request.
        """
        known = self._fields.get(index)
        if known is None or known[0] < time.monotonic():
            known = time.monotonic() + TARGET_S, Fields.of(read_target(self.client, index))
            with self._lock:
                self._fields.pop(index, None)
            self._kept(self._fields, index, lambda: known)
        return known[1]

    def _kept(self, kept: OrderedDict[Any, T], key: Any, make: Callable[[], T]) -> T:  # noqa: ANN401 - any key
        with self._lock:
            if key not in kept:
                kept[key] = make()
            kept.move_to_end(key)
            while len(kept) > MOST_SEARCHERS:
                kept.popitem(last=False)
            return kept[key]


def index_names(client: OpenSearch) -> list[str]:
    """Return the aliases and indices to choose from; empty where this user may not list them."""
    try:
        with backend_errors("list the aliases"):
            found: Mapping[str, Any] = client.indices.get_alias(index="*", expand_wildcards="open")
    except BackendError:
        return []
    aliases = {alias for body in found.values() for alias in body.get("aliases", {})}
    return sorted(name for name in aliases | set(found) if not name.startswith((".", "ce2de-")))
