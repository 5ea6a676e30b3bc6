"""The page of the models: artifact, fingerprint, canaries, and the indices that carry their vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from opensearchpy import OpenSearch
from starlette.requests import Request
from starlette.responses import Response

from ce2de_os.arrays import cosine
from ce2de_os.errors import BackendError, Ce2deError, IndexSchemaError
from ce2de_os.index import admin
from ce2de_os.index.client import backend_errors
from ce2de_os.index.metadata import IndexMetadata, fields_from
from ce2de_os.model.artifact import Artifact
from ce2de_os.model.encoder import CANARY_MIN_COSINE, OnnxEncoder
from ce2de_os.ui.errors import said
from ce2de_os.ui.site import Site


@dataclass(frozen=True)
class Card:
    """A model: its artifact, its canaries on this machine."""

    name: str
    artifact: Artifact
    canaries: int
    worst: float | None = None


@dataclass(frozen=True)
class Carrier:
    """A vector field of an index, and who may search it.

    Attributes:
        index: the index.
        aliases: its aliases.
        metadata: the field, and the model of its vectors.
        documents: documents of the index; ``None``: not known.
        model: the loaded model that has this fingerprint; ``""``: none.
        near: loaded models that share the vector space only.
    """

    index: str
    aliases: tuple[str, ...]
    metadata: IndexMetadata
    documents: int | None
    model: str
    near: tuple[str, ...]


@dataclass(frozen=True)
class ModelsPage:
    """Answers ``/models``."""

    site: Site

    def show(self, http: Request) -> Response:
        """Show every loaded model, and every index with vectors."""
        site = self.site
        cards = [card(name, encoder) for name, encoder in site.models.encoders.items()]
        reranker = site.models.reranker
        if reranker is not None:
            pairs, _ = reranker.artifact.pair_canaries()
            cards.append(Card(reranker.artifact.name, reranker.artifact, len(pairs)))
        problem, found = ("", ""), list[Carrier]()
        try:
            found = list(carriers(site.client, site.models.encoders))
        except Ce2deError as error:
            problem = said(error)
        return site.pages.page(
            http, "models.html", cards=cards, carriers=found, problem=problem, least=CANARY_MIN_COSINE
        )


def card(name: str, encoder: OnnxEncoder) -> Card:
    """Compute a model's canaries again."""
    texts, expected = encoder.artifact.canaries()
    worst = float(cosine(encoder.encode_documents(texts), expected).min())
    return Card(name, encoder.artifact, len(texts), worst)


def carriers(client: OpenSearch, encoders: Mapping[str, OnnxEncoder]) -> Iterator[Carrier]:
    """Yield each vector field that this package made, of every index.

    Raises:
        BackendError: OpenSearch does not answer, or rejects the request.
    """
    with backend_errors("read the mappings"):
        mappings = client.indices.get_mapping(index="*", params={"filter_path": "*.mappings._meta"})
        aliases = client.indices.get_alias(index="*")
    for index, body in sorted(mappings.items()):
        try:
            entries = fields_from(body["mappings"])
        except IndexSchemaError:
            continue  # another version wrote it
        for entry in entries:
            yield _carrier(index, aliases.get(index, {}), entry, _count(client, index), encoders)


def _carrier(
    index: str, aliases: Mapping[str, Any], entry: IndexMetadata, documents: int | None,
    encoders: Mapping[str, OnnxEncoder],
) -> Carrier:  # fmt: skip
    own = [name for name, encoder in encoders.items() if encoder.fingerprint == entry.fingerprint]
    near = [name for name, encoder in encoders.items() if entry.holds(encoder.space) and name not in own]
    names = tuple(sorted(aliases.get("aliases", {})))
    return Carrier(index, names, entry, documents, own[0] if own else "", tuple(near))


def _count(client: OpenSearch, index: str) -> int | None:
    """Count the documents; ``None`` where this user may not, or a shard is away."""
    try:
        return admin.count(client, index)
    except BackendError:
        return None
