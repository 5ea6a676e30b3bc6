"""What runs at each write and at each search: the ingest and the search pipelines of an alias."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.connect.models import BATCH, source
from ce2de_os.index.client import backend_errors
from ce2de_os.index.metadata import IndexMetadata
from ce2de_os.index.text_spec import HOLE
from ce2de_os.search.question import Question
from ce2de_os.search.strategy import pipeline as fusion

Body = dict[str, Any]


def ingest(entry: IndexMetadata, model_id: str, before: str | None) -> Body:
    """Return the ingest pipeline that writes a document's vector and hash as a worker does.

    A document that cannot be embedded is written without both, for ``ce2de follow``.

    Args:
        entry: what the index says of its vectors.
        model_id: the model for documents.
        before: the index's own pipeline, which runs first; ``None``: it has none.
    """
    names = {
        "vector": entry.vector_field,
        "hash": f"{entry.vector_field}_hash",
        "text": f"{entry.vector_field}_embedded",
    }
    identity = f"{entry.fingerprint}\n{None}\n"  # see TextSpec.hash_of; None: without passages
    given = {"fields": list(entry.text_fields), "parts": _parts(entry.template), "identity": identity}
    # Scripts refuse documents with numbers beyond 64 bits; those are written without a vector, too.
    unfinished = [{"remove": {"field": names["text"], "ignore_missing": True}}]
    embedding = {
        "model_id": model_id,
        "field_map": {names["text"]: entry.vector_field},
        "batch_size": BATCH,
        "on_failure": [{"remove": {"field": names["hash"], "ignore_missing": True}}],
    }
    finish = names | {"bytes": entry.data_type == "byte"}
    return {
        "description": f"ce2de: vectors of {entry.model} in {entry.vector_field}",
        "processors": [
            *([{"pipeline": {"name": before}}] if before else []),
            {"script": {"source": source("prepare"), "params": given | names, "on_failure": unfinished}},
            {"text_embedding": embedding},
            {"script": {"source": source("finish"), "params": finish, "on_failure": unfinished}},
        ],
    }


def search(entry: IndexMetadata, model_id: str, before: Mapping[str, Any]) -> Body:
    """Return the search pipeline that knows the model of ``neural`` queries and joins ``hybrid`` ones.

    ``before``: the index's own pipeline, whose processors stay; empty: it has none.
    """
    enricher = {"neural_query_enricher": {"neural_field_default_id": {entry.vector_field: model_id}}}
    ours: Body = {
        "description": f"ce2de: questions in the vectors of {entry.model}",
        "request_processors": [enricher, *before.get("request_processors", [])],
        # The same fusion as that of HybridSearcher.
        "phase_results_processors": before.get("phase_results_processors")
        or fusion(Question("any"))["phase_results_processors"],
    }
    if before.get("response_processors"):
        ours["response_processors"] = before["response_processors"]
    return ours


def rerank(entry: IndexMetadata, searching: Mapping[str, Any], model_id: str) -> Body:
    """Return the search pipeline that also re-ranks; without the service the first order stays."""
    step = {
        "rerank": {
            "ignore_failure": True,
            "ml_opensearch": {"model_id": model_id},
            "context": {"document_fields": list(entry.text_fields)},
        }
    }
    return {**searching, "response_processors": [*searching.get("response_processors", []), step]}


def read(client: OpenSearch, path: str) -> Body:
    """Return a pipeline's body; empty: there is none."""
    with backend_errors(f"read pipeline '{path}'"):
        answer = client.transport.perform_request("GET", path, params={"ignore": [404]})
    found: Body = answer.get(path.rpartition("/")[2], {})
    return found


def _parts(template: str | None) -> list[dict[str, str]] | None:
    """Split a template into texts and fields, as the script takes it."""
    if template is None:
        return None
    pieces = HOLE.split(template)
    named = ("field" if number % 2 else "text" for number in range(len(pieces)))
    return [{name: piece} for name, piece in zip(named, pieces, strict=True) if piece]
