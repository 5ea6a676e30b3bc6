"""What a sample's token counts say, by hand."""

from __future__ import annotations

import pytest

from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.reindex.planning.sample import (
    Drawn,
    docs_per_s,
    embedded_share,
    measure,
    percentile,
    summarize,
    token_counts,
)


def test_the_statistics_of_four_texts():
    found = summarize(documents=5, lengths=[10, 40, 20, 30], max_length=25, seed=1, rate=7.0)
    assert found.with_text == 4
    assert found.text_share == 4 / 5
    assert found.mean_tokens == (10 + 20 + 30 + 40) / 4
    assert (found.p50_tokens, found.p95_tokens) == (20, 40)
    assert found.mean_encoded_tokens == (10 + 20 + 25 + 25) / 4
    assert found.cut_share == 2 / 4


def test_a_text_of_exactly_the_longest_length_is_not_cut():
    assert summarize(1, [256], 256, 1, None).cut_share == 0


def test_no_texts():
    found = summarize(documents=3, lengths=[], max_length=256, seed=1, rate=None)
    assert (found.mean_tokens, found.p95_tokens, found.cut_share, found.text_share) == (0, 0, 0, 0)
    assert summarize(0, [], 256, 1, None).text_share == 0


@pytest.mark.parametrize(("percent", "expected"), [(50, 10), (95, 19), (100, 20), (1, 1)])
def test_percentile(percent, expected):
    assert percentile(list(range(1, 21)), percent) == expected


@pytest.fixture(scope="module")
def encoder():
    return OnnxEncoder()


def test_tokens_are_counted_beyond_max_length(encoder):
    # One word is one token here, and the model adds one at each end.
    assert token_counts(encoder, ["house", "house " * 1000, ""]) == [3, 1002, 2]
    assert len(encoder.token_ids(["house " * 1000])[0]) == encoder.artifact.max_length


def test_measured_with_the_packaged_student(encoder):
    found = measure(encoder, Drawn(["house", "", "house " * 1000]))
    assert (found.documents, found.with_text) == (3, 2)
    assert found.mean_tokens == (3 + 1002) / 2
    assert found.cut_share == 1 / 2
    assert found.docs_per_s > 0
    assert docs_per_s(encoder, []) is None


def test_the_embedded_text_s_share_of_the_documents():
    """{"title": "ab", "id": 7} has 24 characters, "ab" four of them; a document without text counts too."""
    assert embedded_share([{"title": "ab", "id": 7}], ["ab"]) == 4 / 24
    assert embedded_share([{"title": "ab", "id": 7}, {"id": 8}], ["ab", ""]) == 4 / (24 + 9)
    assert embedded_share([], []) == 0
