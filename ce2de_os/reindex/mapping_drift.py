"""Copy the fields that a source's mapping got since its copy was made."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.errors import IndexSchemaError
from ce2de_os.index import admin
from ce2de_os.index.client import backend_errors

Properties = Mapping[str, Any]


def carry_over(
    client: OpenSearch, source: str, target: str, own: Properties, left_out: Collection[str] = ()
) -> list[str]:
    """Add to ``target`` the fields of ``source`` that it lacks; return the reasons of failures, by field.

    It must happen before documents come that use the new fields, or the target guesses their types.

    Args:
        client: the cluster.
        source: the index that is copied.
        target: its copy.
        own: fields that only the copy has, by name, added as well if it lacks them.
        left_out: fields of the source that the copy does not get.
    """
    here, there = (admin.describe(client, name).mappings.get("properties", {}) for name in (source, target))
    wanted = {name: field for name, field in here.items() if name not in {*left_out, *own}} | dict(own)
    lacking = missing_fields(wanted, there)
    if not lacking or _put(client, target, lacking) is None:
        return []
    refused = {name: _put(client, target, {name: field}) for name, field in lacking.items()}
    return [
        f"field '{name}' of '{source}' is not the same in '{target}': {error}"
        for name, error in refused.items()
        if error is not None
    ]


def missing_fields(wanted: Properties, there: Properties) -> dict[str, Any]:
    """Return the ``wanted`` fields that are absent or defined differently; of objects only what differs."""
    return dict(_missing(wanted, there))


def _missing(wanted: Properties, there: Properties) -> Iterator[tuple[str, Any]]:
    for name, field in wanted.items():
        if name not in there:
            yield name, field
            continue
        plain = {key: value for key, value in field.items() if key != "properties"}
        inner = missing_fields(field.get("properties", {}), there[name].get("properties", {}))
        same = plain == {key: value for key, value in there[name].items() if key != "properties"}
        if inner or not same:
            yield name, {**plain, **({"properties": inner} if inner else {})}


def _put(client: OpenSearch, index: str, properties: Properties) -> str | None:
    """Add fields; return the reason if OpenSearch rejects them, else ``None``."""
    try:
        with backend_errors(f"change the mapping of '{index}'"):
            client.indices.put_mapping(index=index, body={"properties": dict(properties)})
    except IndexSchemaError as error:
        return str(error).partition(": ")[2]
    return None
