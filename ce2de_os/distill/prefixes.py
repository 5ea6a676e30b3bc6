"""What a dual encoder expects before queries and documents, such as E5's ``query: `` and ``passage: ``.

The same words have two embeddings then, and a student can only learn both if it is told which one is wanted:
it reads the same prefixes, and they travel in its manifest to the workers and to the search.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ce2de_os.distill.texts import Passage

QUERY_WORDS = 32
"""Longest passage that may also be a query, in words."""


class Prefixes(NamedTuple):
    """Put before every query and before every document; ``""`` for none."""

    query: str = ""
    document: str = ""

    @classmethod
    def of(cls, recipe: Mapping[str, Any]) -> Prefixes:
        """Those that a recipe names."""
        return cls(recipe.get("query_prefix", ""), recipe.get("document_prefix", ""))

    def plain(self) -> dict[str, str]:
        """As a recipe names them; those that are empty are absent, as in recipes that knew of none."""
        return {f"{kind}_prefix": text for kind, text in self._asdict().items() if text}

    def queries(self, texts: Iterable[str]) -> list[str]:
        """The texts as queries."""
        return [self.query + text for text in texts]

    def documents(self, texts: Iterable[str]) -> list[str]:
        """The texts as documents."""
        return [self.document + text for text in texts]

    def passages(self, passages: Sequence[Passage]) -> list[Passage]:
        """Training texts: every second one of those as short as queries is one, the rest are documents."""
        if not any(self):
            return list(passages)
        return [
            self._before(passage, self.query if number % 2 and _is_short(passage) else self.document)
            for number, passage in enumerate(passages)
        ]

    @staticmethod
    def _before(passage: Passage, prefix: str) -> Passage:
        original = None if passage.original is None else prefix + passage.original
        return Passage(prefix + passage.text, passage.source, original)


NO_PREFIXES = Prefixes()


def _is_short(passage: Passage) -> bool:
    return passage.text.count(" ") < QUERY_WORDS
