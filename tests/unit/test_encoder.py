from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ce2de_os.arrays import cosine
from ce2de_os.errors import ArtifactError, ConfigError, DataError
from ce2de_os.model.encoder import OnnxEncoder


@pytest.fixture(scope="module")
def encoder() -> OnnxEncoder:
    return OnnxEncoder()


def test_shape_type_length_and_order(encoder: OnnxEncoder) -> None:
    texts = ["a short one", "a much longer text about cats " * 20, "tiny"]
    vectors = encoder.encode_documents(texts)
    assert vectors.shape == (3, encoder.dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    one_by_one = np.concatenate([encoder.encode_documents([text]) for text in texts])
    assert cosine(vectors, one_by_one).min() > 0.99


def test_nothing_to_encode(encoder: OnnxEncoder) -> None:
    assert encoder.encode_queries([]).shape == (0, encoder.dim)


def test_one_string_is_no_list_of_texts(encoder: OnnxEncoder) -> None:
    for encode in (encoder.encode_queries, encoder.encode_documents):
        with pytest.raises(DataError, match="got the string 'copy', expected a list of strings"):
            encode("copy")


def test_a_folder_may_be_a_string(encoder: OnnxEncoder) -> None:
    assert OnnxEncoder(str(encoder.artifact.folder)).fingerprint == encoder.fingerprint


def test_meaning_is_close(encoder: OnnxEncoder) -> None:
    query, near, far = encoder.encode_queries(
        ["how do I delete a file", "remove a file from disk", "the orbit of the moon"]
    )
    assert query @ near > query @ far + 0.2


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\t",
        "\ud800 lone \udfff surrogates",
        "🦜👩‍👩‍👧 emoji",
        "x" * 1_000_000,
        "word " * 200_000,
        "\x00\x01\u202e",
    ],
    ids=["empty", "blank", "surrogates", "emoji", "1 MB word", "1 MB text", "control"],
)
def test_odd_texts_do_not_break_it(encoder: OnnxEncoder, text: str) -> None:
    (vector,) = encoder.encode_documents([text])
    assert np.isfinite(vector).all()
    np.testing.assert_allclose(np.linalg.norm(vector), 1.0, atol=1e-5)


def test_text_beyond_max_length_does_not_count(encoder: OnnxEncoder) -> None:
    head = "word " * encoder.artifact.max_length
    left, right = encoder.encode_documents([head + "moon"]), encoder.encode_documents([head + "cat" * 9])
    np.testing.assert_array_equal(left, right)


def test_token_budget_does_not_change_the_meaning(encoder: OnnxEncoder) -> None:
    texts = [f"text number {number} " * (1 + number % 30) for number in range(64)]
    small = OnnxEncoder(encoder.artifact, batch_tokens=64)
    assert cosine(encoder.encode_documents(texts), small.encode_documents(texts)).min() > 0.99


def test_shared_by_threads(encoder: OnnxEncoder) -> None:
    texts = [[f"thread {number}"] * 8 for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(encoder.encode_queries, texts))
    for vectors, alone in zip(together, map(encoder.encode_queries, texts), strict=True):
        np.testing.assert_allclose(vectors, alone, atol=1e-6)


@pytest.mark.parametrize("settings", [{"threads": 0}, {"threads": 10**10}, {"batch_tokens": 0}])
def test_bad_settings(settings: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        OnnxEncoder(**settings)


def test_serving_stays_light() -> None:
    """One process, first vector: no torch, and less than 250 MB."""
    code = (
        "import sys; from ce2de_os import OnnxEncoder; OnnxEncoder().encode_queries(['hello']);"
        "heavy = {'torch', 'transformers', 'optimum', 'onnx'} & set(sys.modules); assert not heavy, heavy;"
        # not ru_maxrss, which a process inherits from the one that started it
        "print(int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) // 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 250


def test_passages_cover_the_text_and_overlap(encoder: OnnxEncoder) -> None:
    """21 words of one token each, in tens that begin five apart: 0-10, 5-15, 10-20, 15-21."""
    words = "one two three four five six seven eight nine ten " * 2 + "end"
    found = [words[start:end].split() for start, end in encoder.split(words, 10, 5)]
    assert [len(piece) for piece in found] == [10, 10, 10, 6]
    assert [piece[0] for piece in found] == ["one", "six", "one", "six"]
    assert found[-1][-1] == "end"


def test_a_short_text_is_one_passage(encoder: OnnxEncoder) -> None:
    assert encoder.split("two words", 10, 5) == [(0, 9)]
    assert encoder.split("", 10, 5) == [(0, 0)]


def test_a_passage_longer_than_the_model_reads(encoder: OnnxEncoder) -> None:
    with pytest.raises(ConfigError, match="reads at most 254 at once"):
        encoder.split("text", 255, 100)


def test_an_artifact_without_token_vectors_says_so(encoder: OnnxEncoder) -> None:
    with pytest.raises(ArtifactError, match=r"gives no token vectors.*export.*`token_vectors`"):
        encoder.encode_query_tokens(["a question"])


def test_tokens_are_counted(encoder: OnnxEncoder) -> None:
    before = encoder.tokens_read
    encoder.encode_documents(["two words", "one"])
    assert encoder.tokens_read - before == (2 + 2) + (1 + 2)  # each with its two special tokens
