"""Check for reasons against a reindex before anything is created: `plan` shows all, `start` the first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.errors import ConfigError
from ce2de_os.index import admin, aliases
from ce2de_os.index.admin import IndexInfo
from ce2de_os.index.client import backend_errors
from ce2de_os.index.metadata import fields_from
from ce2de_os.reindex.setup.finding import Finding
from ce2de_os.reindex.setup.visibility import all_fields, hidden

USABLE = (
    "text",
    "match_only_text",
    "search_as_you_type",
    "keyword",
    "wildcard",
    "constant_keyword",
    "annotated_text",
)
"""Types of fields that hold text in ``_source``."""

_READ_ONLY = ("blocks.write", "blocks.read_only", "blocks.read_only_allow_delete")
_FORBIDDEN = re.compile(r"[\s,\\/*?\"<>|#:A-Z]")
_MOST_BYTES = 255


def refuse(findings: Iterator[Finding]) -> None:
    """Reject a job for the first reason.

    Raises:
        ConfigError: there is one.
    """
    first = next(findings, None)
    if first is not None:
        raise ConfigError(f"{first.reason}; {first.action}")


def of_sources(
    client: OpenSearch,
    name: str,
    sources: Sequence[IndexInfo],
    text_fields: Sequence[str],
    alias: str | None,
    *,
    in_place: bool,
) -> Iterator[Finding]:
    """Yield what prevents reading the indices behind a name, or embedding these fields."""
    yield from _alias_filter_findings(client, name, alias)
    for source in sources:
        yield from _read_block_findings(source, in_place=in_place)
        yield from _in_source(source, text_fields)
    for source in sources:
        if _is_readable(source):
            yield from hidden(client, source)


def of_options(
    client: OpenSearch, alias: str | None, target: str | None, pipeline: str | None
) -> Iterator[Finding]:
    """Yield what is wrong with the names in a request: alias, target and pipeline."""
    for option, name in (("alias", alias), ("target", target)):
        if name is not None and (fault := fault_of(name)):
            yield Finding(f"`{option}`: '{name}' {fault}", "choose another name, such as articles-search")
    if alias is not None and alias == target:
        yield Finding(
            f"`alias` and `target` are both '{alias}', but an index and an alias cannot have one name",
            "leave `target` out, or choose another `alias`",
        )
    if alias is not None and admin.exists(client, alias) and not aliases.exists(client, alias):
        yield Finding(f"'{alias}' is an index, so it cannot be an alias", "choose another `alias`")
    if pipeline is not None and not _has_pipeline(client, pipeline):
        yield Finding(
            f"there is no ingest pipeline '{pipeline}'", "see GET _ingest/pipeline, or leave `pipeline` out"
        )


def fault_of(name: str) -> str | None:
    """Return why OpenSearch would reject a name for an index or an alias; ``None``: it is valid."""
    if not name or name in (".", ".."):
        return "is not a name"
    if found := _FORBIDDEN.search(name):
        return f"has '{found[0]}' in it; names are lower case, without spaces or any of \\/*?\"<>|,#:"
    if name[0] in "_-+":
        return f"begins with '{name[0]}'"
    if len(name.encode()) > _MOST_BYTES:
        return f"has {len(name.encode())} bytes, at most {_MOST_BYTES} are possible"
    return None


def usable_fields(mappings: Mapping[str, Any]) -> list[str]:
    """Return the fields of a mapping that hold text in ``_source``, by dotted path."""
    ours = [entry.vector_field for entry in fields_from(mappings)]
    computed = copied_to(mappings)
    return sorted(
        path
        for path, kind in admin.field_paths(mappings)
        if kind in USABLE and path not in computed and not path.startswith(tuple(f"{own}_" for own in ours))
    )


def copied_to(mappings: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the fields that OpenSearch fills by ``copy_to``, each with the fields that it is filled from."""
    found: dict[str, list[str]] = {}
    for path, field in _leaves(mappings):
        targets = field.get("copy_to", [])
        for target in [targets] if isinstance(targets, str) else targets:
            found.setdefault(target, []).append(path)
    return found


def _alias_filter_findings(client: OpenSearch, name: str, alias: str | None) -> Iterator[Finding]:
    """Yield a finding if an alias limits what it shows: a copy would show what the alias hides."""
    if any(mark in name for mark in "*,"):
        return
    for index, definition in sorted(aliases.definitions(client, name).items()):
        limits = [key for key in ("filter", "search_routing", "index_routing") if key in definition]
        if limits and alias != name:
            yield Finding(
                f"alias '{name}' shows only a part of '{index}' ({', '.join(limits)}), but all of the index "
                f"would be copied, and '{alias}' would show it",
                f"use `alias={name}`, which keeps its {limits[0]}, or name '{index}' as the source",
            )
            return


def _read_block_findings(source: IndexInfo, *, in_place: bool) -> Iterator[Finding]:
    if source.is_closed:
        yield Finding(
            f"'{source.name}' is closed, so nothing can be read from it",
            f"open it with POST {source.name}/_open, or name another index",
        )
    if _is_set(source, "blocks.read"):
        yield Finding(
            f"'{source.name}' does not let anything be read (index.blocks.read)",
            "set index.blocks.read to null, or name another index",
        )
    if in_place and (block := read_only(source)):
        yield Finding(
            f"'{source.name}' is read-only (index.{block}), so its documents cannot get vectors",
            f"set index.{block} to null, or copy it: `mode=copy` `alias=NAME`",
        )


def read_only(source: IndexInfo) -> str | None:
    """Return the setting that lets nothing be written to an index; ``None``: there is none."""
    return next((block for block in _READ_ONLY if _is_set(source, block)), None)


def _is_readable(source: IndexInfo) -> bool:
    return not source.is_closed and not _is_set(source, "blocks.read")


def _is_set(source: IndexInfo, setting: str) -> bool:
    return str(source.settings.get(setting)).lower() == "true"


def why_unknown(mappings: Mapping[str, Any], name: str) -> str:
    """Return why a mapping has no field of this name that could be embedded; ``""`` if nothing is known."""
    fields = dict(all_fields(mappings))
    parent, _, last = name.rpartition(".")
    if last in fields.get(parent, {}).get("fields", {}):
        return f"'{name}' is a multi-field of '{parent}': name '{parent}'; "
    if name in mappings.get("derived", {}):
        return f"'{name}' is a derived field, which no document has in its _source; "
    while parent:
        field = fields.get(parent, {})
        if field.get("type") == "flat_object" or field.get("enabled") is False:
            kind = "a flat_object" if field.get("enabled", True) else "an object with enabled: false"
            return f"'{name}' is inside '{parent}', {kind}, whose inner fields OpenSearch does not map; "
        parent = parent.rpartition(".")[0]
    return ""


def _left_out(source: IndexInfo, name: str) -> bool:
    """Return whether the ``_source`` that the index keeps lacks a field."""
    kept = source.mappings.get("_source", {})
    paths = [name, *(name[:at] for at, letter in enumerate(name) if letter == ".")]

    def matches(patterns: Sequence[str]) -> bool:
        return any(fnmatchcase(path, pattern.removesuffix(".*")) for path in paths for pattern in patterns)

    includes = kept.get("includes", [])
    return matches(kept.get("excludes", [])) or (bool(includes) and not matches(includes))


def _in_source(source: IndexInfo, text_fields: Sequence[str]) -> Iterator[Finding]:
    """Reject fields that no document has in its ``_source``: computed ones, and those left out of it."""
    computed, leaves = copied_to(source.mappings), dict(_leaves(source.mappings))
    for name in filter(lambda field: _left_out(source, field), text_fields):
        yield Finding(
            f"'{source.name}' leaves '{name}' out of its _source, so there is no text to embed",
            "name other fields in `text_fields`, or load the index again with them in its _source",
        )
    for name in text_fields:
        field = leaves.get(name, {})
        if field.get("type") == "alias":
            yield Finding(
                f"'{name}' of '{source.name}' is an alias of the field '{field.get('path')}', so no document "
                "has it in its _source",
                f"name the field itself: `text_fields={field.get('path')}`",
            )
        elif name in computed:
            yield Finding(
                f"'{name}' of '{source.name}' is filled by copy_to, so no document has it in its _source",
                f"name the fields it comes from: `text_fields={','.join(computed[name])}`",
            )


def _has_pipeline(client: OpenSearch, pipeline: str) -> bool:
    with backend_errors(f"look up ingest pipeline '{pipeline}'"):
        return bool(client.ingest.get_pipeline(id=pipeline, params={"ignore": [404]}))


def _leaves(mappings: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    return ((path, field) for path, field in all_fields(mappings) if "properties" not in field)
