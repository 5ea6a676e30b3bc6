"""`ce2de distill` on a live index: its documents are the texts, a field the queries, BM25 finds the rest."""

from __future__ import annotations

import gzip
import json
import random

import pytest
from click.testing import CliRunner
from opensearchpy import helpers

from ce2de_os.cli import cli
from ce2de_os.distill.data.score_file import read_scores
from ce2de_os.errors import Ce2deError
from tests.unit.distill.tiny import WORDS, save_tiny_cross_encoder, save_tiny_teacher, sets


@pytest.fixture
def models(tmp_path):
    (tmp_path / "teacher").mkdir()
    save_tiny_teacher(tmp_path / "teacher")
    save_tiny_cross_encoder(tmp_path / "ce")
    return tmp_path / "teacher", tmp_path / "ce"


@pytest.fixture
def distill(client, endpoints, index_name, models, tmp_path):
    """Run ``ce2de distill`` on a small index."""
    rng = random.Random(4)
    documents = []
    for number in range(150):
        words = rng.choices(WORDS, k=25)
        documents.append({
            "_index": index_name, "_id": f"d{number}", "title": " ".join(rng.sample(words, 3)),
            "body": " ".join(words),
        })  # fmt: skip
    helpers.bulk(client, documents, refresh=True)
    teacher, cross_encoder = models

    def run(*arguments):
        flags = (
            "--url", endpoints.opensearch_url, "--index", index_name, "--text-fields", "title,body",
            "--query-field", "title", "--cross-encoder", cross_encoder, "--teacher", teacher,
            *sets(layers=[0, 2], candidates=8, max_queries=30, tokens=4000, unique_tokens=3000, threads=1),
            "--out", tmp_path / "run", *arguments,
        )  # fmt: skip
        result = CliRunner().invoke(cli, ["distill", *map(str, flags)])
        if isinstance(result.exception, Ce2deError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result

    return run


def test_from_an_index_to_a_model(distill, tmp_path):
    distill("--until", "scores")
    scores = dict(read_scores(tmp_path / "run" / "scores.jsonl.gz"))
    assert len(scores) == 30
    assert all(len(ranking) == 8 for ranking in scores.values())
    assert all(query_id in {doc.doc_id for doc in ranking} for query_id, ranking in scores.items())

    facts = json.loads(distill("--until", "export", "--json").stdout)
    with gzip.open(tmp_path / "run" / "texts.jsonl.gz", "rt") as file:
        assert 100 < sum(1 for _ in file) < 120  # of 150: as many as have 3,000 words, 28 each
    assert facts["recipe"]["texts"] == {"texts": facts["recipe"]["passages"]}  # the documents themselves
    assert facts["recipe"]["queries"] == 30
    assert (tmp_path / "run" / "model" / "manifest.json").exists()


def test_documents_deleted_meanwhile_are_left_out(distill, client, index_name, tmp_path):
    distill("--until", "candidates")
    candidates = dict(read_scores(tmp_path / "run" / "candidates.jsonl.gz"))
    gone = next(iter(candidates.values()))[-1].doc_id
    client.delete(index=index_name, id=gone, refresh=True)
    distill("--until", "scores")
    scored = {
        doc.doc_id for run in dict(read_scores(tmp_path / "run" / "scores.jsonl.gz")).values() for doc in run
    }
    assert gone in {doc.doc_id for run in candidates.values() for doc in run}
    assert gone not in scored


def test_a_field_without_text_is_named(distill):
    with pytest.raises(Ce2deError, match="expected a field with short texts, such as a title"):
        distill("--query-field", "nothing", "--until", "queries")
