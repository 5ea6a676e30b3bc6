"""Batches over callers: every caller gets its own results, and nobody waits behind a large request."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ce2de_os.arrays import cosine
from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.server.answers import HttpError
from ce2de_os.server.engine import DOCUMENTS, QUERIES, Engine
from ce2de_os.server.lanes import EmbeddingLane, LaneCall, PairLane


@pytest.fixture(scope="module")
def encoder():
    return OnnxEncoder()


def call(encoder, texts, as_query=False):
    return LaneCall(texts, np.empty((len(texts), encoder.dim), dtype=np.float32), as_query)


def drain(lane):
    """Do all the work; return the number of pieces."""
    count = 0
    while (piece := lane.take()) is not None:
        piece()
        count += 1
    return count


def test_callers_share_batches_and_get_their_own_vectors(encoder):
    lane = EmbeddingLane(encoder, 512)
    texts = [[f"copy the folder {number} {'again ' * (number % 7)}"] for number in range(20)]
    calls = [call(encoder, one) for one in texts]
    for each in calls:
        lane.add(each)
    assert lane.waiting == 20
    assert drain(lane) < 5  # one wave of tokens, few batches
    assert lane.waiting == 0
    for one, each in zip(texts, calls, strict=True):
        found = each.future.result(timeout=0)
        assert cosine(found.values, encoder.encode_documents(one)).min() > 0.99
        assert found.tokens == len(encoder.document_ids(one)[0])


def test_a_small_request_does_not_wait_for_a_large_one(encoder):
    lane = EmbeddingLane(encoder, 512)
    large = call(encoder, [f"document {number} about files" for number in range(600)])
    lane.add(large)
    small = call(encoder, ["a single document"])
    lane.take()()  # the first wave is of the large one alone
    lane.add(small)
    while not small.future.done():
        lane.take()()
    assert large.left > 300
    drain(lane)
    assert large.future.done()


def test_long_texts_make_small_waves(encoder):
    lane = EmbeddingLane(encoder, 512)
    lane.add(call(encoder, ["word " * 200_000] * 12))
    lane.take()()
    assert sum(len(batch) for batch in lane._batches) == 4


def test_a_caller_who_goes_takes_the_work_back(encoder):
    lane = EmbeddingLane(encoder, 512)
    gone, stays = call(encoder, ["a word " * 50] * 100), call(encoder, ["b"])
    lane.add(gone)
    lane.add(stays)
    lane.take()()
    gone.future.cancel()
    assert lane.waiting == 1
    assert drain(lane) <= 2
    assert stays.future.done()
    assert gone.done == 0


class Broken:
    """Fails while it tokenizes, or later."""

    dim = 2

    def __init__(self, early):
        self.early = early

    def document_ids(self, texts):
        if self.early and texts:
            raise MemoryError("no memory")
        return [[1, 2] for _ in texts]

    query_ids = document_ids

    def encode_ids(self, ids):
        raise MemoryError("no memory")


@pytest.mark.parametrize("early", [True, False])
def test_an_error_of_the_model_reaches_its_callers_and_the_next_are_answered(early):
    lane = EmbeddingLane(Broken(early), 512)
    failed = [call(Broken(early), ["a"]), call(Broken(early), ["a", "b"])]
    for each in failed:
        lane.add(each)
    drain(lane)
    assert [type(each.future.exception(timeout=0)) for each in failed] == [MemoryError, MemoryError]
    assert lane.waiting == 0


class Lengths:
    """Scores a pair by the length of its document."""

    def __init__(self):
        self.sizes = []

    def score_pairs(self, pairs):
        self.sizes.append(len(pairs))
        return np.array([len(document) for _, document in pairs], dtype=np.float32)


def test_pairs_are_scored_some_of_each_caller_in_turn():
    model = Lengths()
    lane = PairLane(model)
    documents = ["x" * size for size in range(20)]
    calls = [
        LaneCall([("q", document) for document in documents[:count]], np.empty((count, 1), np.float32))
        for count in (20, 3)
    ]
    for each in calls:
        lane.add(each)
    drain(lane)
    assert model.sizes == [8, 3, 8, 4]
    assert calls[0].future.result(timeout=0).values[:, 0].tolist() == list(range(20))


def test_queries_overtake_documents(encoder):
    engine = Engine(encoder, None, 10_000)
    documents = engine.embed(DOCUMENTS, ["a document of some words " * 20] * 400, as_query=False)
    query = engine.embed(QUERIES, ["copy a folder"], as_query=True)
    query.future.result(timeout=60)
    assert documents.left > 300
    documents.future.cancel()


def test_the_queue_is_bounded_but_takes_one_large_request(encoder):
    engine = Engine(encoder, None, 10)
    documents = engine.embed(DOCUMENTS, ["a document of some words " * 20] * 100, as_query=False)
    with pytest.raises(HttpError, match="texts wait already; try again in a second") as refused:
        engine.embed(DOCUMENTS, ["one more"], as_query=False)
    assert refused.value.status == 429
    assert refused.value.headers["Retry-After"] == "1"
    assert refused.value.headers["x-amzn-ErrorType"] == "ThrottlingException"
    assert engine.waiting[DOCUMENTS] > 0
    documents.future.cancel()
    assert engine.waiting[DOCUMENTS] == 0
    more = engine.embed(DOCUMENTS, ["one more"], as_query=False)
    assert more.future.result(timeout=60).values.shape == (1, encoder.dim)


def test_many_threads_at_once(encoder):
    engine = Engine(encoder, None, 10_000)
    texts = [f"copy folder {number}" for number in range(60)]
    alone = encoder.encode_queries(texts)
    start = threading.Barrier(6)

    def ask(part):
        start.wait()
        calls = [engine.embed(QUERIES, [text], as_query=True) for text in texts[part::6]]
        return [call.future.result(timeout=60).values[0] for call in calls]

    with ThreadPoolExecutor(6) as callers:
        found = list(callers.map(ask, range(6)))
    for part, vectors in enumerate(found):
        assert cosine(np.array(vectors), alone[part::6]).min() > 0.99
