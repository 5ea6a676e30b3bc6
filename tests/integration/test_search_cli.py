"""`ce2de search` on a plain index, which needs no model."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner
from opensearchpy import helpers

from ce2de_os.cli import cli
from ce2de_os.errors import IndexSchemaError

DOCUMENTS = (
    {"_id": "1", "title": "shutil.copytree", "body": "Copy a whole folder", "lang": "en"},
    {"_id": "2", "title": "time.sleep", "body": "Wait for some seconds", "lang": "en"},
    {"_id": "3", "title": "os.mkdir", "body": "Einen Ordner anlegen: folder", "lang": "de"},
    {"_id": "4", "title": "Überholspur", "body": "Schnell fahren", "lang": "de"},
)


@pytest.fixture
def search(client, endpoints, index_name):
    """Run ``ce2de search`` on a small index."""
    fields = {"title": {"type": "text"}, "body": {"type": "text"}, "lang": {"type": "keyword"}}
    client.indices.create(index=index_name, body={"mappings": {"properties": fields}})
    helpers.bulk(client, [{**document, "_index": index_name} for document in DOCUMENTS], refresh=True)

    def run(*arguments):
        flags = ["--mode", "bm25", "--url", endpoints.opensearch_url]
        return CliRunner().invoke(cli, ["search", index_name, *flags, *arguments])

    return run


def test_a_table_for_people(search):
    result = search("copy", "a", "folder")  # no quotes needed
    assert result.exit_code == 0
    assert "shutil.copytree" in result.stdout
    assert result.stdout.index("shutil.copytree") < result.stdout.index("os.mkdir")
    assert result.stderr == ""


def test_json_for_programs(search):
    answer = json.loads(search("folder", "--json", "--top-k", "1").stdout)

    assert (answer["query"], answer["mode"]) == ("folder", "bm25")
    (hit,) = answer["hits"]
    assert set(hit) >= {"doc_id", "score", "rank", "source", "bm25", "dense", "index_name"}
    assert hit["bm25"] == {"score": hit["score"], "rank": 1}
    assert hit["dense"] is None


def test_filters_all_have_to_hold(search):
    german = ("--filter", '{"term": {"lang": "de"}}')
    answer = json.loads(search("folder", "--json", *german).stdout)
    assert [hit["doc_id"] for hit in answer["hits"]] == ["3"]

    nothing = search("folder", *german, "--filter", '{"term": {"lang": "en"}}')
    assert nothing.exit_code == 0
    assert nothing.stdout == ""
    assert "matches" in nothing.stderr


def test_a_filter_that_opensearch_refuses(search):
    result = search("folder", "--filter", '{"trem": {"lang": "de"}}')
    assert isinstance(result.exception, IndexSchemaError)
    assert "unknown query [trem]" in str(result.exception)


def test_words_of_any_script_are_found_in_a_locale_of_ascii(search, index_name, endpoints):
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [
        sys.executable, "-m", "ce2de_os", "search", index_name, "überholspur", "--mode", "bm25", "--json",
        "--filter", '{"match": {"title": "Überholspur"}}', "--url", endpoints.opensearch_url,
    ]  # fmt: skip
    done = subprocess.run(command, env={**os.environ, **ascii_only}, capture_output=True, check=True)
    assert [hit["doc_id"] for hit in json.loads(done.stdout)["hits"]] == ["4"]


def test_several_modes_side_by_side(search):
    result = search("folder", "--mode", "bm25,bm25", "--json")
    assert json.loads(result.stdout)["mode"] == "bm25"  # named twice, asked once


def test_pages_and_boosts(search):
    whole = json.loads(search("folder", "--json", "--field", "title^3", "--field", "body").stdout)["hits"]
    second = json.loads(search("folder", "--json", "--from", "1", "--top-k", "1").stdout)["hits"]
    assert [hit["doc_id"] for hit in whole[1:2]] == [hit["doc_id"] for hit in second]
    assert second[0]["rank"] == 2


def test_explain_tells_where_the_time_went_beside_the_data(search):
    result = search("folder", "--explain")
    assert "joined by nothing; encode_ms" in result.stderr
    assert "os.mkdir" in result.stdout
