"""HitParts: choose the fields of a hit for a document's text, and those for its metadata."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ce2de_os.errors import DataError
from ce2de_os.index.documents import values_at
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.records import Hit
from ce2de_os.search.result import SearchResult

_TOLD = ("id", "score", "rank", "passage", "logit", "highlight")  # in the metadata, of the hit itself


class Parts(NamedTuple):
    """One hit in the form that a framework needs."""

    doc_id: str
    content: str
    score: float
    metadata: dict[str, Any]


@dataclass(frozen=True)
class HitParts:
    """The division of a hit into text and metadata.

    The metadata also holds ``id``, ``score`` and ``rank``, and where there are any ``passage`` (``text``,
    ``start``, ``end``, ``score``), ``logit`` and ``highlight``; they replace fields of the same name, unless
    those are named in ``metadata``.

    Attributes:
        content: the fields that make the text, one to a line; ``None``: the text that was embedded, or where
            there are no vectors every text field.
        metadata: the fields to pass on, by dotted path; ``None``: all that are not in the text.
    """

    content: tuple[str, ...] | None = None
    metadata: tuple[str, ...] | None = None

    @classmethod
    def of(cls, content: Sequence[str] | None, metadata: Sequence[str] | None) -> HitParts:
        """Create the division from lists of field names, and check the lists.

        Raises:
            DataError: a string in place of a list, or no field for the text.
        """
        for name, value in (("content_fields", content), ("metadata_fields", metadata)):
            is_list = isinstance(value, list | tuple) and all(isinstance(one, str) and one for one in value)
            if value is not None and (not is_list or (name == "content_fields" and not value)):
                raise DataError(f"{name}: got {value!r:.80}, expected a list such as ['title', 'body']")
        return cls(None if content is None else tuple(content), None if metadata is None else tuple(metadata))

    def read(self, result: SearchResult) -> Iterator[Parts]:
        """Yield the parts of each hit of ``result``, best first.

        Raises:
            IndexSchemaError: no document can have one of the fields.
            DataError: the hits were fetched without the fields of the text.
        """
        text = result.text if self.content is None else TextSpec(self.content)
        self._check(result, text)
        for hit in result:
            yield Parts(hit.doc_id, text.text_of(hit.source), hit.score, self._metadata(hit, text))

    def _metadata(self, hit: Hit, text: TextSpec) -> dict[str, Any]:
        if self.metadata is None:
            fields = {name: value for name, value in hit.source.items() if name not in text.fields}
        else:
            fields = {name: value[0] for name in self.metadata if (value := _value(hit.source, name))}
        found = {
            "passage": hit.passage._asdict() if hit.passage else None,
            "logit": hit.logit,
            "highlight": hit.highlight,
        }
        told = {"id": hit.doc_id, "score": hit.score, "rank": hit.rank}
        told |= {name: value for name, value in found.items() if value is not None}
        return {**fields, **told} if self.metadata is None else {**told, **fields}

    def _check(self, result: SearchResult, text: TextSpec) -> None:
        if result.target is not None:
            result.target.check_stored("content_fields", self.content or ())
            named = [name for name in self.metadata or () if name not in _TOLD]
            result.target.check_stored("metadata_fields", named)
        has_text = any(values_at(hit.source, name) for hit in result for name in text.fields)
        if result and not result.whole and not has_text:
            raise DataError(
                f"no hit has the fields of the text ({', '.join(text.fields)}); name them in the option "
                "'source' too, or leave it out"
            )


def _value(source: Mapping[str, Any], path: str) -> list[Any]:
    """Return the value at a path as the only element, or nothing; several values are one list."""
    values = values_at(source, path)
    return [values] if len(values) > 1 else values
