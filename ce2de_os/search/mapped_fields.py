"""The fields that the mappings of an index have: a field that no mapping has is a mistake, not an answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

from ce2de_os.index.metadata import Mappings

_TEXT = frozenset({"text", "match_only_text", "annotated_text", "search_as_you_type", "alias"})
_DEEP = frozenset({"flat_object", "search_as_you_type", "join", "rank_features"})  # with fields beneath
_OBJECT, _OPEN = "object", "open"  # an open one may hold fields that the mapping does not name


@dataclass(frozen=True)
class MappedFields:
    """Dotted path and type of every field, multi-field and object, in any of the indices."""

    kinds: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, mappings: Mappings) -> MappedFields:
        """Read the mappings behind one name."""
        found = {pair: None for mapping in mappings.values() for pair in _walk(mapping, "", "true")}
        return cls(tuple(found))

    def searchable(self, field: str) -> bool:
        """Return whether a field, or one that fits a pattern, can be searched in some index."""
        if "*" in field:
            return any(kind not in (_OBJECT, _OPEN) for _, kind in self._matching(field))
        kinds = self._by_path.get(field, set())
        return field.startswith("_") or bool(kinds - {_OBJECT, _OPEN}) or self._beneath(field, _DEEP)

    def stored(self, field: str) -> bool:
        """Return whether a document may have such a field, mapped or not."""
        if field.startswith("_") or field in self._by_path or self._beneath(field, {*_DEEP, _OPEN}):
            return True
        return "*" in field and bool(self._matching(field))

    def clauses(self, fields: Iterable[str]) -> tuple[int, int]:
        """Count the fields that a query for words has a clause for each word in, and those with one alone."""
        texts, others = 0, 0
        for field in fields:
            name = field.partition("^")[0]
            kinds = [kind for _, kind in self._matching(name)] if "*" in name else ["text"]
            texts += sum(kind in _TEXT for kind in kinds)
            others += sum(kind not in (*_TEXT, _OBJECT, _OPEN) for kind in kinds)
        return max(texts, 1), others

    def near(self, field: str) -> str:
        """Return what to write instead of a field that is not there."""
        found = get_close_matches(field, [path for path in self._by_path if path], n=1)
        if found:
            return f"did you mean '{found[0]}'?"
        texts = [path for path, kind in self.kinds if kind in _TEXT]
        return f"the text fields are {', '.join(texts[:8]) or 'none'}"

    @cached_property
    def _by_path(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for path, kind in self.kinds:
            found.setdefault(path, set()).add(kind)
        return found

    def _matching(self, pattern: str) -> list[tuple[str, str]]:
        return [(path, kind) for path, kind in self.kinds if path and fnmatchcase(path, pattern)]

    def _beneath(self, field: str, kinds: Iterable[str]) -> bool:
        """Return whether some object above a field, the whole document included, is of one of the kinds."""
        parts = field.split(".")
        above = ("", *(".".join(parts[:count]) for count in range(1, len(parts))))
        return any(self._by_path.get(path, set()) & set(kinds) for path in above)


def _walk(node: Mapping[str, Any], prefix: str, dynamic: str) -> Iterator[tuple[str, str]]:
    dynamic = str(node.get("dynamic", dynamic)).lower()
    is_open = dynamic.startswith("false") or node.get("enabled") is False
    yield prefix.removesuffix("."), _OPEN if is_open else _OBJECT
    for name, field in {**node.get("derived", {}), **node.get("properties", {})}.items():
        path = f"{prefix}{name}"
        if "properties" in field or field.get("type", _OBJECT) in (_OBJECT, "nested"):
            yield from _walk(field, f"{path}.", dynamic)
            continue
        yield path, str(field["type"])
        yield from ((f"{path}.{own}", str(sub.get("type"))) for own, sub in field.get("fields", {}).items())


def named_in_source(source: object) -> Sequence[str]:
    """Return the fields that OpenSearch's ``_source`` names."""
    if isinstance(source, bool) or source is None:
        return ()
    if isinstance(source, Mapping):
        return [name for key in ("includes", "excludes") for name in _listed(source.get(key))]
    return _listed(source)


def named_in_highlight(highlight: object) -> Sequence[str]:
    """Return the fields that OpenSearch's ``highlight`` names."""
    fields = highlight.get("fields", ()) if isinstance(highlight, Mapping) else highlight
    names = [name for one in _as_list(fields) for name in (one if isinstance(one, Mapping) else [one])]
    return [part for name in names for part in str(name).split(",")]


def _as_list(fields: object) -> Sequence[object]:
    if isinstance(fields, Mapping):
        return list(fields)
    return list(fields) if isinstance(fields, Iterable) and not isinstance(fields, str) else ()


def _listed(value: object) -> Sequence[str]:
    if isinstance(value, str):
        return [value]
    return [str(one) for one in value] if isinstance(value, Iterable) else ()
