"""`ce2de plan` on a real cluster."""

from __future__ import annotations

import json
import shutil

import pytest
from click.testing import CliRunner
from opensearchpy import helpers

from ce2de_os.cli import cli
from ce2de_os.errors import ConfigError, DataError, IndexSchemaError
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.model.artifact import Artifact
from ce2de_os.reindex.planning import sample
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.start import start
from tests.integration.forbidding import forbidding
from tests.integration.indexes import TEXT_MAPPING, HashEncoder, InlineQueue, articles, create_index

KNN = {"index.knn": True}


@pytest.fixture
def plan(endpoints):
    """Run ``ce2de plan SOURCE --json`` and return its answer and exit code."""

    def run(source, *flags, fields="title,body", url=endpoints.opensearch_url):
        arguments = ["plan", source, "--text-fields", fields, "--url", url, "--sample", "50", "--json"]
        result = CliRunner().invoke(cli, [*arguments, *flags])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return json.loads(result.stdout), result.exit_code

    return run


@pytest.fixture
def cluster_setting(client):
    """Set cluster settings, and unset them afterwards."""
    changed = {}

    def put(**settings):
        changed.update(settings)
        client.cluster.put_settings(body={"transient": settings})

    yield put
    client.cluster.put_settings(body={"transient": dict.fromkeys(changed)})


def refusals(answer):
    return [finding["reason"] for finding in answer["refusals"]]


def warnings(answer):
    return " | ".join(finding["reason"] for finding in answer["warnings"])


def state(client):
    """Every index with its number of operations: whether anything was written."""
    stats = client.indices.stats(index="_all", metric="docs,indexing", params={"expand_wildcards": "all"})
    return {name: index["primaries"]["indexing"]["index_total"] for name, index in stats["indices"].items()}


def test_an_index_without_knn_is_copied_and_planning_writes_nothing(client, index_name, plan):
    create_index(client, index_name, articles(200), number_of_shards=2, number_of_replicas=0)
    before = state(client)
    answer, exit_code = plan(index_name)

    assert exit_code == 0
    assert state(client) == before
    assert (answer["fits"], answer["mode"]) == (True, "copy")
    assert "cannot be switched on later" in answer["mode_reason"]
    assert (answer["documents"], answer["vectors"]) == (200, 200)
    (index,) = answer["indices"]
    assert (index["shards"], index["replicas"], index["knn"]) == (2, 0, False)
    stats = client.indices.stats(index=index_name)["indices"][index_name]
    assert index["store_bytes"] == stats["primaries"]["store"]["size_in_bytes"]

    artifact = Artifact.load()
    assert answer["model"]["fingerprint"] == artifact.fingerprint
    # m is 16: 1.1 * (4d + 8m) for each of 200 vectors in one copy
    assert answer["memory"]["needed_bytes"] == pytest.approx(200 * 1.1 * (4 * artifact.dim + 128))
    assert answer["sample"]["documents"] == 50
    assert 5 < answer["sample"]["p50_tokens"] <= answer["sample"]["p95_tokens"] < 40
    assert answer["time"]["docs_per_s"] > 1

    (node,) = answer["cluster"]["nodes"]
    assert 0 < node["disk_free_bytes"] < node["disk_bytes"]
    assert (
        0 < node["heap_used_bytes"] < node["parent_breaker_bytes"] < node["heap_bytes"] < node["memory_bytes"]
    )
    assert answer["cluster"]["settings"]["knn.memory.circuit_breaker.limit"] == "50%"
    assert answer["cluster"]["unseen"] == []


def test_an_index_with_knn_takes_the_vectors_in_place(client, index_name, plan):
    create_index(client, index_name, articles(20), number_of_replicas=0, **KNN)
    answer, _ = plan(index_name)
    assert (answer["fits"], answer["mode"]) == (True, "in_place")
    assert answer["disk"]["documents_bytes"] == 0
    assert answer["indices"][0]["derived_source"] is True  # the default from 3.0 on

    copied, _ = plan(index_name, "--mode", "copy")
    assert copied["mode"] == "copy"
    assert copied["disk"]["documents_bytes"] == answer["indices"][0]["store_bytes"]


def test_in_place_is_refused_where_it_is_impossible(client, index_name, plan):
    create_index(client, index_name, articles(20), number_of_replicas=0)
    answer, exit_code = plan(index_name, "--mode", "in-place")
    assert (answer["fits"], exit_code) == (False, 1)
    assert refusals(answer) == [f"index.knn is off in {index_name} and cannot be switched on later"]


def test_an_alias_and_a_wildcard_stand_for_several_indices(client, index_name, plan):
    create_index(client, f"{index_name}-a", articles(30), number_of_replicas=0, **KNN)
    create_index(client, f"{index_name}-b", articles(12), number_of_shards=3, number_of_replicas=0)
    alias = f"{index_name}-all"
    client.indices.update_aliases(
        body={"actions": [{"add": {"index": f"{index_name}-{name}", "alias": alias}} for name in "ab"]}
    )
    for source in (alias, f"{index_name}-*"):
        answer, _ = plan(source)
        assert [index["name"] for index in answer["indices"]] == [f"{index_name}-a", f"{index_name}-b"]
        assert [index["documents"] for index in answer["indices"]] == [30, 12]
        assert (answer["documents"], answer["shards"]["shards"]) == (42, 4)
        assert answer["mode"] == "copy"
        assert f"off in {index_name}-b" in answer["mode_reason"]


def test_a_data_stream(client, index_name, plan):
    template, stream = f"{index_name}-template", f"{index_name}-stream"
    properties = {**TEXT_MAPPING["properties"], "@timestamp": {"type": "date"}}
    settings = {"number_of_replicas": 0}
    body = {
        "index_patterns": [stream],
        "data_stream": {},
        "template": {"mappings": {"properties": properties}, "settings": settings},
    }
    client.indices.put_index_template(name=template, body=body)
    try:
        client.indices.create_data_stream(name=stream)
        for number, source in enumerate(articles(10)):
            if number == 5:
                client.indices.rollover(alias=stream)
            client.index(index=stream, body={**source, "@timestamp": number}, params={"op_type": "create"})
        client.indices.refresh(index=stream)
        answer, exit_code = plan(stream)
        assert exit_code == 0
        assert [index["documents"] for index in answer["indices"]] == [5, 5]
        assert all(index["name"].startswith(".ds-") for index in answer["indices"])
    finally:
        client.indices.delete_data_stream(name=stream)
        client.indices.delete_index_template(name=template)


def test_nested_and_dotted_fields_and_documents_without_text(client, index_name, plan):
    mapping = {
        "properties": {
            "meta": {"properties": {"title": {"type": "text"}}},
            "parts": {"type": "nested", "properties": {"text": {"type": "text"}}},
        }
    }
    sources = [{"meta": {"title": "A title"}, "parts": [{"text": "one"}, {"text": "two"}]}, {"other": 1}]
    create_index(client, index_name, sources * 10, mapping, number_of_replicas=0)
    answer, _ = plan(index_name, fields="meta.title,parts.text")
    assert (answer["documents"], answer["vectors"]) == (20, 10)  # nested documents are not documents
    assert answer["sample"]["with_text"] == 10


def test_the_sample_is_drawn_at_random_but_the_same_each_time(client, index_name):
    create_index(client, index_name, articles(300), number_of_shards=2, number_of_replicas=0)
    first = sample.draw(client, index_name, ["title"], 30).texts
    assert len(set(first)) == 30
    assert sample.draw(client, index_name, ["title"], 30).texts == first
    other = sample.draw(client, index_name, ["title"], 30, seed=2).texts
    assert len(set(first) & set(other)) < 15
    # Not only the documents that were written first.
    assert max(int(title.rsplit(maxsplit=1)[1]) for title in first) > 200


def test_workers_and_time(client, index_name, plan):
    create_index(client, index_name, articles(40), number_of_replicas=0)
    answer, exit_code = plan(index_name, "--within", "1h")
    assert (exit_code, answer["time"]["workers"]) == (0, 1)
    answer, exit_code = plan(index_name, "--within", "0.001s", "--workers", "1")
    assert exit_code == 1
    assert "1 worker would take" in refusals(answer)[0]


def other_model(folder, **changes):
    """The packaged student under another name and fingerprint."""
    known = Artifact.load()
    shutil.copytree(known.folder, folder)
    kept = ("dim", "pooling", "source", "recipe", "query_prefix", "document_prefix")
    given = {key: getattr(known, key) for key in kept} | {"name": "small", "max_length": 250}
    return Artifact.create(folder, **given, **changes)


def test_a_model_for_the_queries_beside_that_of_the_documents(client, index_name, plan, tmp_path):
    create_index(client, index_name, articles(40), number_of_replicas=0)
    small = other_model(tmp_path / "small", space=Artifact.load().space)
    answer, exit_code = plan(index_name, "--query-artifact", str(small.folder), "--workers", "2")
    model = answer["query_model"]
    assert exit_code == 0
    assert (model["name"], model["fingerprint"]) == ("small", small.fingerprint)
    assert answer["model"]["fingerprint"] != small.fingerprint
    assert model["seconds"] == pytest.approx(answer["vectors"] / model["docs_per_s"] / 2)
    assert min(model["query_ms"], model["document_model_query_ms"]) > 0
    assert plan(index_name)[0]["query_model"] is None


def test_documents_without_text_have_no_queries_either(client, index_name, plan, tmp_path):
    create_index(client, index_name, [{"title": "", "body": ""}] * 3, number_of_replicas=0)
    small = other_model(tmp_path / "small", space=Artifact.load().space)
    answer, exit_code = plan(index_name, "--query-artifact", str(small.folder))
    assert (exit_code, answer["query_model"]) == (1, None)


def test_a_model_of_another_space_for_the_queries(client, index_name, plan, tmp_path):
    create_index(client, index_name, articles(4), number_of_replicas=0)
    stranger = other_model(tmp_path / "stranger")
    with pytest.raises(
        ConfigError, match=f"`query_artifact`: got 'small' of .*{stranger.space[:12]}, expected"
    ):
        plan(index_name, "--query-artifact", str(stranger.folder))


def test_a_breaker_that_is_too_low_for_faiss_says_no(client, index_name, plan, cluster_setting):
    create_index(client, index_name, articles(40), number_of_replicas=0)
    assert plan(index_name, "--engine", "faiss")[1] == 0
    cluster_setting(**{"knn.memory.circuit_breaker.limit": "20kb"})
    answer, exit_code = plan(index_name, "--engine", "faiss")
    assert exit_code == 1
    # 40 * 1830.4 bytes are more than 20 * 1024, and 40 * 352 are not, but 40 * 985.6 are.
    assert "knn.memory.circuit_breaker.limit (20kb)" in refusals(answer)[0]
    assert "`compression_level=8x`" in answer["refusals"][0]["action"]
    assert plan(index_name, "--engine", "faiss", "--compression-level", "8x")[1] == 0
    assert plan(index_name, "--engine", "lucene")[1] == 0


def test_a_block_says_no_in_place(client, index_name, plan):
    create_index(client, index_name, articles(10), number_of_replicas=0, **KNN)
    client.indices.put_settings(index=index_name, body={"index.blocks.write": True})
    answer, exit_code = plan(index_name)
    assert exit_code == 1
    assert f"index.blocks.write of {index_name}" in refusals(answer)[0]


def test_without_rights_the_plan_goes_on_and_says_what_it_could_not_see(client, endpoints, index_name, plan):
    create_index(client, index_name, articles(10), number_of_replicas=0)
    with forbidding(endpoints.opensearch_url, "/_nodes", "/_plugins") as url:
        answer, exit_code = plan(index_name, url=url)
    assert exit_code == 0
    assert "nodes statistics (needs the privilege cluster:monitor/nodes/stats)" in warnings(answer)
    assert "k-NN statistics" in warnings(answer)
    (node,) = answer["cluster"]["nodes"]  # the disk from _cat/allocation
    assert node["disk_free_bytes"] > 0
    assert node["heap_bytes"] is None

    with forbidding(endpoints.opensearch_url, "/_nodes", "/_plugins", "/_cat", "/_cluster") as url:
        answer, exit_code = plan(index_name, url=url)
    assert exit_code == 0
    assert answer["disk"]["unplaced"] is None
    assert len(answer["cluster"]["unseen"]) == 5


def test_a_field_that_is_in_no_index(client, index_name, plan):
    create_index(client, index_name, articles(3), number_of_replicas=0)
    with pytest.raises(DataError, match=r"no field 'headline'; the fields that hold text are: body, title"):
        plan(index_name, fields="title,headline")
    with pytest.raises(ConfigError, match="name the fields to embed: `text_fields"):
        plan(index_name, fields=" , ")


def test_a_field_that_one_of_two_indices_lacks(client, index_name, plan):
    create_index(client, f"{index_name}-a", articles(3), number_of_replicas=0)
    titles = {"properties": {"title": {"type": "text"}}}
    create_index(client, f"{index_name}-b", [{"title": "x"}], titles, number_of_replicas=0)
    answer, exit_code = plan(f"{index_name}-*")
    assert exit_code == 0
    assert f"body ({index_name}-b)" in warnings(answer)


def test_an_alias_on_a_copy_is_planned_as_it_would_be_started(client, index_name, plan):
    """The copy stands for its source: another model's job reads that, and makes a copy of its own."""
    create_index(client, index_name, articles(20))
    alias = f"{index_name}-search"
    queue, encoder = InlineQueue(), HashEncoder()
    job = start(client, JobRequest(index_name, TextSpec(("title", "body")), alias=alias), encoder, queue)
    queue.run(client, encoder)
    assert list(client.indices.get_alias(name=alias)) == [job.target]
    answer, _ = plan(alias)
    assert answer["mode"] == "copy"
    assert [index["name"] for index in answer["indices"]] == [index_name]


def test_indices_that_cannot_be_planned_for(client, index_name, plan):
    with pytest.raises(IndexSchemaError, match="no such index"):
        plan(index_name)
    with pytest.raises(IndexSchemaError, match="no open index has this name"):
        plan(f"{index_name}-*")
    create_index(client, index_name, [], number_of_replicas=0)
    with pytest.raises(DataError, match="holds no documents"):
        plan(index_name)
    client.indices.close(index=index_name)
    with pytest.raises(ConfigError, match=f"closed.*POST {index_name}/_open"):
        plan(index_name)


def test_an_index_without_source(client, index_name, plan):
    mapping = {**TEXT_MAPPING, "_source": {"enabled": False}}
    create_index(client, index_name, articles(3), mapping, number_of_replicas=0)
    with pytest.raises(DataError, match="keeps no _source"):
        plan(index_name)


def test_fields_left_out_of_source_are_told(client, index_name, plan):
    mapping = {**TEXT_MAPPING, "_source": {"excludes": ["notes"]}}
    create_index(client, index_name, articles(3), mapping, number_of_replicas=0)
    answer, exit_code = plan(index_name)
    assert exit_code == 0
    assert f"{index_name} leaves fields out of _source: notes" in warnings(answer)


def test_a_text_field_left_out_of_source_cannot_be_embedded(client, index_name, plan):
    mapping = {**TEXT_MAPPING, "_source": {"excludes": ["body"]}}
    create_index(client, index_name, articles(3), mapping, number_of_replicas=0)
    answer, exit_code = plan(index_name)
    assert exit_code == 1
    assert f"'{index_name}' leaves 'body' out of its _source" in str(answer["refusals"])


def test_a_compression_that_the_engine_lacks(client, index_name, plan):
    create_index(client, index_name, articles(3), number_of_replicas=0)
    with pytest.raises(ConfigError, match="lucene has 1x, 4x, 32x"):
        plan(index_name, "--compression-level", "16x")


def test_the_disk_estimate_against_a_real_index(client, index_name, plan):
    """2000 vectors of the packaged student, as a copy would hold them, are not larger than planned."""
    from ce2de_os.index.vector_field import VectorField
    from ce2de_os.model.encoder import OnnxEncoder

    create_index(client, index_name, articles(2000), number_of_replicas=0)
    answer, _ = plan(index_name)
    encoder = OnnxEncoder()
    sources = list(articles(2000))
    field = VectorField(encoder.dim)
    vectors = field.encode(encoder.encode_documents([source["title"] for source in sources]))
    properties = {**TEXT_MAPPING["properties"], field.name: field.mapping()}
    body = {"settings": {**KNN, "number_of_replicas": 0}, "mappings": {"properties": properties}}
    target = f"{index_name}-target"
    client.indices.create(index=target, body=body)
    helpers.bulk(
        client,
        (
            {"_index": target, "_id": str(number), **source, field.name: vector}
            for number, (source, vector) in enumerate(zip(sources, vectors, strict=True))
        ),
        refresh=True,
    )
    client.indices.forcemerge(index=target, max_num_segments=1)
    client.indices.flush(index=target)
    client.indices.refresh(index=target)
    size = client.indices.stats(index=target)["indices"][target]["primaries"]["store"]["size_in_bytes"]
    planned = answer["disk"]["documents_bytes"] + answer["disk"]["vectors_bytes"]
    print(f"planned {planned:,.0f} bytes without headroom, measured {size:,}")  # noqa: T201
    assert 0.7 * planned < size < planned
