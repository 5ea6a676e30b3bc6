"""Training pairs from two fields of an index."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from ce2de_os.cli import cli
from ce2de_os.errors import Ce2deError
from tests.integration.indexes import create_index
from tests.unit.distill.tiny import WORDS, save_tiny_teacher

pytestmark = pytest.mark.servers


def train(tmp_path, endpoints, index, *more):
    arguments = [
        "train", "teacher", "--index", index, "--query-field", "title", "--url", endpoints.opensearch_url,
        "--base", tmp_path / "base", "--out", tmp_path / "t", "--steps", 1, "--negatives", 2,
        "--max-length", 16, "--threads", 1, "--json", *more,
    ]  # fmt: skip
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    if isinstance(result.exception, Ce2deError):
        raise result.exception
    return result


@pytest.fixture
def base(tmp_path):
    (tmp_path / "base").mkdir()
    return save_tiny_teacher(tmp_path / "base")


def test_pairs_of_an_index(client, endpoints, index_name, tmp_path, base):
    full = [{"title": word, "body": f"{word} {WORDS[-row]}"} for row, word in enumerate(WORDS[:40])]
    create_index(client, index_name, [*full, {"title": "bab"}, {"body": "deg"}, {"title": "", "body": "deg"}])
    result = train(tmp_path, endpoints, index_name, "--passage-field", "body")
    assert result.exit_code == 0, result.output
    counts = json.loads(result.stdout)["counts"]
    assert counts == {
        "read": 43, "empty": 3, "repeated": 0, "equal": 0, "used": 40, "trained": 36, "held_out": 4
    }  # fmt: skip


def test_fields_and_indexes_that_are_not_there(client, endpoints, index_name, tmp_path, base):
    create_index(client, index_name, [{"title": "bab", "body": "deg"}])
    with pytest.raises(Ce2deError, match="none of 1 documents has text in both 'title' and 'text'"):
        train(tmp_path, endpoints, index_name, "--passage-field", "text")
    with pytest.raises(Ce2deError, match="no such index"):
        train(tmp_path, endpoints, f"{index_name}-none", "--passage-field", "body")
