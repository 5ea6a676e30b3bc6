"""Describe the interface: as OpenAPI for programs, as one page for people."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from ce2de_os.server.search import OPTIONS

_TEXTS = {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_KIND = {"type": "string", "enum": ["query", "document", "passage"]}
_NUMBER, _FLAG, _TEXT = {"type": "integer"}, {"type": "boolean"}, {"type": "string"}


def document(model: str) -> dict[str, Any]:
    """Write the OpenAPI document of a service that has ``model``."""
    paths = {path: {method: _operation(*rest)} for path, method, *rest in _operations(model)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "ce2de serve", "version": "1"},
        "paths": paths,
        "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
        "security": [{"key": []}],
    }


def _operations(model: str) -> list[tuple[Any, ...]]:
    """List path, method, summary, fields of the body, required ones, and an example."""
    embedding = {
        "model": _TEXT, "input": _TEXTS, "input_type": _KIND, "content_type": _KIND,
        "encoding_format": {"type": "string", "enum": ["float", "base64"]}, "dimensions": _NUMBER,
    }  # fmt: skip
    rerank = {
        "model": _TEXT, "query": _TEXT, "documents": {"type": "array", "items": _TEXT},
        "top_n": _NUMBER, "return_documents": _FLAG,
    }  # fmt: skip
    search: dict[str, Any] = {name: {} for name in OPTIONS}
    ranked = {"model": model, "query": "copy a folder", "documents": ["cp -r", "rm"]}
    return [
        ("/v1/embeddings", "post", "Embed texts, as OpenAI does.", embedding, ["model", "input"],
         {"model": model, "input": ["copy a folder"]}),
        ("/v1/rerank", "post", "Sort documents by a query, as Cohere and Jina do.", rerank,
         ["model", "query", "documents"], ranked),
        ("/v2/rerank", "post", "The same, for newer clients of Cohere.", rerank,
         ["model", "query", "documents"], ranked),
        ("/search", "post", "Search the index, if the service has one.", search, ["text"],
         {"text": "copy a folder", "top_k": 3}),
        ("/v1/models", "get", "List the models, with their fingerprints."),
        ("/v1/models/{model}", "get", "Describe one model."),
        ("/health", "get", "Say that the service is up; needs no key."),
        ("/metrics", "get", "Counters for Prometheus."),
        ("/openapi.json", "get", "This description, for programs; needs no key."),
        ("/docs", "get", "This description, for people; needs no key."),
    ]  # fmt: skip


def _operation(
    summary: str,
    fields: dict[str, Any] | None = None,
    required: list[str] | None = None,
    example: dict[str, Any] | None = None,
) -> dict[str, Any]:
    operation: dict[str, Any] = {"summary": summary, "responses": {"200": {"description": "the answer"}}}
    if fields is not None:
        schema = {"type": "object", "properties": fields, "required": required}
        content = {"application/json": {"schema": schema, "example": example}}
        operation["requestBody"] = {"required": True, "content": content}
        operation["responses"]["4XX"] = {"description": "an error in OpenAI's form"}
    return operation


def page(model: str) -> str:
    """Write the page for people; it needs nothing from the network."""
    parts = [_section(*operation) for operation in _operations(model)]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>ce2de serve</title>'
        "<style>body{font:16px/1.5 sans-serif;max-width:50em;margin:2em auto;padding:0 1em}"
        "pre{background:#8882;padding:.7em;overflow:auto}</style>"
        f"<h1>ce2de serve</h1><p>Model: <code>{escape(model)}</code>. "
        'The same for programs: <a href="openapi.json">openapi.json</a>. '
        f"Errors are <code>{{&quot;error&quot;: {{&quot;message&quot;: …}}}}</code>.</p>"
        f"{''.join(parts)}</html>"
    )


def _section(
    path: str,
    method: str,
    summary: str,
    fields: dict[str, Any] | None = None,
    required: list[str] | None = None,
    example: dict[str, Any] | None = None,
) -> str:
    text = f"<h2><code>{method.upper()} {path}</code></h2><p>{summary}</p>"
    if fields is not None:
        names = ", ".join(f"<code>{name}</code>" for name in fields)
        text += f"<p>Fields: {names}.</p><pre>{escape(json.dumps(example, indent=2))}</pre>"
    return text
