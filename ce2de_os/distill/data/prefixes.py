"""The prefixes of queries and documents that a dual encoder expects, such as E5's ``query: ``.

The same words have two embeddings then, and a student can only learn both if its input shows which one is
needed: it reads the same prefixes, and its manifest has them for the workers and the search.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ce2de_os.distill.data.texts import TrainingPassage

QUERY_WORDS = 32
"""Longest passage that may also be a query, in words."""


class Prefixes(NamedTuple):
    """Texts before every query and before every document; ``""`` for none."""

    query: str = ""
    document: str = ""

    @classmethod
    def of(cls, recipe: Mapping[str, Any]) -> Prefixes:
        """Return the prefixes that a recipe names."""
        return cls(recipe.get("query_prefix", ""), recipe.get("document_prefix", ""))

    def plain(self) -> dict[str, str]:
        """Return the prefixes as a recipe names them; empty ones are absent, as in older recipes."""
        return {f"{kind}_prefix": text for kind, text in self._asdict().items() if text}

    def queries(self, texts: Iterable[str]) -> list[str]:
        """Put the query prefix in front of each text."""
        return [self.query + text for text in texts]

    def documents(self, texts: Iterable[str]) -> list[str]:
        """Put the document prefix in front of each text."""
        return [self.document + text for text in texts]

    def passages(
        self, passages: Sequence[TrainingPassage], teacher: Prefixes | None = None
    ) -> list[TrainingPassage]:
        """Prefix training texts: of those as short as queries every second one is a query.

        A passage with a fixed kind keeps it. ``teacher`` are the prefixes that the
        teacher reads instead of these; ``None`` means the same.
        """
        read = self if teacher is None else teacher
        if not any((*self, *read)):
            return list(passages)
        return [self._with(passage, number, read) for number, passage in enumerate(passages)]

    def _with(self, passage: TrainingPassage, number: int, teacher: Prefixes) -> TrainingPassage:
        guess = number % 2 == 1 and _is_short(passage)
        is_query = guess if passage.is_query is None else passage.is_query
        own, read = (before.query if is_query else before.document for before in (self, teacher))
        original = passage.original
        if original is not None or own != read:
            original = read + (passage.text if original is None else original)
        return passage._replace(text=own + passage.text, original=original)


NO_PREFIXES = Prefixes()


def teacher_prefixes(recipe: Mapping[str, Any]) -> Prefixes:
    """Return the prefixes that the teacher read when a student was made with this recipe."""
    student = Prefixes.of(recipe)
    return student._replace(query=recipe.get("teacher_query_prefix", student.query))


def _is_short(passage: TrainingPassage) -> bool:
    return passage.text.count(" ") < QUERY_WORDS
