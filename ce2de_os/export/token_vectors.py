"""Token vectors of a student: the head that makes them, and the values of the float32 student."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ce2de_os.arrays import TokenVectors, l2_normalize
from ce2de_os.errors import ConfigError
from ce2de_os.export.truncation import rotated
from ce2de_os.student import Ids, StudentModel, rows_sorted

_BATCH_TOKENS = 4096


def token_head(student: StudentModel, ids: Ids, dim: int) -> torch.nn.Linear:
    """Rotate the student's head onto the first ``dim`` principal axes of sample texts' token vectors.

    It keeps the inner products of token vectors best, as `truncate` does for those of texts.

    Raises:
        ConfigError: ``dim`` is not between 1 and ``D``, the texts have fewer tokens than that, or the student
            has no token vectors.
    """
    if not 1 <= dim <= student.dim:
        raise ConfigError(
            f"token vectors: got length {dim}, expected 1 to {student.dim}, the length of the embeddings"
        )
    vectors = np.concatenate(student_tokens(student, ids, student.head))
    if len(vectors) < dim:
        raise ConfigError(
            f"token vectors: {dim} axes cannot be measured on {len(vectors)} tokens; distill with more texts"
        )
    return rotated(student.head, vectors, dim)


def student_tokens(student: StudentModel, ids: Ids, head: torch.nn.Linear) -> list[TokenVectors]:
    """Compute the float32 student's token vectors of each tokenized text, through ``head``.

    Raises:
        ConfigError: the student has no token vectors.
    """
    rows = rows_sorted(
        lambda input_ids, mask: student.token_vectors(input_ids, mask, head), ids, _BATCH_TOKENS
    )
    return [l2_normalize(row[1 : len(one) - 1]) for row, one in zip(rows, ids, strict=True)]


def token_means(vectors: Sequence[TokenVectors]) -> TokenVectors:
    """Average the token vectors of each text, to ``(B, T)``; every text has a token."""
    return np.stack([one.mean(axis=0) for one in vectors])
