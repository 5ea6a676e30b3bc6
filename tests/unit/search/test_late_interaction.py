"""MaxSim by hand, and the reranker made of it."""

from __future__ import annotations

import base64
from array import array

import numpy as np
import pytest

from ce2de_os.errors import ArtifactError, ConfigError
from ce2de_os.index.token_field import from_json, to_json
from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.search.late_interaction import LateInteraction, max_sim
from ce2de_os.search.token_scores import fetched, is_not_understood, scripted

EAST, NORTH, NORTH_EAST = [1.0, 0.0], [0.0, 1.0], [0.6, 0.8]


def rows(*vectors):
    return np.array(vectors, dtype=np.float32).reshape(len(vectors), 2)


@pytest.mark.parametrize(
    ("query", "document", "expected"),
    [
        ([EAST], [EAST], 1.0),
        ([EAST], [NORTH, NORTH_EAST], 0.6),
        ([EAST, NORTH], [NORTH_EAST], (0.6 + 0.8) / 2),
        # each token of the query takes its own best one
        ([EAST, NORTH, NORTH_EAST], [EAST, NORTH], (1 + 1 + 0.8) / 3),
        ([EAST], [[-1.0, 0.0]], -1.0),
        ([EAST, EAST], [EAST], 1.0),  # a question twice as long does not score twice as high
        ([], [EAST], 0.0),
        ([EAST], [], 0.0),
    ],
)
def test_max_sim(query, document, expected):
    assert max_sim(rows(*query), rows(*document)) == pytest.approx(expected)


def stored(numbers):
    """By the standard library: signed bytes in base64."""
    return base64.b64encode(array("b", numbers).tobytes()).decode()


class LetterEncoder:
    """One token a letter: a to the east, b to the north, everything else in between."""

    fingerprint = "f" * 64

    def __init__(self):
        self.queries = 0

    def encode_query_tokens(self, texts):
        self.queries += len(texts)
        return self.encode_document_tokens(texts)

    def encode_document_tokens(self, texts):
        return [rows(*({"a": EAST, "b": NORTH}.get(one, NORTH_EAST) for one in text)) for text in texts]


def test_documents_are_scored_in_the_order_given():
    scores = LateInteraction(LetterEncoder()).score("ab", ["b", "c", "ab", ""])
    assert scores.dtype == np.float32
    assert scores.tolist() == pytest.approx([(0 + 1) / 2, (0.6 + 0.8) / 2, 1.0, 0.0])


def test_a_question_is_encoded_once():
    encoder = LetterEncoder()
    late = LateInteraction(encoder)
    before = encoder.queries
    late.score("ab", ["a"])
    late.score("ab", ["b"])
    assert encoder.queries == before + 1


def test_an_artifact_without_token_vectors_is_refused():
    with pytest.raises(ArtifactError, match="gives no token vectors, which late interaction needs"):
        LateInteraction(OnnxEncoder())


def test_an_unknown_scoring_is_refused():
    with pytest.raises(ConfigError, match="scoring: got 'best', expected one of None, 'cluster', 'stored'"):
        LateInteraction(LetterEncoder(), scoring="best")


def test_stored_token_vectors_are_signed_bytes():
    assert to_json(rows(EAST, [-0.6, 0.8])) == stored([127, 0, round(-0.6 * 127), round(0.8 * 127)])
    np.testing.assert_allclose(from_json(stored([127, 0, -3, 4]), 2), rows(EAST, [-0.6, 0.8]), atol=1e-6)
    assert from_json(to_json(rows()), 2).shape == (0, 2)


def test_what_is_fetched_is_scored_and_what_is_missing_is_unlike():
    hits = [
        {"_index": "i", "_id": "1", "_source": {"t": stored([76, 102])}},
        {"_index": "i", "_id": "2", "_source": {}},
        {"_index": "i", "_id": "3", "_source": {"t": None}},
    ]
    scores = fetched(rows(EAST), "t", [{"hits": {"hits": hits}}])
    # 76² + 102² = 127.2²
    assert scores == pytest.approx({"1 i": 76 / (76**2 + 102**2) ** 0.5, "2 i": 0.0, "3 i": 0.0})


def test_the_cluster_s_score_is_the_mean_of_half_of_one_plus_the_cosine():
    hits = [{"_index": "i", "_id": "1", "_score": ((1 + 1) / 2 + (1 + 0.6) / 2) / 2}]
    assert scripted([{"hits": {"hits": hits}}]) == pytest.approx({"1 i": (1 + 0.6) / 2})


@pytest.mark.parametrize(
    ("reason", "expected"), [("compile error", True), ("runtime error", False), (None, False)]
)
def test_only_a_script_that_does_not_compile_is_not_understood(reason, expected):
    error = {"root_cause": [{"type": "script_exception", "reason": reason}]}
    assert is_not_understood({"error": error, "status": 400}) is expected
    assert not is_not_understood({"hits": {"hits": []}})
