"""`ce2de search`: usage errors, before any server is asked."""

import pytest
from click.testing import CliRunner

from ce2de_os.cli import cli
from ce2de_os.errors import ArtifactError, BackendUnavailableError


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["articles"], "Missing argument 'QUESTION...'"),
        (["articles", "copy", "--mode", "sparse"], "'sparse' is not one of"),
        (["articles", "copy", "--mode", "bm25,sparse"], "'sparse' is not one of bm25, dense, hybrid"),
        (["articles", "copy", "--dense-weight", "2"], "2.0 is not in the range 0<=x<=1"),
        (["articles", "copy", "--from", "-1"], "-1 is not in the range 0<=x<=9999"),
        (["articles", "copy", "--top-k", "0"], "0 is not in the range 1<=x<=10000"),
        (["articles", "copy", "--rerank-weight", "2"], "2.0 is not in the range 0<=x<=1"),
        (["articles", "copy", "--filter", "lang:en"], "not JSON"),
        (["articles", "copy", "--filter", "[1]"], "expected an object"),
    ],
)
def test_wrong_usage_is_told(arguments, told):
    result = CliRunner().invoke(cli, ["search", *arguments])
    assert result.exit_code == 2
    assert told in result.stderr
    assert result.stdout == ""


def test_two_rerankers_exclude_each_other():
    arguments = ["search", "articles", "copy", "--late-interaction", "--reranker", "somewhere"]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 2
    assert "--reranker and --late-interaction exclude each other" in result.stderr


def test_a_model_without_token_vectors():
    result = CliRunner().invoke(cli, ["search", "articles", "copy", "--late-interaction"])
    assert isinstance(result.exception, ArtifactError)
    assert "export the student again with `token_vectors`" in str(result.exception)


def test_a_cluster_that_does_not_answer():
    result = CliRunner().invoke(
        cli, ["search", "articles", "copy", "--mode", "bm25", "--url", "http://127.0.0.1:9"]
    )
    assert isinstance(result.exception, BackendUnavailableError)  # `main` prints it in one line
    assert "ce2de local up" in str(result.exception)
