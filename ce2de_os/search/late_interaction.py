"""Late interaction: match every token of a question with the most similar token of a document.

Source: Khattab and Zaharia, "ColBERT: Efficient and Effective Passage Search via Contextualized Late
Interaction over BERT", SIGIR 2020 (arXiv 2004.12832); there are no mask tokens after the question here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from ce2de_os.arrays import TokenVectors
from ce2de_os.search.question import check_choice

Scoring = Literal["cluster", "stored", "text"]

LATE_WEIGHT = 0.25
"""MaxSim's share of the final order, see ``benchmarks/late_interaction.py``: alone it ranks the hits of a
hybrid search worse than before."""

_KEPT_QUESTIONS = 64  # token vectors of the last questions: a deadline scores their hits in several calls


class TokenEncoder(Protocol):
    """The encoder that late interaction needs; an `OnnxEncoder` with token vectors is one."""

    @property
    def fingerprint(self) -> str:
        """Names the model: only its own token vectors can be compared."""

    def encode_query_tokens(self, texts: Sequence[str], /) -> list[TokenVectors]:
        """Encode queries to token vectors, ``(L, T)`` each."""

    def encode_document_tokens(self, texts: Sequence[str], /) -> list[TokenVectors]:
        """Encode documents to token vectors, ``(L, T)`` each."""


def max_sim(query: TokenVectors, document: TokenVectors) -> float:
    """Compute the mean over a query's tokens of each one's highest cosine with a token of the document.

    This is ColBERT's sum divided by the number of the query's tokens, so it is between -1 and 1 for short and
    for long questions.

    ``query`` is ``(L, T)`` and ``document`` ``(M, T)``, both with rows of length 1.

    Returns:
        0.0 where one of them has no tokens.
    """
    if not len(query) or not len(document):
        return 0.0
    return float((query @ document.T).max(axis=1).mean())


class LateInteraction:
    """A reranker that scores documents by `max_sim` of token vectors.

    Give it to a searcher as its ``reranker``. Where the index has token vectors of this model (see
    ``token_vectors`` of a job), the cluster scores them by a script, from OpenSearch 3.3 on, or they are
    fetched and scored here; elsewhere the hits' texts are encoded when the question is asked. All three rank
    alike, except for the rounding of stored vectors.

    The script keeps 86 bytes for each token of 64 numbers off the network, and takes the cluster's time: for
    50 of Cranfield's abstracts it added 520 ms on a busy machine of two cores, where fetching added 131 ms
    and encoding the texts 4.4 s. Force ``"stored"`` where the network is fast.

    Args:
        encoder: the model; it is asked for token vectors once now, so that a wrong artifact fails at once.
        scoring: ``"cluster"``, ``"stored"`` or ``"text"`` to force one; ``None``: the first that is possible.

    Raises:
        ArtifactError: the model gives no token vectors.
        ConfigError: there is no such scoring.
    """

    def __init__(self, encoder: TokenEncoder, *, scoring: Scoring | None = None) -> None:
        check_choice("scoring", scoring, (None, *get_args(Scoring)))
        encoder.encode_query_tokens(["is it there?"])
        self.encoder = encoder
        self.scoring: Scoring | None = scoring
        self._tokens_of = lru_cache(_KEPT_QUESTIONS)(self._encode_query)

    def query_tokens(self, query: str) -> TokenVectors:
        """Return the question's token vectors from the cache, or encode them; safe for threads."""
        return self._tokens_of(query)

    def score(self, query: str, documents: Sequence[str], /) -> NDArray[np.float32]:
        """Compute `max_sim` of each document's text, ``(B,)`` float32."""
        asked = self.query_tokens(query)
        found = self.encoder.encode_document_tokens(documents)
        return np.array([max_sim(asked, vectors) for vectors in found], dtype=np.float32)

    def _encode_query(self, query: str) -> TokenVectors:
        (vectors,) = self.encoder.encode_query_tokens([query])
        return vectors
