"""The text of a document to embed: its fields, how they are joined, whether in passages."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from ce2de_os.errors import ConfigError
from ce2de_os.index.documents import document_text

HOLE = re.compile(r"\{([^{}]+)\}")
_HASH_DIGITS = 32


@dataclass(frozen=True)
class TextSpec:
    """The text that is embedded.

    Attributes:
        fields: fields by dotted path; without a template each value is a line.
        template: the text with the fields in braces, such as ``"{title}. {body}"``; ``None`` for none.
        passages: ``(length, stride)`` in tokens: a vector for each passage, which begins ``stride`` tokens
            after the one before; ``None``: one vector for the document, of its first tokens.
    """

    fields: tuple[str, ...]
    template: str | None = None
    passages: tuple[int, int] | None = None

    @classmethod
    def from_source(cls, source: Mapping[str, Any]) -> Self:
        """Build it from its ledger document."""
        passages = source.get("passages")
        return cls(tuple(source["fields"]), source.get("template"), tuple(passages) if passages else None)

    def to_source(self) -> dict[str, Any]:
        """Return the text settings as part of a ledger document."""
        return asdict(self)

    def text_of(self, document: Mapping[str, Any]) -> str:
        """Return the text of a document's ``_source``; ``""`` if none of its fields holds any."""
        if self.template is None:
            return document_text(document, self.fields)
        values = {field: document_text(document, [field]) for field in self.fields}
        if not any(values.values()):
            return ""
        return HOLE.sub(lambda hole: values[hole.group(1)], self.template)

    def hash_of(self, text: str, fingerprint: str) -> str:
        """Return a hash for a text's vectors: equal only for equal text, splitting and model."""
        identity = f"{fingerprint}\n{self.passages}\n".encode() + text.encode("utf-8", "surrogatepass")
        return hashlib.sha256(identity).hexdigest()[:_HASH_DIGITS]


def text_spec(fields: str | None, template: str | None = None, passages: str | None = None) -> TextSpec:
    """Parse the options, such as ``"title,body"``, ``"{title}. {body}"`` and ``"180:90"``.

    Raises:
        ConfigError: there is neither field nor template, both, or ``passages`` are not two numbers.
    """
    named = tuple(name.strip() for name in (fields or "").split(",") if name.strip())
    holes = tuple(dict.fromkeys(HOLE.findall(template or "")))
    if template is not None and (named or not holes):
        raise ConfigError(
            f"`template`: got '{template}', expected fields in braces, such as '{{title}}. {{body}}', "
            "and no `text_fields`"
        )
    if not named and not holes:
        raise ConfigError("name the fields to embed: `text_fields=title,body` or `template={title}. {body}`")
    return TextSpec(named or holes, template, _passages(passages))


def follow_spec(fields: str | None, template: str | None, passages: str | None) -> TextSpec:
    """Parse the same; without fields and template the result has no fields, and the index's record holds.

    Raises:
        ConfigError: as `text_spec`.
    """
    if fields is None and template is None:
        return TextSpec((), None, _passages(passages))
    return text_spec(fields, template, passages)


def _passages(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    length, _, stride = text.partition(":")
    if not (length.isdecimal() and stride.isdecimal() and 0 < int(stride) <= int(length)):
        raise ConfigError(
            f"`passages`: got '{text}', expected LENGTH:STRIDE in tokens, the stride at most the length, "
            "such as 180:90"
        )
    return int(length), int(stride)
