"""A shard without a copy is no failure to OpenSearch: its documents are just not in the answer.

So each request of the product that counts, compares or copies says that it wants all shards.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import ce2de_os
from ce2de_os.errors import BackendUnavailableError, IndexSchemaError
from ce2de_os.index.client import entries_of

ROOT = Path(ce2de_os.__file__).parent
ASKING = {"search", "msearch", "mget", "scan", "count"}
SAYS_SO = ("WHOLE", "allow_partial_search_results", "entries_of")


def asking() -> Iterator[tuple[str, str]]:
    """Each function that sends such a request, and its text; `ce2de_os.search` reports missing shards."""
    for folder in ("index", "reindex", "quality", "connect", "cli", "recipes", "worker"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            for node in functions(ast.parse(text)):
                if any(map(is_request, ast.walk(node))):
                    yield f"{path.relative_to(ROOT)}:{node.name}", ast.get_source_segment(text, node) or ""


def functions(node: ast.AST) -> Iterator[ast.FunctionDef]:
    """Functions and methods, those inside of others left out."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef):
            yield child
        else:
            yield from functions(child)


def is_request(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    if isinstance(node.func, ast.Name):  # of the module raw, or of opensearch-py's helpers
        return node.func.id in ASKING and bool(node.args) and "client" in ast.unparse(node.args[0])
    called = ast.unparse(node.func)
    return called.rpartition(".")[0].endswith("client") and called.rpartition(".")[2] in ASKING


FOUND = dict(asking())


def test_the_requests_are_found() -> None:
    assert len(FOUND) > 15


@pytest.mark.parametrize("place", FOUND)
def test_a_request_says_that_it_wants_all_shards(place: str) -> None:
    assert any(words in FOUND[place] for words in SAYS_SO)


def entry(kind: str) -> dict[str, object]:
    cause = {"type": kind, "reason": "No shard available for [GetRequest]"}
    return {"_index": "a", "_id": "7", "error": {"root_cause": [cause], **cause}}


def test_entries_of_documents() -> None:
    found = {"_index": "a", "_id": "1", "found": False}
    assert entries_of("look", {"docs": [found]}) == [found]
    with pytest.raises(BackendUnavailableError, match="look: document '7': No shard available"):
        entries_of("look", {"docs": [found, entry("no_shard_available_action_exception")]})
    with pytest.raises(IndexSchemaError, match="look: document '7'"):
        entries_of("look", {"docs": [entry("illegal_argument_exception")]})
