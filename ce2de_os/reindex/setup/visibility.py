"""Whether this user sees all of a source: what security hides from it, documents or fields, is not copied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.errors import BackendError, BackendUnavailableError
from ce2de_os.index import admin
from ce2de_os.index.admin import IndexInfo
from ce2de_os.index.client import WHOLE, backend_errors
from ce2de_os.reindex.setup.finding import Finding
from ce2de_os.reindex.setup.masking import masked_fields

_HIDDEN_SHARE = 0.01
"""That share of the documents may seem to be hidden while others write: they come between two looks."""

_LOOKS = 3
_TOLD = 5


def hidden(client: OpenSearch, source: IndexInfo) -> Iterator[Finding]:
    """Yield why a copy would lack fields or documents of a source that can be read."""
    if fields := _hidden_fields(client, source):
        told = ", ".join(fields[:_TOLD]) + (" …" if len(fields) > _TOLD else "")
        yield Finding(
            f"'{source.name}' has fields that this user does not see ({told})",
            "give this user a role without field-level security on the index",
        )
        return  # a hidden nested field hides documents too
    if masked := masked_fields(client, source):
        told = ", ".join(masked[:_TOLD]) + (" …" if len(masked) > _TOLD else "")
        yield Finding(
            f"'{source.name}' has fields that security masks for this user ({told}), and a copy would keep "
            "the masked values",
            "give this user a role without masked fields on the index",
        )
    for _ in range(_LOOKS):
        before = _operations(client, source)
        admin.refresh(client, source.name)
        seen, there = _seen(client, source), _there(client, source)
        quiet = _operations(client, source) == before
        if seen >= there * (1 if quiet else 1 - _HIDDEN_SHARE):
            return
    yield Finding(
        f"'{source.name}' holds {there} documents, and this user sees {seen} of them",
        "give this user a role without document-level security on the index",
    )


def all_fields(mappings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every field of a mapping, objects too, by dotted path."""
    for name, field in mappings.get("properties", {}).items():
        yield f"{prefix}{name}", field
        yield from all_fields(field, f"{prefix}{name}.")


def _hidden_fields(client: OpenSearch, source: IndexInfo) -> list[str]:
    """Return the fields that the cluster's state has and the mapping shown to this user lacks.

    Empty where the state may not be read.
    """
    missing: list[str] = []
    only = {"filter_path": "metadata.indices.*.mappings"}
    for _ in range(_LOOKS):  # a field may have been added between two looks
        try:
            with backend_errors(f"read the mapping of '{source.name}' in the cluster's state"):
                answer = client.cluster.state(metric="metadata", index=source.name, params=only)
        except BackendUnavailableError:
            raise
        except BackendError:
            return []
        indices = answer.get("metadata", {}).get("indices", {}).values()
        mapped = [mapping for index in indices for mapping in index.get("mappings", {}).values()]
        seen = dict(all_fields(admin.describe(client, source.name).mappings))
        missing = sorted(path for mapping in mapped for path, _ in all_fields(mapping) if path not in seen)
        if not missing:
            break
    return missing


def _seen(client: OpenSearch, source: IndexInfo) -> int:
    """Count what this user sees, each nested object as a document of its own, as OpenSearch does."""
    nested = [path for path, field in all_fields(source.mappings) if field.get("type") == "nested"]
    if not nested:
        return admin.count(client, source.name)
    counts = {str(number): {"nested": {"path": path}} for number, path in enumerate(nested)}
    body = {"size": 0, "track_total_hits": True, "aggs": counts}
    with backend_errors(f"count documents of '{source.name}'"):
        answer = client.search(index=source.name, body=body, params={"preference": "_primary", **WHOLE})
    inside = sum(int(found["doc_count"]) for found in answer["aggregations"].values())
    return int(answer["hits"]["total"]["value"]) + inside


def _there(client: OpenSearch, source: IndexInfo) -> int:
    with backend_errors(f"read statistics of '{source.name}'"):
        stats = client.indices.stats(index=source.name, metric="docs")
    return int(stats["_all"]["primaries"].get("docs", {}).get("count", 0))


def _operations(client: OpenSearch, source: IndexInfo) -> int:
    return sum(admin.checkpoints(client, source.name).values())
