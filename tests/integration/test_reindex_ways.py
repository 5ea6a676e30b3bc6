"""The ways a reindex can go: in place, several sources, templates, passages, another model."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
from opensearchpy import OpenSearch

from ce2de_os.errors import ConfigError
from ce2de_os.index.metadata import fields_from
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.reindex.cutover.rollback import rollback
from ce2de_os.reindex.job import DONE, ROLLED_BACK, Job
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.start import start
from ce2de_os.reindex.standing import followed_name, standing_id
from ce2de_os.reindex.status import status
from ce2de_os.search.searcher import HybridSearcher
from tests.integration.indexes import (
    TEXT_MAPPING,
    HashEncoder,
    InlineQueue,
    all_documents,
    articles,
    assert_same_documents,
    create_index,
)

FIELDS = TextSpec(("title", "body"))
ENCODER = HashEncoder()
OTHER = HashEncoder("b" * 64, name="other")


class CountingEncoder(HashEncoder):
    """Remembers the texts that it had to encode."""

    seen: ClassVar[list[str]] = []

    def encode_documents(self, texts: Any) -> Any:
        self.seen.extend(texts)
        return super().encode_documents(texts)


@pytest.fixture
def counting() -> CountingEncoder:
    CountingEncoder.seen = []
    return CountingEncoder()


def reindex(client: OpenSearch, source: str, encoder: Any = ENCODER, **request: Any) -> Job:
    queue = InlineQueue()
    job = start(client, JobRequest(source, **{"text": FIELDS, **request}), encoder, queue)
    queue.run(client, encoder)
    queue.follow(client, encoder)  # a job that is done goes on as a standing job
    return status(client, job.job_id).job


def assert_done(job: Job) -> None:
    assert job.state == DONE, job.error


def vector_of(text: str, encoder: HashEncoder = ENCODER) -> np.ndarray:
    return encoder.encode_documents([text])[0]


def fields_of(client: OpenSearch, index: str) -> dict[str, Any]:
    mapping = client.indices.get_mapping(index=index)[index]["mappings"]
    return {entry.vector_field: entry for entry in fields_from(mapping)}


class TestInPlace:
    def test_every_document_gets_its_vector(self, client: OpenSearch, index_name: str) -> None:
        create_index(client, index_name, articles(1500), knn=True)
        job = reindex(client, index_name)
        assert_done(job)
        assert (job.mode, job.targets) == ("in_place", (index_name,))
        for document in list(all_documents(client, index_name).values())[::100]:
            expected = vector_of(f"{document['title']}\n{document['body']}")
            np.testing.assert_allclose(document["ce2de_vector"], expected, atol=1e-5)
        assert fields_of(client, index_name)["ce2de_vector"].ready

    def test_documents_that_are_right_are_left_alone(
        self, client: OpenSearch, index_name: str, counting: CountingEncoder
    ) -> None:
        create_index(client, index_name, articles(30), knn=True)
        reindex(client, index_name, counting)
        before = {hit["_id"]: hit["_version"] for hit in _hits(client, index_name)}
        client.index(index=index_name, id="3", body={"title": "changed"}, refresh=True)
        counting.seen.clear()
        assert_done(reindex(client, index_name, counting))
        assert counting.seen == ["changed"]
        after = {hit["_id"]: hit["_version"] for hit in _hits(client, index_name)}
        changed = {doc_id for doc_id, version in after.items() if version != before.get(doc_id)}
        assert changed == {"3"}

    def test_a_text_that_is_gone_takes_its_vector_along(self, client: OpenSearch, index_name: str) -> None:
        create_index(client, index_name, articles(3), knn=True)
        reindex(client, index_name)
        client.update(index=index_name, id="1", body={"doc": {"title": None, "body": None}}, refresh=True)
        assert_done(reindex(client, index_name))
        assert client.get(index=index_name, id="1")["_source"].get("ce2de_vector") is None

    def test_a_second_model_beside_the_first(self, client: OpenSearch, index_name: str) -> None:
        create_index(client, index_name, articles(40), knn=True)
        reindex(client, index_name)
        job = reindex(client, index_name, OTHER)
        assert_done(job)
        assert set(fields_of(client, index_name)) == {"ce2de_vector", "ce2de_vector_bbbbbbbb"}
        document = client.get(index=index_name, id="7")["_source"]
        text = f"{document['title']}\n{document['body']}"
        np.testing.assert_allclose(document["ce2de_vector"], vector_of(text), atol=1e-5)
        np.testing.assert_allclose(document["ce2de_vector_bbbbbbbb"], vector_of(text, OTHER), atol=1e-5)
        assert rollback(client, job.job_id).state == ROLLED_BACK
        assert not fields_of(client, index_name)["ce2de_vector_bbbbbbbb"].ready
        assert fields_of(client, index_name)["ce2de_vector"].ready

    def test_is_refused_without_index_knn(self, client: OpenSearch, index_name: str) -> None:
        create_index(client, index_name, articles(1))
        with pytest.raises(ConfigError, match=r"without index\.knn, which cannot be switched on later"):
            reindex(client, index_name, mode="in_place")

    def test_a_copy_needs_an_alias(self, client: OpenSearch, index_name: str) -> None:
        create_index(client, index_name, articles(1))
        with pytest.raises(ConfigError, match="`alias="):
            reindex(client, index_name)


class TestSeveralSources:
    def test_each_index_gets_a_target_and_the_alias_points_to_all(
        self, client: OpenSearch, index_name: str
    ) -> None:
        """The same id in two indices stays two documents."""
        names = [f"{index_name}-2024", f"{index_name}-2025"]
        for name, number in zip(names, (20, 30), strict=True):
            create_index(client, name, articles(number))
        job = reindex(client, f"{index_name}-*", alias=f"{index_name}s")
        assert_done(job)
        assert [part.documents for part in job.parts] == [20, 30]
        assert set(client.indices.get_alias(name=f"{index_name}s")) == set(job.targets)
        for name, target in zip(names, job.targets, strict=True):
            assert_same_documents(client, name, target, ENCODER)

    def test_an_alias_moves_with_its_filter_and_its_write_index(
        self, client: OpenSearch, index_name: str
    ) -> None:
        old, new, alias = f"{index_name}-old", f"{index_name}-new", f"{index_name}-all"
        create_index(client, old, articles(5))
        create_index(client, new, articles(5))
        young = {"range": {"title.length": {"gte": 0}}}
        client.indices.put_alias(index=old, name=alias, body={"filter": young})
        client.indices.put_alias(index=new, name=alias, body={"is_write_index": True})
        job = reindex(client, alias, alias=alias)
        assert_done(job)
        moved = client.indices.get_alias(name=alias)
        target = {part.source: part.target for part in job.parts}
        assert moved[target[old]]["aliases"][alias] == {"filter": young}
        assert moved[target[new]]["aliases"][alias] == {"is_write_index": True}
        assert job.previous == (new, old)
        assert rollback(client, job.job_id).state == ROLLED_BACK
        back = client.indices.get_alias(name=alias)
        assert back[old]["aliases"][alias] == {"filter": young}
        assert back[new]["aliases"][alias] == {"is_write_index": True}

    def test_a_data_stream(self, client: OpenSearch, index_name: str) -> None:
        stream = f"{index_name}-stream"
        template = {"index_patterns": [stream], "data_stream": {}, "template": {"mappings": TEXT_MAPPING}}
        client.indices.put_index_template(name=stream, body=template)
        try:
            for number in range(6):
                if number == 3:
                    client.indices.rollover(alias=stream)
                body = {"@timestamp": number, "title": f"event {number}"}
                client.index(index=stream, body=body, op_type="create")  # type: ignore[call-arg]
            client.indices.refresh(index=stream)
            job = reindex(client, stream, alias=f"{index_name}-search")
            assert_done(job)
            assert [part.documents for part in job.parts] == [3, 3]
            for part in job.parts:
                assert_same_documents(client, part.source, part.target)
        finally:
            client.transport.perform_request("DELETE", f"/_data_stream/{stream}")
            client.indices.delete_index_template(name=stream)

    def test_one_target_cannot_hold_several(self, client: OpenSearch, index_name: str) -> None:
        create_index(client, f"{index_name}-1", articles(1))
        create_index(client, f"{index_name}-2", articles(1))
        with pytest.raises(ConfigError, match="means 2 indices, and each gets a target of its own"):
            reindex(client, f"{index_name}-*", alias="a", target=f"{index_name}-t")


class TestTexts:
    def test_a_template_joins_nested_fields(
        self, client: OpenSearch, index_name: str, counting: CountingEncoder
    ) -> None:
        properties = {"title": {"type": "text"}, "author": {"properties": {"name": {"type": "text"}}}}
        sources = [{"title": "Waves", "author": [{"name": "Ann"}, {"name": "Ben"}]}, {"other": 1}]
        create_index(client, index_name, sources, {"properties": properties})
        text = TextSpec(("title", "author.name"), "{title}, by {author.name}.")
        job = reindex(client, index_name, counting, text=text, alias=f"{index_name}-a")
        assert_done(job)
        assert set(counting.seen) == {"Waves, by Ann\nBen."}
        assert status(client, job.job_id).counts.without_text == 1

    def test_passages(self, client: OpenSearch, index_name: str) -> None:
        """With `HashEncoder` a character is a token: passages of 10 that begin 5 apart."""
        create_index(client, index_name, [{"title": "abcdefghijklmnopqrst"}, {"title": "short"}])
        text = TextSpec(("title",), passages=(10, 5))
        job = reindex(client, index_name, text=text, alias=f"{index_name}-a")
        assert_done(job)
        documents = all_documents(client, job.target)
        spans = [(passage["start"], passage["end"]) for passage in documents["0"]["ce2de_vector"]]
        assert spans == [(0, 10), (5, 15), (10, 20)]
        np.testing.assert_allclose(
            documents["0"]["ce2de_vector"][1]["vector"], vector_of("fghijklmno"), atol=1e-5
        )
        assert [(passage["start"], passage["end"]) for passage in documents["1"]["ce2de_vector"]] == [(0, 5)]

    def test_a_search_tells_the_passage_of_a_templates_text(
        self, client: OpenSearch, index_name: str
    ) -> None:
        class Both(HashEncoder):
            def encode_queries(self, texts: Any) -> Any:
                return self.encode_documents(texts)

        create_index(client, index_name, [{"title": "abcdefghij", "body": "klmnopqrst"}])
        text = TextSpec(("title", "body"), "{body}+{title}", passages=(7, 7))
        assert_done(reindex(client, index_name, text=text, alias=f"{index_name}-a"))
        searcher = HybridSearcher(client, f"{index_name}-a", Both())
        # The text is klmnopqrst+abcdefghij, its second passage r to d.
        (hit,) = searcher.search("rst+abc", mode="dense")
        assert hit.passage is not None
        assert (hit.passage.start, hit.passage.end, hit.passage.text) == (7, 14, "rst+abc")

    def test_an_ingest_pipeline_runs_if_asked_for(self, client: OpenSearch, index_name: str) -> None:
        processors = [{"set": {"field": "seen", "value": True}}]
        client.ingest.put_pipeline(id=index_name, body={"processors": processors})
        try:
            create_index(client, index_name, articles(3))
            job = reindex(client, index_name, pipeline=index_name, alias=f"{index_name}-a")
            assert_done(job)
            assert all(document["seen"] for document in all_documents(client, job.target).values())
        finally:
            client.ingest.delete_pipeline(id=index_name)


class TestKnownTexts:
    def test_an_update_of_another_field_embeds_nothing(
        self, client: OpenSearch, index_name: str, counting: CountingEncoder
    ) -> None:
        create_index(client, index_name, articles(20))
        reindex(client, index_name, counting, alias=f"{index_name}-a")
        counting.seen.clear()
        client.update(index=index_name, id="5", body={"doc": {"price": 3}}, refresh=True)
        client.index(index=index_name, id="new", body={"title": "a new one"}, refresh=True)
        job = reindex(client, index_name, counting, alias=f"{index_name}-a")
        assert_done(job)
        assert counting.seen == ["a new one"]
        assert status(client, standing_id(followed_name(job))).counts.reused == 1
        assert_same_documents(client, index_name, job.target, ENCODER)

    def test_equal_texts_are_encoded_once(
        self, client: OpenSearch, index_name: str, counting: CountingEncoder
    ) -> None:
        create_index(client, index_name, [{"title": "the same"}] * 10)
        job = reindex(client, index_name, counting, alias=f"{index_name}-a")
        counts = status(client, job.job_id).counts
        assert (counts.embedded, counts.reused) == (1, 9)

    def test_another_model_replaces_the_copy(self, client: OpenSearch, index_name: str) -> None:
        """The old copy answers until the new one is verified; its vectors are not carried along."""
        alias = f"{index_name}-a"
        create_index(client, index_name, articles(30))
        first = reindex(client, index_name, alias=alias)
        job = reindex(client, alias, OTHER, alias=alias, mode="copy")
        assert_done(job)
        assert list(client.indices.get_alias(name=alias)) == [job.target]
        assert list(fields_of(client, job.target)) == ["ce2de_vector"]
        assert fields_of(client, job.target)["ce2de_vector"].fingerprint == OTHER.fingerprint
        document = all_documents(client, job.target)["3"]
        text = f"{document['title']}\n{document['body']}"
        np.testing.assert_allclose(document["ce2de_vector"], vector_of(text, OTHER), atol=1e-5)
        assert job.previous == (first.target,)


def _hits(client: OpenSearch, index: str) -> list[dict[str, Any]]:
    client.indices.refresh(index=index)
    body = {"size": 1000, "query": {"match_all": {}}, "version": True}
    hits: list[dict[str, Any]] = client.search(index=index, body=body)["hits"]["hits"]
    return hits
