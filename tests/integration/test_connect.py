"""OpenSearch itself embeds with a service: connected, used, checked and taken back on a real node."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opensearchpy import OpenSearch, helpers

from ce2de_os import HybridSearcher, OnnxEncoder
from ce2de_os.arrays import Embeddings, l2_normalize
from ce2de_os.connect.cluster import TRUSTED
from ce2de_os.index import admin
from ce2de_os.index.metadata import IndexMetadata
from ce2de_os.index.target_body import vector_properties
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.index.vector_field import VectorField
from ce2de_os.local.servers import LocalServers
from ce2de_os.reindex.standing import standing_id
from tests.conftest import remove
from tests.integration.certificates import Authority
from tests.integration.indexes import all_documents, articles
from tests.integration.jobs import Run, StartWorker
from tests.integration.services import Service

pytestmark = pytest.mark.skipif(
    os.environ.get("CE2DE_TEST_ML") != "1",
    reason="needs ml-commons: 58 MB more to download and a node of its own; set CE2DE_TEST_ML=1",
)

FIELD = "ce2de_vector"
PLAIN = TextSpec(("title", "body"))
TRICKY = [
    "it costs $5, ${parameters.model} or ${parameters.input}",
    'a "quoted" \\ backslash, a\ttab, a \\tab, \r\n and \x01',
    "日本語 and 😀 & <b>tags</b>",
]


@pytest.fixture(scope="module")
def servers(request: pytest.FixtureRequest, instances: Path) -> Iterator[LocalServers]:
    """Servers with ml-commons, in place of those of all other tests."""
    given = request.config.getoption("--ml-servers-home")
    own = LocalServers(home=Path(given) if given else instances / f"tests-{os.getpid()}-ml", ml=True)
    own.up()
    yield own
    if not given:
        remove(own)


@pytest.fixture(scope="module")
def encoder() -> OnnxEncoder:
    return OnnxEncoder()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    own = Service(tmp_path_factory.mktemp("service") / "log")
    yield own
    own.kill()


@pytest.fixture
def disconnected(client: OpenSearch, index_name: str, ce2de: Run) -> Iterator[str]:
    """The index's name; its connection goes after the test."""
    yield index_name
    ce2de("disconnect", index_name)


def make_index(
    client: OpenSearch,
    name: str,
    encoder: OnnxEncoder,
    spec: TextSpec = PLAIN,
    data_type: str = "float",
    **settings: Any,
) -> TextSpec:
    """Create an index as a reindex leaves it, empty."""
    field = VectorField(encoder.dim, FIELD, data_type=data_type)
    entry = IndexMetadata(
        FIELD, spec.fields, encoder.fingerprint, encoder.dim, encoder.artifact.name, name, encoder.space,
        template=spec.template, data_type=data_type,
    )  # fmt: skip
    text = {"title": {"type": "text"}, "body": {"type": "text"}}
    client.indices.create(
        index=name,
        body={
            "settings": {"index.knn": True, "index.number_of_replicas": 0, **settings},
            "mappings": {
                "_meta": entry.to_meta(),
                "properties": text | vector_properties(field, field.hash_field),
            },
        },
    )
    return spec


def connect(ce2de: Run, name: str, service: Service, *options: str) -> str:
    done = ce2de("connect", name, "--service", service.url, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def wrong_vectors(
    documents: Mapping[str, Mapping[str, Any]], spec: TextSpec, encoder: OnnxEncoder
) -> dict[str, str]:
    """Return what is wrong with each document's vector or hash; nothing: each is that of its text."""
    wrong = {}
    for doc_id, source in documents.items():
        text = spec.text_of(source)
        wanted = spec.hash_of(text, encoder.fingerprint) if text else None
        if source.get(f"{FIELD}_hash") != wanted:
            wrong[doc_id] = f"hash {source.get(f'{FIELD}_hash')} of {text!r:.60}"
        elif (source.get(FIELD) is None) != (wanted is None):
            wrong[doc_id] = f"vector {str(source.get(FIELD))[:30]} of {text!r:.60}"
        elif wanted and likeness(encoder.encode_documents([text]), source[FIELD]) < 0.998:
            wrong[doc_id] = f"another vector than that of {text!r:.60}"
    return wrong


def likeness(embeddings: Embeddings, stored: list[float]) -> float:
    """Return the cosine of the one embedding and a stored vector."""
    return float((embeddings @ l2_normalize(np.array([stored], dtype=np.float32)).T)[0, 0])


def cluster_state(client: OpenSearch, name: str) -> dict[str, Any]:
    """Everything that connecting may change."""
    info = admin.describe(client, name)
    get = lambda path: client.transport.perform_request("GET", path, params={"ignore": [404]})  # noqa: E731
    search = {"query": {"wildcard": {"name.keyword": "ce2de-*"}}}
    found = {
        what: client.transport.perform_request("POST", f"/_plugins/_ml/{what}/_search", body=search)
        for what in ("connectors", "models", "model_groups")
    }
    return {
        "settings": info.settings,
        "mappings": info.mappings,
        "cluster": {
            key: get("/_cluster/settings?flat_settings=true")[key] for key in ("persistent", "transient")
        },
        "ingest": get("/_ingest/pipeline"),
        "search": get("/_search/pipeline"),
        **{what: [hit["_id"] for hit in answer["hits"]["hits"]] for what, answer in found.items()},
    }


def test_it_is_shown_done_once_and_taken_back_completely(
    client: OpenSearch, index_name: str, encoder: OnnxEncoder, service: Service, ce2de: Run
) -> None:
    own = {"default_pipeline": f"{index_name}-in", "search.default_pipeline": f"{index_name}-out"}
    client.ingest.put_pipeline(
        id=f"{index_name}-in", body={"processors": [{"set": {"field": "seen", "value": 1}}]}
    )
    client.transport.perform_request(
        "PUT", f"/_search/pipeline/{index_name}-out",
        body={"response_processors": [{"rename_field": {"field": "seen", "target_field": "was_seen"}}]},
    )  # fmt: skip
    make_index(client, index_name, encoder, **{f"index.{key}": value for key, value in own.items()})
    before = cluster_state(client, index_name)

    shown = ce2de("connect", index_name, "--service", service.url, "--dry-run")
    assert shown.stdout.count("curl") == 13, shown.stderr
    assert cluster_state(client, index_name) == before

    assert "create connector" in connect(ce2de, index_name, service)
    assert connect(ce2de, index_name, service) == ""
    client.index(index=index_name, id="1", body={"title": "river"}, refresh=True)
    connected = cluster_state(client, index_name)
    assert client.get(index=index_name, id="1")["_source"]["seen"] == 1  # the user's own pipeline runs too
    hit = client.search(index=index_name, body={"query": {"match": {"title": "river"}}})["hits"]["hits"][0]
    assert hit["_source"]["was_seen"] == 1
    entries = connected["cluster"]["persistent"][TRUSTED]
    assert len(entries) > 5, "the built-in entries stay"

    assert ce2de("disconnect", index_name, "--dry-run").returncode == 0
    assert cluster_state(client, index_name) == connected
    done = ce2de("disconnect", index_name)
    assert done.returncode == 0, done.stderr
    after = cluster_state(client, index_name)
    for state in (before, after):
        state["mappings"]["properties"].pop("seen", None)
        state["settings"].pop("version.created")
    assert after == before
    again = ce2de("disconnect", index_name)
    assert (again.returncode, "is not connected" in again.stderr) == (1, True)
    client.ingest.delete_pipeline(id=f"{index_name}-in")
    client.transport.perform_request("DELETE", f"/_search/pipeline/{index_name}-out")


def test_the_printed_script_does_the_same(
    client: OpenSearch, disconnected: str, encoder: OnnxEncoder, service: Service, ce2de: Run, tmp_path: Path
) -> None:
    make_index(client, disconnected, encoder)
    shown = ce2de("connect", disconnected, "--service", service.url, "--dry-run")
    # `jq` is not everywhere; this one is enough for ".key".
    jq = tmp_path / "jq"
    jq.write_text(
        '#!/bin/sh\npython3 -c "import json,sys; print(json.load(sys.stdin)[sys.argv[1][1:]])" "$2"\n'
    )
    jq.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-e"], input=shown.stdout, text=True, capture_output=True, check=False,
        env={**os.environ, "PATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert '"error"' not in done.stdout
    assert connect(ce2de, disconnected, service) == ""
    assert ce2de("connect", disconnected, "--check").returncode == 0


@pytest.mark.parametrize(
    ("spec", "data_type"),
    [
        (TextSpec(("title", "body")), "float"),
        (TextSpec(("title", "about.words"), "{title}: {about.words}!"), "float"),
        (TextSpec(("title", "body")), "byte"),
    ],
    ids=["fields", "template", "bytes"],
)
def test_vectors_and_hashes_are_those_of_a_worker(
    client: OpenSearch, disconnected: str, encoder: OnnxEncoder, service: Service, ce2de: Run,
    spec: TextSpec, data_type: str,
) -> None:  # fmt: skip
    make_index(client, disconnected, encoder, spec, data_type)
    connect(ce2de, disconnected, service)
    sources = [
        *({"title": f"{text} {number}", "body": "b"} for number, text in enumerate(TRICKY)),
        {"title": ["one", "", "two"], "about": [{"words": "x"}, {"words": ["y", "z"]}], "body": None},
        {"title": "a" * 40_000, "about.words": "dotted"},
        {"title": "", "body": "   "},
        {"other": 1},
        {"title": [1, 2.5, 1e7, 1e-5, True, 1234567890123456789], "body": 3},
        {"title": "old", FIELD: [0.5] * encoder.dim, f"{FIELD}_hash": "0" * 32},
        *articles(60),
    ]
    actions = [{"_index": disconnected, "_id": str(number), **one} for number, one in enumerate(sources)]
    if data_type == "byte":
        actions = [one for one in actions if FIELD not in one]
    helpers.bulk(client, actions, refresh=True)
    found = all_documents(client, disconnected)
    assert len(found) == len(actions)
    assert wrong_vectors(found, spec, encoder) == {}
    beyond = {"title": [2**70]}  # no script takes it, so the document waits for a worker
    client.index(index=disconnected, id="beyond", body=beyond)
    assert client.get(index=disconnected, id="beyond")["_source"] == beyond
    written = {len(str(one)) for source in found.values() for one in source.get(FIELD) or []}
    assert max(written) <= 9, "six decimals, a sign and a digit"


def test_questions_need_no_model_and_rank_as_from_python(
    client: OpenSearch, disconnected: str, encoder: OnnxEncoder, service: Service, ce2de: Run
) -> None:
    make_index(client, disconnected, encoder)
    connect(ce2de, disconnected, service)
    helpers.bulk(client, ({"_index": disconnected, **one} for one in articles(300)), refresh=True)
    searcher = HybridSearcher(client, disconnected, encoder)
    for text in ("river journey", "machines that work", *TRICKY):
        neural = {"neural": {FIELD: {"query_text": text, "k": 100}}}
        lexical = {"multi_match": {"query": text, "fields": ["title", "body"], "type": "most_fields"}}
        dense = client.search(index=disconnected, body={"query": neural, "size": 10, "_source": False})
        body = {
            "query": {"hybrid": {"queries": [lexical, neural], "pagination_depth": 100}},
            "size": 10,
            "_source": False,
        }
        hybrid = client.search(index=disconnected, body=body)
        for answer, mode in ((dense, "dense"), (hybrid, "hybrid")):
            got = [round(hit["_score"], 3) for hit in answer["hits"]["hits"]]
            expected = [round(hit.score, 3) for hit in searcher.search(text, mode=mode).hits]
            assert got == pytest.approx(expected, abs=0.01), (text, mode)


def test_rerank_is_a_pipeline_of_its_own(
    client: OpenSearch, disconnected: str, encoder: OnnxEncoder, service: Service, ce2de: Run
) -> None:
    make_index(client, disconnected, encoder)
    connect(ce2de, disconnected, service, "--rerank")
    assert connect(ce2de, disconnected, service, "--rerank") == ""
    helpers.bulk(client, ({"_index": disconnected, **one} for one in articles(50)), refresh=True)
    text = "a poem about a river"
    body = {
        "query": {"match": {"body": "account part"}},
        "size": 20,
        "ext": {"rerank": {"query_context": {"query_text": text}}},
    }
    pipeline = {"search_pipeline": f"ce2de-{disconnected}-rerank"}
    hits = client.search(index=disconnected, body=body, params=pipeline)["hits"]["hits"]
    question = encoder.encode_queries([text])
    scores = [likeness(question, hit["_source"][FIELD]) for hit in hits]
    assert len(hits) == 20
    # Not closer: an int8 vector depends a little on what else is in the batch.
    assert scores == pytest.approx(sorted(scores, reverse=True), abs=0.05)
    plain = client.search(index=disconnected, body={"query": {"match_all": {}}})  # no `ext`, no failure
    assert plain["hits"]["hits"]


def test_a_connector_that_was_edited_is_noticed(
    client: OpenSearch,
    disconnected: str,
    encoder: OnnxEncoder,
    service: Service,
    ce2de: Run,
    start_worker: StartWorker,
) -> None:
    make_index(client, disconnected, encoder)
    connect(ce2de, disconnected, service)
    assert ce2de("connect", disconnected, "--check").returncode == 0
    search = {"query": {"term": {"name.keyword": f"ce2de-{disconnected}-documents"}}}
    ml = "/_plugins/_ml"
    send = client.transport.perform_request
    (connector,) = send("POST", f"{ml}/connectors/_search", body=search)["hits"]["hits"]
    (model,) = send("POST", f"{ml}/models/_search", body=search)["hits"]["hits"]
    action = connector["_source"]["actions"][0]
    changed = {**action, "request_body": action["request_body"].replace("${parameters.input}", '["other"]')}
    send("POST", f"{ml}/models/{model['_id']}/_undeploy")
    send("PUT", f"{ml}/connectors/{connector['_id']}", body={"actions": [changed]})
    send("POST", f"{ml}/models/{model['_id']}/_deploy")

    found = ce2de("connect", disconnected, "--check", "--json")
    wrong = [finding["what"] for finding in json.loads(found.stdout) if not finding["right"]]
    assert (found.returncode, wrong) == (1, ["connector of documents", "vectors of documents"])
    doctor = json.loads(ce2de("doctor", "--json").stdout)["checks"]
    (check,) = [
        check for check in doctor if check["name"] == "connection" and disconnected in check["finding"]
    ]
    assert check["state"] == "not ok"
    warned = ce2de("follow", disconnected, "--detach")
    assert "Warning: the service: vectors of documents" in warned.stderr
    start_worker()
    deadline = time.monotonic() + 60
    while (state := json.loads(ce2de("reindex", "status", standing_id(disconnected), "--json").stdout))[
        "connection_right"
    ] is None:
        assert time.monotonic() < deadline, state
        time.sleep(0.5)
    assert (state["connection_right"], state["state"]) == (False, "following")
    assert "vectors of documents" in state["connection_error"]
    connect(ce2de, disconnected, service)
    assert ce2de("connect", disconnected, "--check").returncode == 0


def test_every_way_to_write_ends_in_right_vectors(
    client: OpenSearch,
    repository: str,
    index_name: str,
    encoder: OnnxEncoder,
    ce2de: Run,
    start_worker: StartWorker,
    tmp_path: Path,
) -> None:
    spec = make_index(client, index_name, encoder)
    own = Service(tmp_path / "service.log")
    start_worker()
    try:
        connect(ce2de, index_name, own)
        followed = ce2de("follow", index_name, "--detach")
        assert followed.returncode == 0, followed.stderr
        old = [(f"{name}-{number}", f"old {number}") for name in WRITES for number in range(3)]
        helpers.bulk(
            client,
            [{"_index": index_name, "_id": key, "title": title, "body": "stays"} for key, title in old],
        )
        client.indices.refresh(index=index_name)
        write_all(client, index_name, 0)
        own.kill()
        write_all(client, index_name, 1)
        own.start()
        write_all(client, index_name, 2)
        wait_until_right(client, index_name, spec, encoder)
        assert titles(client, index_name) == {key: f"new {key[-1]}" for key, _ in old}

        own.kill()
        assert ce2de("reindex", "pause", standing_id(index_name)).returncode == 0
        write_all(client, index_name, 0, "kept")
        client.snapshot.create(
            repository=repository, snapshot="s", body={"indices": index_name}, wait_for_completion=True
        )
        assert wrong_vectors(all_documents(client, index_name), spec, encoder)
        assert ce2de("reindex", "resume", standing_id(index_name)).returncode == 0
        own.start()
        write_all(client, index_name, 0, "lost")
        client.indices.close(index=index_name)
        client.snapshot.restore(
            repository=repository, snapshot="s", body={"indices": index_name}, wait_for_completion=True
        )
        wait_until_right(client, index_name, spec, encoder)
        restored = {key: f"{'kept' if key[-1] == '0' else 'new'} {key[-1]}" for key, _ in old}
        assert titles(client, index_name) == restored
    finally:
        own.kill()
        ce2de("disconnect", index_name)


def wait_until_right(client: OpenSearch, name: str, spec: TextSpec, encoder: OnnxEncoder) -> None:
    deadline = time.monotonic() + 120
    while wrong := wrong_vectors(all_documents(client, name), spec, encoder):
        assert time.monotonic() < deadline, wrong
        time.sleep(0.5)


def titles(client: OpenSearch, name: str) -> dict[str, str]:
    return {key: source["title"] for key, source in all_documents(client, name).items()}


def write_all(client: OpenSearch, index: str, number: int, title: str = "new") -> None:
    """Write one document in each way."""
    for name, write in WRITES.items():
        write(client, index, f"{name}-{number}", f"{title} {number}")


Write = Callable[[OpenSearch, str, str, str], Any]


def _bulk(client: OpenSearch, action: dict[str, Any], body: dict[str, Any]) -> None:
    answer = client.bulk(body=[action, body], params={"refresh": "true"})
    assert not answer["errors"], answer


def _reindex(client: OpenSearch, name: str, doc_id: str, title: str) -> None:
    client.indices.delete(index=f"{name}-from", params={"ignore_unavailable": "true"})
    client.index(index=f"{name}-from", id=doc_id, body={"title": title}, refresh=True)
    body = {"source": {"index": f"{name}-from"}, "dest": {"index": name}}
    answer = client.reindex(body=body, params={"refresh": "true"})
    assert not answer["failures"], answer


def _script(title: str) -> dict[str, Any]:
    return {"source": "ctx._source.title = params.title", "params": {"title": title}}


WRITES: dict[str, Write] = {
    "index": lambda client, name, doc_id, title: client.index(index=name, id=doc_id, body={"title": title}),
    "bulk-index": lambda client, name, doc_id, title: _bulk(
        client, {"index": {"_index": name, "_id": doc_id}}, {"title": title}
    ),
    "update": lambda client, name, doc_id, title: client.update(
        index=name, id=doc_id, body={"doc": {"title": title}}
    ),
    "bulk-update": lambda client, name, doc_id, title: _bulk(
        client, {"update": {"_index": name, "_id": doc_id}}, {"doc": {"title": title}}
    ),
    "upsert": lambda client, name, doc_id, title: _bulk(
        client, {"update": {"_index": name, "_id": doc_id}}, {"doc": {"title": title}, "doc_as_upsert": True}
    ),
    "scripted": lambda client, name, doc_id, title: client.update(
        index=name, id=doc_id, body={"script": _script(title)}
    ),
    "by-query": lambda client, name, doc_id, title: client.update_by_query(
        index=name,
        body={"query": {"ids": {"values": [doc_id]}}, "script": _script(title)},
        params={"refresh": "true", "conflicts": "proceed"},
    ),
    "reindex": _reindex,
}


def test_what_refuses_is_named_with_its_setting(
    client: OpenSearch, disconnected: str, encoder: OnnxEncoder, ce2de: Run, tmp_path: Path
) -> None:
    make_index(client, disconnected, encoder)
    before = cluster_state(client, disconnected)
    away = ce2de("connect", disconnected, "--service", "http://127.0.0.1:9")
    assert (away.returncode, "as the nodes of OpenSearch see it" in away.stderr) == (1, True), away.stderr
    unknown = ce2de("connect", disconnected, "--service", "http://nowhere.invalid:8080")
    assert (unknown.returncode, "do not know this host" in unknown.stderr) == (1, True), unknown.stderr

    keys = tmp_path / "keys"
    keys.write_text("right-key-right-key-right-key-1\n")
    keys.chmod(0o600)
    locked = Service(tmp_path / "locked.log", "--keys", str(keys))
    try:
        without = ce2de("connect", disconnected, "--service", locked.url)
        assert (without.returncode, "--key-file" in without.stderr) == (1, True), without.stderr
        wrong = tmp_path / "wrong"
        wrong.write_text("wrong\n")
        refused = ce2de("connect", disconnected, "--service", locked.url, "--key-file", str(wrong))
        assert (refused.returncode, "--key-file" in refused.stderr) == (1, True), refused.stderr
        assert "right-key" not in connect(ce2de, disconnected, locked, "--key-file", str(keys), "--dry-run")
        connect(ce2de, disconnected, locked, "--key-file", str(keys))
        assert connect(ce2de, disconnected, locked, "--key-file", str(keys)) == ""
    finally:
        locked.kill()

    authority = Authority(tmp_path, "own")
    signed = authority.sign("service")
    encrypted = Service(
        tmp_path / "tls.log",
        "--tls-cert",
        str(signed.certificate),
        "--tls-key",
        str(signed.key),
        scheme="https",
    )
    try:
        untrusted = ce2de("connect", disconnected, "--service", encrypted.url)
        assert (untrusted.returncode, "trustStore" in untrusted.stderr) == (1, True), untrusted.stderr
        plain = ce2de("connect", disconnected, "--service", encrypted.url.replace("https", "http"))
        assert (plain.returncode, "write https:// in --service" in plain.stderr) == (1, True), plain.stderr
    finally:
        encrypted.kill()
    assert ce2de("disconnect", disconnected).returncode == 0
    assert cluster_state(client, disconnected) == before
