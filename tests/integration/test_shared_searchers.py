"""One searcher for many: forks, threads, event loops, copies; and what answers in the cluster's place."""

from __future__ import annotations

import asyncio
import copy
import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from opensearchpy import AsyncOpenSearch, OpenSearch

from ce2de_os.config import OpenSearchSettings
from ce2de_os.errors import BackendError, ConfigError, IndexSchemaError
from ce2de_os.index.client import connect
from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.search.async_searcher import AsyncHybridSearcher
from ce2de_os.search.searcher import HybridSearcher
from tests.integration.gateway import gateway
from tests.integration.test_search import ENCODER, articles, ids, make_index

FORK = multiprocessing.get_context("fork")
CHILDREN, QUESTIONS = 6, 40


@pytest.fixture
def index(client, index_name):
    return make_index(client, index_name, articles(60))


def ask(searcher, language, barrier, outcome):
    """What a child does: count answers with another child's documents, and failures."""
    barrier.wait()
    foreign = failed = 0
    for _ in range(QUESTIONS):
        try:
            hits = searcher.search("copy a folder", mode="bm25", filters={"term": {"lang": language}})
            foreign += any(hit.source["lang"] != language for hit in hits) or not hits
        except BaseException:
            failed += 1
    outcome.put((foreign, failed))


class TestFork:
    @pytest.mark.parametrize("own_client", [False, True])
    def test_children_get_their_own_answers(self, endpoints, index, own_client):
        """A warm searcher, as gunicorn --preload forks it; its connection is open."""
        if own_client:
            client = OpenSearch(endpoints.opensearch_url)
        else:
            client = connect(OpenSearchSettings(url=endpoints.opensearch_url))
        searcher = HybridSearcher(client, index, ENCODER)
        searcher.warm_up()
        outcome, barrier = FORK.Queue(), FORK.Barrier(CHILDREN)
        children = [
            FORK.Process(target=ask, args=(searcher, language, barrier, outcome))
            for language in ("en", "de") * (CHILDREN // 2)
        ]
        for child in children:
            child.start()
        found = [outcome.get(timeout=60) for _ in children]
        for child in children:
            child.join()
        assert found == [(0, 0)] * CHILDREN
        assert searcher.search("copy")  # the parent's connections are still its own

    @pytest.mark.parametrize("threads", [1, 2])
    def test_a_model_works_in_a_child(self, threads):
        encoder = OnnxEncoder(threads=threads)
        outcome = FORK.Queue()

        def encode():
            outcome.put(encoder.encode_queries(["how do I copy a folder"]))

        child = FORK.Process(target=encode)
        child.start()
        found = outcome.get(timeout=60)
        child.join()
        np.testing.assert_allclose(found, encoder.encode_queries(["how do I copy a folder"]), atol=1e-6)


class TestThreads:
    def test_sixteen_threads_get_right_answers(self, endpoints, index):
        with OpenSearch(endpoints.opensearch_url, pool_maxsize=16) as client:
            searcher = HybridSearcher(client, index, ENCODER)
            expected = {word: ids(searcher.search(word)) for word in ("copy", "move", "wait", "sort")}
            with ThreadPoolExecutor(16) as pool:
                words = list(expected) * 40
                found = list(pool.map(lambda word: ids(searcher.search(word)), words))
        assert found == [expected[word] for word in words]


class TestEventLoops:
    def test_another_loop_is_one_clear_error(self, endpoints, index):
        client = AsyncOpenSearch(endpoints.opensearch_url)
        searcher = AsyncHybridSearcher(client, index, ENCODER)

        async def first():
            found = await searcher.search("copy")
            await client.close()
            return found

        assert asyncio.run(first())
        with pytest.raises(ConfigError, match=r"another event loop .* make client and searcher anew"):
            asyncio.run(searcher.search("copy"))

    def test_each_loop_with_a_searcher_of_its_own(self, endpoints, index):
        async def search():
            async with AsyncOpenSearch(endpoints.opensearch_url) as client:
                return ids(await AsyncHybridSearcher(client, index, ENCODER).search("copy"))

        with ThreadPoolExecutor(3) as pool:
            found = list(pool.map(lambda _: asyncio.run(search()), range(6)))
        assert found[0]
        assert found == [found[0]] * 6

    def test_a_canceled_search_leaves_the_searcher_as_it_was(self, endpoints, index):
        async def main():
            async with AsyncOpenSearch(endpoints.opensearch_url) as client:
                searcher = AsyncHybridSearcher(client, index, ENCODER)
                expected = ids(await searcher.search("copy folder"))
                for wait_s in (0, 0.0005, 0.001, 0.002, 0.004, 0.008):
                    task = asyncio.create_task(searcher.search("copy folder"))
                    await asyncio.sleep(wait_s)
                    task.cancel()
                    await asyncio.wait([task])
                    assert ids(await searcher.search("copy folder")) == expected

        asyncio.run(main())


class TestCopies:
    def test_a_searcher_is_shared_and_not_copied(self, client, index):
        searcher = HybridSearcher(client, index, ENCODER)
        searcher.warm_up()
        assert copy.copy(searcher) is copy.deepcopy(searcher) is searcher
        with pytest.raises(ConfigError, match="HybridSearcher: its connections cannot be pickled; make one"):
            pickle.dumps(searcher)
        with pytest.raises(ConfigError, match="AsyncHybridSearcher: its connections cannot be pickled"):
            pickle.dumps(AsyncHybridSearcher(client, index, ENCODER))

    def test_an_encoder_travels_as_its_folder(self):
        encoder = OnnxEncoder()
        assert copy.deepcopy(encoder) is encoder
        pickled = pickle.dumps(encoder)
        assert len(pickled) < 1000
        text = ["how do I copy a folder"]
        np.testing.assert_array_equal(
            pickle.loads(pickled).encode_queries(text), encoder.encode_queries(text)
        )


class TestGateways:
    @pytest.fixture
    def stand_in(self, endpoints):
        with gateway(endpoints.opensearch_url) as server:
            yield server

    @pytest.mark.parametrize(
        ("answer", "told"),
        [
            ((302, "text/plain", b""), r"got a redirection \(HTTP 302\)"),
            ((200, "application/json", b"{}"), "got an answer without 'responses'"),
            ((200, "application/json", b"[]"), "got an answer without 'responses'"),
            ((200, "text/html", b"<html>log in</html>"), "got an answer that is not JSON"),
            ((200, "text/plain", b"log in"), "got an answer without 'responses'"),
            ((200, "application/json", b"not json!"), "got an answer that is not JSON"),
        ],
    )
    def test_the_cause_is_named(self, stand_in, index, answer, told):
        with OpenSearch(stand_in.url, max_retries=0) as client:
            searcher = HybridSearcher(client, index, ENCODER)
            assert searcher.search("copy")
            stand_in.answer = answer
            cause = f"{told}.*; a gateway, a proxy or a login page answers at this address"
            with pytest.raises(BackendError, match=cause) as raised:
                searcher.search("copy")
            assert "\n" not in str(raised.value)

    @pytest.mark.parametrize("kind", ["application/json", "text/plain"])
    def test_before_the_first_search(self, stand_in, index, kind):
        stand_in.answer = (200, kind, b"{}")
        with OpenSearch(stand_in.url, max_retries=0) as client, pytest.raises(BackendError) as raised:
            HybridSearcher(client, index, ENCODER).search("copy")
        assert isinstance(raised.value, IndexSchemaError) or "gateway" in str(raised.value)
