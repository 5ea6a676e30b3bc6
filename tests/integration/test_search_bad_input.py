"""What goes wrong in searches: with the question, the index, the shards, the time, and the cluster."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from opensearchpy import OpenSearch

from ce2de_os.cli import cli
from ce2de_os.errors import (
    ArtifactMismatchError,
    BackendUnavailableError,
    ConfigError,
    DataError,
    IndexSchemaError,
)
from ce2de_os.local import opensearch_server
from ce2de_os.search.searcher import HybridSearcher
from tests.integration.test_search import ENCODER, METADATA, STRATEGIES, articles, ids, make_index

MODES = ("hybrid", "bm25", "dense")
SLOW = {
    "script_score": {
        "query": {"match_all": {}},
        "script": {
            "source": "double s = 0; for (int i = 0; i < 900000; ++i) { s += Math.sin(i); } return s * s"
        },
    }
}


@pytest.fixture
def index(client, index_name):
    return make_index(client, index_name, articles(40))


class TestQuestions:
    @pytest.mark.parametrize("mode", MODES)
    def test_an_empty_one(self, client, index, mode):
        with pytest.raises(DataError, match="the query is empty; ask for at least one word"):
            HybridSearcher(client, index, ENCODER).search(" \n", mode=mode)

    def test_only_stop_words_leave_the_search_to_the_vectors(self, client, index_name):
        text = {"type": "text", "analyzer": "stop"}
        make_index(client, index_name)
        properties = {"subject": text}
        client.indices.put_mapping(index=index_name, body={"properties": properties})
        vector = ENCODER.encode_queries(["the of and"])[0].tolist()
        document = {"subject": "the of and copy", "ce2de_vector": vector}
        client.index(index=index_name, id="a", body=document, refresh=True)
        for strategy in STRATEGIES:
            searcher = HybridSearcher(client, index_name, ENCODER, strategy=strategy, fields=["subject"])
            assert ids(searcher.search("the of and")) == ["a"]
            assert not searcher.search("the of and", mode="bm25").hits

    @pytest.mark.parametrize("strategy", STRATEGIES)
    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"filters": {"trem": {"lang": "en"}}}, r"unknown query \[trem\]"),
            ({"lexical": {"match": {"title": {"qurey": "x"}}}}, r"query does not support \[qurey\]"),
            ({"sort": [{"nowhere": "asc"}]}, "No mapping found for \\[nowhere\\]"),
            ({"aggregations": {"x": {"trems": {"field": "lang"}}}}, "trems"),
            ({"highlight": {"feilds": {}}}, "feilds"),
            ({"collapse": "title", "mode": "bm25"}, "collapse|fielddata|keyword"),
        ],
    )
    def test_opensearch_s_reason_is_told_in_one_line(self, client, index, strategy, options, told):
        searcher = HybridSearcher(client, index, ENCODER, strategy=strategy)
        with pytest.raises(IndexSchemaError, match=told) as raised:
            searcher.search("copy", **options)
        assert "\n" not in str(raised.value)
        assert len(str(raised.value)) < 400

    @pytest.mark.parametrize("mode", MODES)
    def test_a_field_that_cannot_be_collapsed_by(self, client, index, mode):
        searcher = HybridSearcher(client, index, ENCODER, mode=mode)
        with pytest.raises(IndexSchemaError, match="no mapping found for `nowhere` in order to collapse on"):
            searcher.search("copy", collapse="nowhere")

    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_top_k_0_or_beyond_the_window(self, client, index, strategy, mode):
        searcher = HybridSearcher(client, index, ENCODER, strategy=strategy, mode=mode)
        with pytest.raises(ConfigError, match="top_k: got 0, expected 1 to 10000"):
            searcher.search("copy", top_k=0)
        with pytest.raises(ConfigError, match="top_k: got 10001, expected 1 to 10000"):
            searcher.search("copy", top_k=10_001)
        with pytest.raises(ConfigError, match="from_ and top_k: got 9,995 and 10, expected at most 10,000"):
            searcher.search("copy", from_=9_995)


class TestIndexes:
    @pytest.mark.parametrize("mode", ["hybrid", "dense"])
    def test_one_without_vectors(self, client, index_name, mode):
        make_index(client, index_name, articles(5), metadata=None)
        with pytest.raises(IndexSchemaError, match="no vectors of ce2de in it; make them with"):
            HybridSearcher(client, index_name, ENCODER).search("copy", mode=mode)

    def test_a_default_pipeline_that_is_missing(self, client, index):
        client.indices.put_settings(index=index, body={"index.search.default_pipeline": "gone"})
        with pytest.raises(IndexSchemaError, match=r"[Pp]ipeline gone is not defined"):
            HybridSearcher(client, index, ENCODER).search("copy", mode="bm25")
        assert HybridSearcher(client, index, ENCODER).search("copy").strategy == "pipeline"  # it has its own

    def test_a_vector_field_that_is_not_there(self, client, index):
        with pytest.raises(IndexSchemaError, match="field 'other'; there are ce2de_vector"):
            HybridSearcher(client, index, ENCODER).search("copy", vector_field="other")


class TestSeveralVectorFields:
    """An index under reindex: the old field answers until the new one is ready, then each its own model."""

    NEW = replace(METADATA, vector_field="new_vector", fingerprint="b" * 64)

    @pytest.fixture
    def both(self, client, index):
        method = {"name": "hnsw", "engine": "lucene", "space_type": "innerproduct"}
        field = {"type": "knn_vector", "dimension": 16, "method": method}
        client.indices.put_mapping(index=index, body={"properties": {"new_vector": field}})
        for document in articles(40):
            new = {"doc": {"new_vector": [-value for value in document["ce2de_vector"]]}}
            client.update(index=index, id=document["_id"], body=new)
        client.indices.refresh(index=index)
        self.describe(client, index, ready=False)
        return index

    def describe(self, client, index, ready):
        meta = replace(self.NEW, ready=ready).to_meta([METADATA])
        client.indices.put_mapping(index=index, body={"_meta": meta})

    @pytest.fixture
    def new_encoder(self):
        class NewEncoder:
            space = "b" * 64
            encode_queries = staticmethod(lambda texts: -ENCODER.encode_queries(texts))

        return NewEncoder()

    def test_the_field_that_fits_is_searched(self, client, both, new_encoder):
        old = HybridSearcher(client, both, ENCODER, mode="dense", candidates=40)
        new = HybridSearcher(client, both, new_encoder, mode="dense", candidates=40)
        assert old.search("copy").vector_field == "ce2de_vector"
        with pytest.raises(ArtifactMismatchError):
            new.search("copy")

        self.describe(client, both, ready=True)
        found = new.search("copy")  # the same searcher notices
        assert found.vector_field == "new_vector"
        assert ids(found) == ids(old.search("copy"))
        assert all(set(hit.source) == {"title", "body", "lang"} for hit in found)

    def test_a_field_by_its_name_must_fit_too(self, client, both):
        self.describe(client, both, ready=True)
        searcher = HybridSearcher(client, both, ENCODER)
        assert searcher.search("copy", vector_field="ce2de_vector").vector_field == "ce2de_vector"
        with pytest.raises(ArtifactMismatchError, match="bbbbbbbbbbbb"):
            searcher.search("copy", vector_field="new_vector")


class TestPartialResults:
    @pytest.fixture
    def halves(self, client, index_name):
        """Two indices behind one pattern, of which one cannot hold the filter's word."""
        make_index(client, f"{index_name}-a", articles(20))
        make_index(client, f"{index_name}-b")
        for suffix, kind in (("a", "keyword"), ("b", "long")):
            properties = {"year": {"type": kind}}
            client.indices.put_mapping(index=f"{index_name}-{suffix}", body={"properties": properties})
        for document in articles(20):
            client.update(index=f"{index_name}-a", id=document["_id"], body={"doc": {"year": "old"}})
        client.indices.refresh(index=f"{index_name}-a")
        return f"{index_name}-*"

    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_failed_shards_are_told(self, client, halves, strategy, mode):
        searcher = HybridSearcher(client, halves, ENCODER, strategy=strategy, mode=mode)
        result = searcher.search("copy folder", filters={"term": {"year": "old"}})
        assert result.hits
        assert result.is_partial
        assert re.search(r"-b\[0\]: .*For input string: .*old", result.failures[0])
        assert not searcher.search("copy folder").is_partial

    def test_the_command_tells_them_too(self, endpoints, halves):
        arguments = ["search", halves, "copy", "--mode", "bm25", "--url", endpoints.opensearch_url]
        arguments += ["--filter", '{"term": {"year": "old"}}', "--json"]
        result = CliRunner().invoke(cli, arguments)
        assert "bm25: not complete" in result.stderr
        assert json.loads(result.stdout)["failures"]


class TestTimeouts:
    def test_too_little_time(self, client, index):
        """OpenSearch looks at the clock now and then only: it answers what it has, or is given up."""
        searcher = HybridSearcher(client, index, mode="bm25")
        searcher.warm_up()
        started = time.monotonic()
        try:
            result = searcher.search("", lexical=SLOW, timeout_ms=1)
        except BackendUnavailableError as error:
            assert "no answer within 1001 ms; raise timeout_ms" in str(error)
        else:
            assert result.timed_out
            assert result.is_partial
        assert time.monotonic() - started < 3

    def test_enough_time(self, client, index):
        result = HybridSearcher(client, index, ENCODER).search("copy", timeout_ms=30_000)
        assert result.hits
        assert not result.is_partial


@pytest.fixture(scope="module")
def without_neural_search(servers):
    """The address of a server like ours, without the plugin neural-search."""
    known = servers.up()
    process = Path(f"/proc/{known.opensearch_pid}")
    home = known.home.with_name(f"tests-{os.getpid()}-bare")
    for folder in ("plugins", "data", "logs", "tmp"):
        (home / folder).mkdir(parents=True)
    arguments = [part.decode() for part in (process / "cmdline").read_bytes().split(b"\0")[:-1]]
    distribution, config = (
        Path(next(part for part in arguments if f"opensearch.path.{name}=" in part).split("=")[1])
        for name in ("home", "conf")
    )
    shutil.copytree(config, home / "config")
    for folder in ("lib", "modules"):
        (home / folder).symlink_to(distribution / folder)
    for plugin in ("opensearch-knn", "opensearch-job-scheduler"):
        (home / "plugins" / plugin).symlink_to(distribution / "plugins" / plugin)
    http, transport = free_port(), free_port()
    (home / "config" / "opensearch.yml").write_text(opensearch_server.settings(home, http, transport))
    owner = process.stat()
    for path in (home, *home.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
    moved = [
        part.replace(f"path.home={distribution}", f"path.home={home}").replace(str(config.parent), str(home))
        for part in arguments
    ]
    with (home / "logs" / "out").open("wb") as log:
        server = subprocess.Popen(
            moved, user=owner.st_uid, group=owner.st_gid, cwd=home, stdout=log, stderr=log
        )
    deadline = time.monotonic() + 120
    while not opensearch_server.is_ready(http) and time.monotonic() < deadline:
        assert server.poll() is None, (home / "logs" / "out").read_text()[-2000:]
        time.sleep(0.5)
    yield f"http://127.0.0.1:{http}"
    server.terminate()
    server.wait()
    shutil.rmtree(home)


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def test_a_cluster_without_neural_search_is_searched_all_the_same(without_neural_search, client, index_name):
    with OpenSearch(without_neural_search) as bare:
        here, there = (make_index(one, index_name, articles(60)) for one in (bare, client))
        found = HybridSearcher(bare, here, ENCODER, candidates=20).search("copy folder", top_k=20)
        expected = HybridSearcher(client, there, ENCODER, candidates=20).search("copy folder", top_k=20)
        assert (found.strategy, expected.strategy) == ("client", "pipeline")
        assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected], abs=1e-6)
        with pytest.raises(IndexSchemaError, match=r"unknown query \[hybrid\]"):
            HybridSearcher(bare, here, ENCODER, strategy="pipeline").search("copy")
