"""Ce2deRetriever for Haystack 2 and later: hybrid search as a component; needs the extra ``haystack``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from ce2de_os.config import Settings
from ce2de_os.errors import ConfigError, extra_needed
from ce2de_os.index.client import connect
from ce2de_os.integrations.haystack_filters import opensearch_filter
from ce2de_os.integrations.hit_parts import HitParts
from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.model.reranker import OnnxReranker
from ce2de_os.search.question import Question
from ce2de_os.search.searcher import HybridSearcher

with extra_needed("haystack"):
    from haystack import Document, component, default_from_dict, default_to_dict
    from haystack.utils import Secret


@component
class Ce2deRetriever:
    """The hits of a hybrid search as Haystack documents, best first.

    Missing arguments come from the ``CE2DE_`` variables of the machine that runs the pipeline. A saved
    pipeline holds the names of the variables with the credentials, never the credentials; a new process that
    loads it names this module in ``allowed_modules``.

    Args:
        index: an index or an alias that ``ce2de reindex`` has filled, or any for ``{"mode": "bm25"}``.
        url: OpenSearch's address, without user and password.
        username: the user, as a secret from the environment.
        password: the password, as a secret too.
        artifact: folder of the model whose vectors the index carries; ``None``: ``CE2DE_ARTIFACT``, else the
            student that comes with the package.
        reranker: folder of an exported cross-encoder; ``None``: none.
        options: what questions say beyond their text, see `ce2de_os.search.question.Question`; the filters
            may be Haystack's too.
        content_fields: the fields in a document's content; ``None``: the text that was embedded.
        meta_fields: the fields in its ``meta``; ``None``: all others. See
            `ce2de_os.integrations.hit_parts.HitParts` for its other entries.

    Raises:
        ConfigError: the address holds a password, there is no such option, or one is outside its bounds.
        DataError: a list of fields is not one, or a filter is none.
    """

    def __init__(
        self,
        index: str,
        *,
        url: str | None = None,
        username: Secret | None = None,
        password: Secret | None = None,
        artifact: str | None = None,
        reranker: str | None = None,
        options: dict[str, Any] | None = None,
        content_fields: list[str] | None = None,
        meta_fields: list[str] | None = None,
    ) -> None:
        if url is not None and "@" in url:
            raise ConfigError("url: it holds a password, which would be saved; use username and password")
        asked = dict(options or {})
        asked["filters"] = opensearch_filter(asked["filters"]) if asked.get("filters") else None
        Question("").changed(asked).check_options()
        self._parts = HitParts.of(content_fields, meta_fields)
        self.index = index
        self.url = url
        self.username = username
        self.password = password
        self.artifact = artifact
        self.reranker = reranker
        self.options = options
        self.content_fields = content_fields
        self.meta_fields = meta_fields
        self._searcher: HybridSearcher | None = None

    def warm_up(self) -> None:
        """Load the models, read the index, and run one search, so that the first question is not slow.

        Raises:
            Ce2deError: see `HybridSearcher.search`; or a model cannot be loaded.
        """
        self._ready()

    @component.output_types(documents=list[Document])
    def run(
        self, query: str, top_k: int | None = None, filters: dict[str, Any] | None = None
    ) -> dict[str, list[Document]]:
        """Answer one question.

        Args:
            query: the question in plain words.
            top_k: number of documents; ``None``: as in the options, else 10.
            filters: Haystack's filters, or an OpenSearch query; they replace those in the options.

        Raises:
            Ce2deError: see `HybridSearcher.search`.
        """
        asked = dict(self.options or {})
        if top_k is not None:
            asked["top_k"] = top_k
        if filters is not None:
            asked["filters"] = filters
        if asked.get("filters"):
            asked["filters"] = opensearch_filter(asked["filters"])
        result = self._ready().search(query, **asked)
        return {
            "documents": [
                Document(id=part.doc_id, content=part.content, meta=part.metadata, score=part.score)
                for part in self._parts.read(result)
            ]
        }

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_searcher": None}  # a copy and another process warm up themselves

    def to_dict(self) -> dict[str, Any]:
        """Convert this component to a dict for a saved pipeline.

        Raises:
            ValueError: a credential is a plain token; take it from the environment.
        """
        saved: dict[str, Any] = default_to_dict(
            self,
            index=self.index,
            url=self.url,
            username=self.username.to_dict() if self.username else None,
            password=self.password.to_dict() if self.password else None,
            artifact=self.artifact,
            reranker=self.reranker,
            options=self.options,
            content_fields=self.content_fields,
            meta_fields=self.meta_fields,
        )
        return saved

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Create the component that `to_dict` saved."""
        saved = dict(data["init_parameters"])
        for name in ("username", "password"):
            if isinstance(saved.get(name), dict):
                saved[name] = Secret.from_dict(saved[name])
        made: Self = default_from_dict(cls, {**data, "init_parameters": saved})
        return made

    def _ready(self) -> HybridSearcher:
        if self._searcher is None:
            settings = Settings.from_env()
            given = {
                "url": self.url,
                "username": self.username.resolve_value() if self.username else None,
                "password": self.password.resolve_value() if self.password else None,
            }
            told: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
            client = connect(replace(settings.opensearch, **told))
            folder = Path(self.artifact) if self.artifact else settings.artifact
            encoder = OnnxEncoder(folder, threads=settings.threads) if self._embeds else None
            cross = OnnxReranker(Path(self.reranker), threads=settings.threads) if self.reranker else None
            searcher = HybridSearcher(client, self.index, encoder, reranker=cross)
            searcher.warm_up()
            self._searcher = searcher
        return self._searcher

    @property
    def _embeds(self) -> bool:
        return (self.options or {}).get("mode") != "bm25"
