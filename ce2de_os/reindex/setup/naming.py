"""Choose the names of targets: derived from the source's, matched by no user template, ready to roll over."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence

from opensearchpy import OpenSearch

from ce2de_os.errors import ConfigError
from ce2de_os.index.admin import IndexInfo
from ce2de_os.index.user_templates import Additions, additions
from ce2de_os.reindex.request import JobRequest, Model

MOST_BYTES = 255
"""Longest name of an index."""

ROLLOVER = "ce2de-rollover-"
"""Prefix of the names of our own index templates."""

_FIRST = "-000001"
_OURS = re.compile(r"^(?:ce2de-)?(.+?)(?:-ce2de)?-[0-9a-f]{8}(-\d{6,})?$")
_MARKED = re.compile(r"-ce2de-[0-9a-f]{8}(-\d{6,})?$|^ce2de-.+-[0-9a-f]{8}-\d{6,}$")


def target_name(
    client: OpenSearch, source: IndexInfo, request: JobRequest, sources: Sequence[IndexInfo], model: Model
) -> str:
    """Choose the index that a source is copied into.

    It ends in a number, so that an alias on it can be rolled over.

    Raises:
        ConfigError: one name was given for several indices, or every name is taken by a user's template.
    """
    if request.target is not None:
        if len(sources) > 1:
            raise ConfigError(
                f"'{request.source}' means {len(sources)} indices, and each gets a target of its own; "
                "leave `target` out"
            )
        return request.target
    names = list(default_names(source.name, model.fingerprint))
    found = {name: additions(client, name) for name in names}
    for name in names:
        if is_harmless(source, found[name]):
            return name
    told = "; ".join(f"'{name}' by '{', '.join(found[name].templates)}'" for name in names)
    raise ConfigError(
        f"index templates of yours would add aliases, fields or a data stream to a copy of '{source.name}': "
        f"{told}; choose a `target` that none of them matches"
    )


def is_harmless(source: IndexInfo, found: Additions) -> bool:
    """Return whether templates add nothing to a copy that its source lacks, or that cannot be set aside."""
    if any(name.startswith(ROLLOVER) for name in found.templates):
        return True  # our own, for what rolls over from an earlier copy
    fields = source.mappings.get("properties", {})
    return not found.data_stream and not found.aliases and all(name in fields for name in found.fields)


def default_names(source: str, fingerprint: str) -> Iterator[str]:
    """Yield possible names for a source's copy: the usual one first, then one with another beginning."""
    base, number = base_of(source)
    mark = fingerprint[:8]
    yield _fitting(base, "", f"-ce2de-{mark}{number}")
    yield _fitting(base, "ce2de-", f"-{mark}{number}")


def base_of(name: str) -> tuple[str, str]:
    """Split a name into its base, without our additions, and its number; the first number if it has none."""
    bare = name.removeprefix(".ds-").lstrip(".")
    found = _OURS.match(bare) if _MARKED.search(bare) else None
    return (found[1], found[2] or _FIRST) if found else (bare, _FIRST)


def rollover_pattern(target: str) -> str | None:
    """Return the pattern of the indices that roll over from a target; ``None``: its name has no number."""
    found = re.fullmatch(r"(.+-)\d+", target)
    return f"{found[1]}*" if found else None


def _fitting(base: str, before: str, after: str) -> str:
    """Return a name of at most 255 bytes; a hash replaces the rest."""
    room = MOST_BYTES - len(f"{before}{after}".encode())
    if len(base.encode()) > room:
        digest = "-" + hashlib.sha256(base.encode()).hexdigest()[:10]
        base = base.encode()[: room - len(digest)].decode("utf-8", "ignore") + digest
    return f"{before}{base}{after}"
