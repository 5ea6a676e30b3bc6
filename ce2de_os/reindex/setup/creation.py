"""Create a target: create it, check it, and let a rollover create the next one alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.errors import BackendError, BackendUnavailableError, ConfigError
from ce2de_os.index import admin
from ce2de_os.index.admin import IndexInfo
from ce2de_os.index.carried import template_settings
from ce2de_os.index.client import backend_errors
from ce2de_os.index.guard import guard_name, is_guard, turn_name
from ce2de_os.index.language_fields import LanguageSpec, language_field, text_field
from ce2de_os.index.metadata import META_KEY, IndexMetadata, fields_from
from ce2de_os.index.target_body import target_body
from ce2de_os.index.token_field import TOKENS_SUFFIX
from ce2de_os.index.user_templates import Additions, additions
from ce2de_os.index.vector_field import ORIGIN_SUFFIX, VectorField
from ce2de_os.reindex.job import Part
from ce2de_os.reindex.setup.naming import ROLLOVER, rollover_pattern


def create_target(
    client: OpenSearch,
    source: IndexInfo,
    target: str,
    metadata: IndexMetadata,
    vector: VectorField,
    languages: LanguageSpec | None,
) -> None:
    """Create a target with its guard, unless it is there.

    Settings that only an index template of the user asks for are reset. Aliases and fields cannot be, so with
    these the empty index is deleted again.

    Raises:
        ConfigError: a template adds aliases or fields, or OpenSearch rejects the index.
    """
    mappings = _without(source.mappings, other_vectors(source))
    body = target_body(source.settings, mappings, metadata, vector, vector.hash_field, languages)
    if not admin.exists(client, target):
        remove_rollover_template(client, target)  # of an earlier job whose index is gone; it would apply here
    added = additions(client, target)
    unasked = {f"index.{key}": None for key in added.settings}
    body["settings"] = unasked | body["settings"]
    body["aliases"] = {name: {"is_hidden": True} for name in (guard_name(target), turn_name(target, 0))}
    if admin.create(client, target, body):
        _read_back(client, target, body["mappings"]["properties"], added)


def _read_back(client: OpenSearch, target: str, asked: Mapping[str, Any], added: Additions) -> None:
    with backend_errors(f"look up index '{target}'"):
        found = client.indices.get(index=target)[target]
    aliases = sorted(alias for alias in found.get("aliases", {}) if not is_guard(alias))
    fields = sorted(set(found.get("mappings", {}).get("properties", {})) - set(asked))
    if not aliases and not fields:
        return
    with backend_errors(f"delete index '{target}'"):
        client.indices.delete(index=target)
    told = [f"alias '{alias}'" for alias in aliases] + [f"field '{name}'" for name in fields]
    templates = f"'{', '.join(added.templates)}'" if added.templates else "see GET _index_template"
    raise ConfigError(
        f"an index template of yours ({templates}) gave '{target}' {', '.join(told)}; it was deleted again "
        "while it was empty; choose a `target` that the template does not match, or change its patterns"
    )


def other_vectors(source: IndexInfo) -> tuple[str, ...]:
    """Return the fields of vectors, and the fields that go with them, that a copy leaves out."""
    names = [entry.vector_field for entry in fields_from(source.mappings)]
    return tuple(
        field
        for name in names
        for field in (
            name, f"{name}_hash", f"{name}{TOKENS_SUFFIX}", f"{name}{ORIGIN_SUFFIX}",
            text_field(name), language_field(name),
        )
    )  # fmt: skip


def _without(mappings: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    properties = mappings.get("properties", {})
    return {**mappings, "properties": {name: properties[name] for name in properties if name not in fields}}


def rollover_template(client: OpenSearch, part: Part) -> str | None:
    """Let the index that a rollover of a target creates carry the vector field too.

    A composable template above all that match has the target's mapping, ``_meta`` included, and its settings
    as they are after the load. To be called when the alias moves.

    Returns:
        A warning: it cannot be made, and what follows; ``None``: it is there, or the target's name has no
        number, so that nothing can roll over.

    Raises:
        BackendUnavailableError: OpenSearch does not answer.
    """
    pattern = rollover_pattern(part.target)
    if pattern is None:
        return None
    name, found = template_name(part.target), additions(client, part.target)
    info = admin.describe(client, part.target)
    settings = {f"index.{key}": value for key, value in info.settings.items()} | dict(part.restore)
    mappings = {**info.mappings, "_meta": _for_itself(info.mappings.get("_meta", {}))}
    body = {
        "index_patterns": [pattern],
        "priority": found.priority + (found.templates != (name,)),
        "template": {"settings": template_settings(settings), "mappings": mappings},
        "_meta": {"description": "So that indices which roll over from a copy carry its vectors too."},
    }
    try:
        with backend_errors(f"put index template '{name}'"):
            client.indices.put_index_template(name=name, body=body)
    except BackendUnavailableError:
        raise
    except BackendError as error:
        return (
            f"no index template for '{pattern}' could be made, so an index that rolls over has no vectors: "
            f"{error}; it needs the privilege indices:admin/index_template/put"
        )
    return None


def template_name(target: str) -> str:
    """Return the name of the index template for the indices that roll over from a target."""
    return f"{ROLLOVER}{(rollover_pattern(target) or target).removesuffix('-*')}"


def remove_rollover_template(client: OpenSearch, target: str) -> None:
    """Remove the template of a target that is deleted; without the right to, it stays."""
    try:
        with backend_errors("delete index template"):
            client.indices.delete_index_template(name=template_name(target), params={"ignore": [404]})
    except BackendUnavailableError:
        raise
    except BackendError:
        return


def _for_itself(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``_meta`` of an index without sources: all its documents come from applications."""
    ours = meta.get(META_KEY, {})
    entries = {name: {**entry, "source": ""} for name, entry in ours.get("fields", {}).items()}
    return {**meta, META_KEY: {**ours, "fields": entries}}
