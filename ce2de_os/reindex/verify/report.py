"""The result of a verification."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class VerifyReport:
    """The findings; the targets pass if ``problems`` is empty.

    Attributes:
        source_documents: in all sources; ``target_documents``: the same for the targets.
        moving: operations of live writes that the targets do not have yet.
        refused: documents in the dead-letter index, which the targets lack.
        lost: documents of the sources that the targets lack and should have.
        surplus: documents of the targets that are not in the sources.
        stale: documents of which the targets hold another version than they should.
        compared: sampled documents whose content was compared, field by field.
        without_vector: documents that have no text.
        sampled: vectors that were computed again.
        min_cosine: the least cosine to them, ``None`` if there was no vector.
        languages: documents by language, those in none of the job's under ``"other"``; empty: it has none.
        agreement: mean share of the ten best BM25 hits in common, ``None`` if nothing could be searched.
        unsearched: sampled texts that OpenSearch does not take as a query, however short.
        source_p50_ms: median time of a BM25 search; ``target_p50_ms``: in the targets.
        problems: reasons against moving the alias.
    """

    source_documents: int = 0
    target_documents: int = 0
    moving: int = 0
    refused: int = 0
    lost: int = 0
    surplus: int = 0
    stale: int = 0
    compared: int = 0
    without_vector: int = 0
    sampled: int = 0
    min_cosine: float | None = None
    languages: dict[str, int] = field(default_factory=dict)
    agreement: float | None = None
    unsearched: int = 0
    source_p50_ms: float | None = None
    target_p50_ms: float | None = None
    problems: list[str] = field(default_factory=list)

    def to_source(self) -> dict[str, Any]:
        """Return the report as JSON values, as the ledger holds it."""
        return asdict(self)
