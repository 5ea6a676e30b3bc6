"""Which handler of the model answers a request."""

from __future__ import annotations

import re
from urllib.parse import unquote

from tests.simulation.refusals import NotModelledError

_H = "([^/_.][^/]*|\\.[^/]+)"  # an index's name in a path
_ROUTES = [
    (re.compile(pattern), handler)
    for pattern, handler in [
        ("GET ", "info"),
        ("GET _cat/health", "cat_health"),
        (f"GET _cluster/health(?:/{_H})?", "health"),
        (f"GET _cluster/state/metadata/{_H}", "mappings_in_state"),
        ("GET _index_template(?:/([^/]+))?", "get_templates"),
        ("PUT _index_template/([^/]+)", "put_template"),
        ("DELETE _index_template/([^/]+)", "delete_template"),
        ("POST _index_template/_simulate_index/([^/]+)", "simulate_template"),
        ("GET _template", "legacy_templates"),
        ("GET _plugins/_security/authinfo", "no_security"),
        ("GET _ingest/pipeline/([^/]+)", "get_pipeline"),
        ("POST _aliases", "update_aliases"),
        ("GET _alias/([^/]+)", "get_alias"),
        (f"GET {_H}/_alias/([^/]+)", "get_alias"),
        (f"GET {_H}/_alias", "index_alias"),
        ("HEAD _alias/([^/]+)", "head_alias"),
        (f"HEAD {_H}/_alias/([^/]+)", "head_alias"),
        ("POST _bulk", "bulk"),
        (f"(?:POST|PUT) {_H}/_bulk", "bulk"),
        (f"(?:POST|GET) {_H}/_mget", "mget"),
        ("(?:POST|GET) _mget", "mget"),
        (f"(?:POST|GET) {_H}/_search", "search"),
        ("(?:POST|GET) _msearch", "msearch"),
        (f"(?:POST|GET) {_H}/_msearch", "msearch"),
        ("(?:POST|GET) _search/scroll", "scroll"),
        ("DELETE _search/scroll", "clear_scroll"),
        (f"(?:POST|GET) {_H}/_count", "count"),
        (f"(?:POST|GET) {_H}/_refresh", "refresh"),
        ("(?:POST|GET) _refresh", "refresh"),
        (f"(?:POST|GET) {_H}/_flush", "flush"),
        (f"GET {_H}/_stats(?:/[a-z_,]+)?", "stats"),
        (f"PUT {_H}/_settings", "put_settings"),
        (f"(?:PUT|POST) {_H}/_mapping", "put_mapping"),
        (f"GET {_H}/(_settings|_mapping)", "get_part"),
        (f"PUT {_H}/_block/([a-z_]+)", "add_block"),
        (f"POST {_H}/_rollover", "rollover"),
        (f"GET {_H}/_doc/([^/]+)", "get"),
        (f"(?:PUT|POST) {_H}/(_doc|_create)/([^/]+)", "write"),
        (f"POST {_H}/(_doc)", "write"),
        (f"POST {_H}/(_update)/([^/]+)", "write"),
        (f"DELETE {_H}/(_doc)/([^/]+)", "write"),
        (f"GET {_H}", "get_index"),
        (f"HEAD {_H}", "head_index"),
        (f"PUT {_H}", "put_index"),
        (f"DELETE {_H}", "delete_index"),
    ]
]
_CACHE: dict[tuple[str, str], tuple[str, list[str]]] = {}


def route(method: str, path: str) -> tuple[str, list[str]]:
    """The name of a handler, and what fills the holes of the path."""
    key = (method, path)
    found = _CACHE.get(key)
    if found is None:
        asked = f"{method} {unquote(path.strip('/'))}"
        for pattern, handler in _ROUTES:
            if match := pattern.fullmatch(asked):
                given = [group for group in match.groups() if group is not None]
                if handler == "write" and method == "DELETE":
                    given[1] = "DELETE"
                found = handler, given
                break
        else:
            raise NotModelledError(f"request {asked}")
        if len(_CACHE) < 10_000:
            _CACHE[key] = found
    return found
