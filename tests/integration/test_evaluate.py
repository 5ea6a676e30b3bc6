"""`ce2de evaluate` on an index whose rankings are known."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from opensearchpy import helpers

from ce2de_os.cli import cli
from ce2de_os.errors import ConfigError, DataError, IndexSchemaError
from ce2de_os.evaluation import Judged
from ce2de_os.index.metadata import IndexMetadata
from ce2de_os.index.target_body import target_body
from ce2de_os.index.vector_field import VectorField
from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.quality.comparison import ComparisonSettings
from ce2de_os.quality.evaluate import evaluate, existing

WORDS = {"a": "apple", "b": "pear", "c": "plum", "d": "fig"}
VECTORS = {"a": (0.8, 0.6), "b": (1, 0), "c": (0, 1), "d": (0, -1)}
DIRECTIONS = {"apple": (1, 0), "pear": (0, 1), "plum": (0, 1), "fig": (0, -1), "warm up": (1, 0)}
# Nearest to (1, 0): b, a, then c and d; to (0, 1): c, a, b, d.
QUERIES = {"q1": "apple", "q2": "pear"}
JUDGED = Judged(QUERIES, {"q1": {"a": 1}, "q2": {"b": 1}})
FOUR = Judged(
    {doc: word for doc, word in WORDS.items()},
    {doc: {doc: 1} for doc in WORDS},
)  # fmt: skip
QUICK = ComparisonSettings(latency_queries=0)


class Table:
    """Each query's vector by its word."""

    space = "a" * 64

    def encode_queries(self, texts):
        return np.array([DIRECTIONS[text] for text in texts], dtype=np.float32)


class SameWord:
    """A cross-encoder that finds the query in the document."""

    def score(self, query, documents):
        return np.array([float(query in text) for text in documents], dtype=np.float32)


def make_index(client, name, space, vectors):
    dim = len(vectors["a"])
    metadata = IndexMetadata("ce2de_vector", ("body",), space, dim, "table", "fruit")
    text = {"properties": {"body": {"type": "text"}}}
    client.indices.create(index=name, body=target_body({}, text, metadata, VectorField(dim), "hash"))
    rows = (
        {"_index": name, "_id": doc_id, "body": WORDS[doc_id], "ce2de_vector": list(map(float, vector))}
        for doc_id, vector in vectors.items()
    )
    helpers.bulk(client, rows, refresh=True)
    return name


@pytest.fixture
def index(client, index_name):
    return make_index(client, index_name, Table.space, VECTORS)


def means(found, metric):
    return {one.name: one.figures[metric].mean for one in found.systems}


def test_known_rankings_give_known_figures(client, index):
    found = evaluate(client, index, Table(), JUDGED, reranker=SameWord(), settings=QUICK)

    reciprocal, gain = means(found, "MRR@10"), means(found, "nDCG@10")
    # By words each query finds its document alone; by vectors it is second and third.
    assert reciprocal["BM25"] == 1
    assert reciprocal["dense"] == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert gain["dense"] == pytest.approx((1 / math.log2(3) + 1 / math.log2(4)) / 2)
    # min_max of "pear": b has 1 by words and (1 - 0.5) / (2 - 0.5) by vectors, c has 0 and 1.
    assert reciprocal["hybrid min_max"] == 1
    assert reciprocal["dense + CE"] == 1
    assert set(means(found, "Recall@100").values()) == {1}
    assert (found.queries, found.missing, found.relevant) == (2, 0, 2)
    assert [one.partial for one in found.systems] == [0] * 12
    assert {one.strategy for one in found.systems} == {None, "pipeline"}


def test_single_searches_are_timed(client, index):
    settings = ComparisonSettings(fusions=("rrf",), latency_queries=2)
    found = evaluate(client, index, Table(), JUDGED, settings=settings)
    for one in found.systems:
        assert one.latency_ms.searches == 2
        assert 0 < one.latency_ms.p50 <= one.latency_ms.p90 <= one.latency_ms.p99


def test_tuning_chooses_on_one_half_and_reports_on_the_other(client, index):
    settings = replace(QUICK, tune=True, fusions=("min_max",))
    found = evaluate(client, index, Table(), FOUR, settings=settings)

    assert (found.tuning.dev_queries, found.queries) == (2, 2)
    assert len(found.tuning.scores) == 9  # 0.1 to 0.9
    assert found.tuning.scores[str(found.tuning.chosen)] == max(found.tuning.scores.values())
    tuned = next(one for one in found.systems if one.name == "hybrid, tuned")
    assert tuned.options["dense_weight"] == found.tuning.chosen.dense_weight


def test_relevant_documents_that_are_missing_are_counted(client, index):
    judged = Judged(QUERIES, {"q1": {"a": 1, "gone": 1}, "q2": {"b": 1, "other": 0}})
    found = evaluate(client, index, Table(), judged, settings=QUICK)
    assert (found.missing, found.relevant) == (1, 3)
    assert means(found, "Recall@100")["BM25"] == (1 / 2 + 1) / 2


class TestBadInput:
    def test_judgements_of_another_collection(self, client, index):
        judged = Judged({"q1": "apple"}, {"q1": {"x": 1, "y": 1}})
        with pytest.raises(DataError, match="none of the 2 relevant documents is in it, the first is 'x'"):
            evaluate(client, index, Table(), judged, settings=QUICK)

    def test_an_index_without_vectors(self, client, index_name):
        client.index(index=index_name, id="a", body={"body": "apple"}, refresh=True)
        with pytest.raises(IndexSchemaError, match="no vectors of ce2de in it; make them with"):
            evaluate(client, index_name, Table(), JUDGED, settings=QUICK)

    def test_no_such_index(self, client):
        with pytest.raises(IndexSchemaError, match="no such index"):
            evaluate(client, "there-is-none", Table(), JUDGED, settings=QUICK)

    def test_too_few_hits_for_recall(self, client, index):
        with pytest.raises(ConfigError, match="top_k: got 10, expected at least 100"):
            evaluate(client, index, Table(), JUDGED, settings=ComparisonSettings(top_k=10))

    def test_ids_are_looked_up_by_the_thousand(self, client, index):
        many = {f"no-{number}" for number in range(2500)}
        assert existing(client, index, {*many, "a", "d"}) == {"a", "d"}


@pytest.fixture
def folder(tmp_path):
    lines = (json.dumps({"_id": doc, "text": word}) + "\n" for doc, word in WORDS.items())
    (tmp_path / "queries.jsonl").write_text("".join(lines))
    (tmp_path / "qrels").mkdir()
    judged = "".join(f"{doc}\t{doc}\t1\n" for doc in WORDS)
    (tmp_path / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}")
    return tmp_path


class TestCommand:
    @pytest.fixture
    def run(self, client, endpoints, index_name):
        encoder = OnnxEncoder()
        vectors = dict(zip(WORDS, encoder.encode_documents(list(WORDS.values())), strict=True))
        make_index(client, index_name, encoder.space, vectors)

        def run(*arguments):
            flags = ["--url", endpoints.opensearch_url, *map(str, arguments)]
            return CliRunner().invoke(cli, ["evaluate", index_name, *flags])

        return run

    def test_table_plot_and_json(self, run, folder):
        plot = folder / "quality.png"
        shown = run("--data", folder, "--latency-queries", 1, "--plot", plot, "--tune")
        assert shown.exit_code == 0, shown.exception
        assert "quality over 2 queries, the test half" in shown.stdout
        assert "hybrid z_score" in shown.stdout
        assert "Tuned on the dev half, 2 other queries" in shown.stdout
        assert f"written: {plot}, {plot.with_suffix('.svg')}" in shown.stderr
        assert plot.exists()

        files = ("--queries", folder / "queries.jsonl", "--qrels", folder / "qrels" / "test.tsv")
        answer = json.loads(run(*files, "--fusion", "rrf", "--latency-queries", 0, "--json").stdout)
        assert [one["name"] for one in answer["systems"]] == ["BM25", "dense", "hybrid rrf"]
        assert answer["systems"][0]["figures"]["MRR@10"]["mean"] == 1
        assert answer["queries"] == 4

    def test_saved_runs_give_the_same_figures(self, run, folder):
        runs = folder / "runs"
        options = ("--data", folder, "--tune", "--fusion", "min_max", "--latency-queries", 0, "--json")
        measured = json.loads(run(*options, "--save-runs", runs).stdout)
        names = {one["name"]: "-".join(one["name"].replace(",", "").split()) for one in measured["systems"]}
        assert names["hybrid, tuned"] == "hybrid-tuned"
        assert {path.name for path in runs.iterdir()} == {
            "qrels.tsv", *(f"{tag}.trec.gz" for tag in names.values()),
        }  # fmt: skip
        given = [f"--run={name}={runs}/{tag}.trec.gz" for name, tag in names.items()]
        compared = CliRunner().invoke(
            cli, ["compare", f"--qrels={runs}/qrels.tsv", *given, "--metric=nDCG@10", "--json"]
        )
        found = json.loads(compared.stdout)
        assert found["queries"] == 2  # of the test half
        for one in measured["systems"]:
            assert found["figures"][one["name"]]["nDCG@10"]["mean"] == one["figures"]["nDCG@10"]["mean"]

    def test_usage(self, run, folder):
        both = run("--data", folder, "--qrels", folder / "qrels" / "test.tsv")
        assert (both.exit_code, run().exit_code) == (2, 2)
        assert "either by --data, or by --queries and --qrels" in both.stderr
        unseen = run("--data", folder, "--plot", folder / "none" / "x.png")
        assert "there is no folder" in str(unseen.exception)
        untimed = run("--data", folder, "--plot", folder / "x.png", "--latency-queries", 0)
        assert untimed.exit_code == 2
