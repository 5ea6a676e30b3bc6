"""Check what callers ask for: embeddings as OpenAI has them, re-ranking as Cohere and Jina have it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ce2de_os.model.artifact import Artifact
from ce2de_os.server.answers import HttpError

QUERY, DOCUMENT = "query", "document"
_KINDS = {
    "query": QUERY,
    "search_query": QUERY,
    "document": DOCUMENT,
    "passage": DOCUMENT,
    "search_document": DOCUMENT,
}
_EMBEDDING_KEYS = ("model", "input", "input_type", "content_type", "encoding_format", "dimensions", "user")
_RERANK_KEYS = (
    "model", "query", "documents", "top_n", "return_documents", "max_tokens_per_doc", "max_chunks_per_doc",
    "priority",
)  # fmt: skip
FINGERPRINT_DIGITS = 12


@dataclass(frozen=True)
class EmbeddingRequest:
    """Texts to embed, checked.

    ``as_query`` says which prefix they get, ``is_urgent`` whether they go ahead of documents, ``encoding`` is
    ``float`` or ``base64``.
    """

    texts: list[str]
    as_query: bool
    is_urgent: bool
    encoding: str


@dataclass(frozen=True)
class RerankRequest:
    """Documents to sort by a query, checked."""

    query: str
    documents: list[str]
    top_n: int
    return_documents: bool


def model_id(artifact: Artifact) -> str:
    """Name a model by its name and the first digits of its fingerprint."""
    return f"{artifact.name}@{artifact.fingerprint[:FINGERPRINT_DIGITS]}"


def check_model(asked: object, artifact: Artifact) -> None:
    """Check that a caller means the model that is served here.

    Raises:
        HttpError: 400 where no model is named, 409 where another is.
    """
    served = model_id(artifact)
    if asked is None:
        raise HttpError(400, f"model: missing, expected '{served}'", param="model", code="model_missing")
    name, _, digits = str(asked).rpartition("@")
    whole = artifact.fingerprint
    if name != artifact.name or len(digits) < FINGERPRINT_DIGITS or not whole.startswith(digits):
        text = (
            f"model: got {asked!r:.200}, but this service has '{served}'; vectors of two models cannot be "
            "compared: call the service of that model, or embed the documents again with this one"
        )
        raise HttpError(409, text, param="model", code="model_mismatch")


def embedding_request(body: Mapping[str, Any], artifact: Artifact, max_texts: int) -> EmbeddingRequest:
    """Check the body of ``/v1/embeddings``.

    Raises:
        HttpError: the message names what is wrong.
    """
    _check_keys(body, _EMBEDDING_KEYS)
    check_model(body.get("model"), artifact)
    texts = _texts("input", body.get("input"), max_texts)
    encoding = body.get("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise _wrong("encoding_format", encoding, "'float' or 'base64'")
    dimensions = body.get("dimensions")
    if dimensions is not None and (dimensions != artifact.dim or isinstance(dimensions, bool)):
        expected = f"{artifact.dim}, the only length that this model has, or none"
        raise _wrong("dimensions", dimensions, expected)
    kind = _kind(body, artifact)
    is_urgent = kind == QUERY if kind else len(texts) == 1
    return EmbeddingRequest(texts, kind == QUERY, is_urgent, encoding)


def rerank_request(body: Mapping[str, Any], artifact: Artifact, max_texts: int) -> RerankRequest:
    """Check the body of ``/v1/rerank`` and ``/v2/rerank``.

    Raises:
        HttpError: the message names what is wrong.
    """
    _check_keys(body, _RERANK_KEYS)
    check_model(body.get("model"), artifact)
    query = body.get("query")
    if not isinstance(query, str) or not query.strip():
        raise _wrong("query", query, "a text")
    given = body.get("documents")
    if isinstance(given, str):
        raise _wrong("documents", given, "a list of texts")
    if isinstance(given, list):
        given = [_text_of(document) for document in given]
    documents = _texts("documents", given, max_texts, allow_blank=True)
    top_n = body.get("top_n")
    if top_n is not None and (not isinstance(top_n, int) or isinstance(top_n, bool) or top_n < 1):
        raise _wrong("top_n", top_n, "a whole number of at least 1")
    return_documents = body.get("return_documents") or False
    if not isinstance(return_documents, bool):
        raise _wrong("return_documents", return_documents, "true or false")
    return RerankRequest(query, documents, min(top_n or len(documents), len(documents)), return_documents)


def _text_of(document: object) -> object:
    """Return the text of a document that is an object with ``text``, as Cohere's first version has it."""
    return document.get("text") if isinstance(document, dict) and set(document) == {"text"} else document


def _texts(name: str, given: object, max_texts: int, *, allow_blank: bool = False) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise _wrong(name, given, "a text or a list of texts")
    if len(texts) > max_texts:
        text = f"{name}: got {len(texts):,} texts, expected at most {max_texts:,}; send several requests"
        raise HttpError(413, text, param=name, code="too_many_texts")
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise _not_text(f"{name}[{position}]", text)
        if not allow_blank and not text.strip():
            raise _wrong(f"{name}[{position}]", text, "at least one word")
    return texts


def _not_text(place: str, got: object) -> HttpError:
    if isinstance(got, int | list):
        return _wrong(
            place, got, "a text; token numbers are not read (LangChain: check_embedding_ctx_length=False)"
        )
    return _wrong(place, got, "a text")


def _kind(body: Mapping[str, Any], artifact: Artifact) -> str | None:
    """Return what the texts are; ``None``: the caller does not say, and the model does not need to know."""
    given = [(name, body[name]) for name in ("input_type", "content_type") if body.get(name) is not None]
    for name, value in given:
        if not isinstance(value, str) or value not in _KINDS:
            raise _wrong(name, value, "'query', 'document' or 'passage'")
    kinds = {_KINDS[value] for _, value in given}
    if len(kinds) > 1:
        raise HttpError(
            400, "input_type and content_type contradict each other; send one of them", param="input_type"
        )
    if not kinds and artifact.query_prefix != artifact.document_prefix:
        text = (
            "input_type: missing, expected 'query' or 'document'; this model embeds queries and documents "
            "in different ways"
        )
        raise HttpError(400, text, param="input_type", code="input_type_missing")
    return kinds.pop() if kinds else None


def _check_keys(body: Mapping[str, Any], known: Collection[str]) -> None:
    unknown = sorted(set(body) - set(known))
    if unknown:
        text = f"{unknown[0]:.60}: no such field; there are {', '.join(known)}"
        raise HttpError(400, text, param=unknown[0][:60], code="unknown_field")


def _wrong(name: str, got: object, expected: str) -> HttpError:
    param = name.partition("[")[0]
    return HttpError(400, f"{name}: got {got!r:.60}, expected {expected}", param=param, code="invalid_value")
