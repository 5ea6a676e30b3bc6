"""Measure the difference of the quantized graph from its student."""

from __future__ import annotations

from dataclasses import dataclass

from ce2de_os.arrays import Embeddings, cosine
from ce2de_os.student import Ids, StudentModel, embed_sorted

MIN_MEAN_COSINE, MIN_WORST_COSINE = 0.98, 0.95
_BATCH_TOKENS = 4096


@dataclass(frozen=True)
class Parity:
    """Cosines between the float32 student's and the quantized artifact's embeddings of the same texts."""

    texts: int
    mean_cosine: float
    worst_cosine: float

    @property
    def passed(self) -> bool:
        """Return whether the artifact may be used: mean at least 0.98, worst at least 0.95; NaN fails."""
        return self.mean_cosine >= MIN_MEAN_COSINE and self.worst_cosine >= MIN_WORST_COSINE


def student_embeddings(student: StudentModel, ids: Ids) -> Embeddings:
    """Compute the float32 student's embeddings ``(B, D)`` of tokenized texts, in the given order."""
    return embed_sorted(student, ids, _BATCH_TOKENS)


def compare(reference: Embeddings, quantized: Embeddings) -> Parity:
    """Compare two ``(B, D)`` arrays row by row."""
    cosines = cosine(reference, quantized)
    return Parity(len(cosines), round(float(cosines.mean()), 5), round(float(cosines.min()), 5))
