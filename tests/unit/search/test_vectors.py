"""The cache of query vectors: bounded, safe from threads, and right."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ce2de_os.search.vectors import QueryVectors


class CountingEncoder:
    """The vector of a text is its length; counts what it encodes."""

    space = "a" * 64

    def __init__(self):
        self.encoded = []

    def encode_queries(self, texts):
        self.encoded.append(list(texts))
        return np.array([[len(text), 1] for text in texts], dtype=np.float32)


def lengths(vectors):
    return [int(vector[0]) for vector in vectors]


def test_a_question_that_comes_again_is_not_encoded_again():
    encoder = CountingEncoder()
    vectors = QueryVectors(encoder)
    assert lengths(vectors.encode(["one", "three"])) == [3, 5]
    assert lengths(vectors.encode(["three", "four"])) == [5, 4]
    assert encoder.encoded == [["one", "three"], ["four"]]


def test_the_same_text_twice_is_encoded_once():
    encoder = CountingEncoder()
    assert lengths(QueryVectors(encoder).encode(["one", "one"])) == [3, 3]
    assert encoder.encoded == [["one"]]


def test_the_least_recently_used_goes_first():
    encoder = CountingEncoder()
    vectors = QueryVectors(encoder, size=2)
    for text in ("a", "b", "a", "c"):
        vectors.encode([text])
    assert len(vectors) == 2
    assert vectors.known("b") is None
    assert vectors.known("a") is not None
    assert vectors.known("c") is not None


def test_more_texts_than_the_cache_holds_are_all_answered():
    vectors = QueryVectors(CountingEncoder(), size=2)
    assert lengths(vectors.encode(["a", "bb", "ccc", "dddd"])) == [1, 2, 3, 4]
    assert len(vectors) == 2


def test_no_cache():
    encoder = CountingEncoder()
    vectors = QueryVectors(encoder, size=0)
    vectors.encode(["one"])
    vectors.encode(["one"])
    assert (len(vectors), len(encoder.encoded)) == (0, 2)


def test_threads_share_it():
    vectors = QueryVectors(CountingEncoder(), size=8)
    texts = ["x" * (1 + number % 20) for number in range(400)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda text: vectors.encode([text])[0][0], texts))
    assert found == [len(text) for text in texts]
    assert len(vectors) <= 8
