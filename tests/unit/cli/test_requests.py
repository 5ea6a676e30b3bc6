"""What the commands ask the typed functions for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from ce2de_os.cli import cli
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.index.vector_field import VectorField
from ce2de_os.reindex.job import MAX_BLOCK_S


@pytest.fixture
def asked(monkeypatch):
    """Run a command; return the request and the other arguments that the function gets."""

    def run(function, *arguments):
        seen = []

        def take(request, **options):
            seen.append((request, options))
            return SimpleNamespace(fits=True, meaning=None, to_json=dict)

        monkeypatch.setattr(f"ce2de_os.recipes.{function}.{function}", take)
        for module in ("reindex", "follow"):
            monkeypatch.setattr(f"ce2de_os.cli.jobs.{module}.show", lambda found, as_json: None)
        monkeypatch.setattr("ce2de_os.quality.comparison.warnings", lambda found: [])
        result = CliRunner().invoke(cli, [*arguments, "--json"])
        assert result.exit_code == 0, (result.output, result.exception)
        return seen[0]

    return run


def test_a_reindex_with_every_option(asked):
    request, options = asked(
        "reindex", "reindex", "start", "articles", "--template", "{title}. {body}", "--passages", "180:90",
        "--token-vectors", "--alias", "a", "--target", "t", "--mode", "copy", "--pipeline", "p",
        "--docs-per-second", "5", "--hold", "--accept-rejected", "--accept-excluded-fields",
        "--way", "mirror", "--accept-unreplicated", "--max-block", "2m", "--no-block", "--no-follow",
        "--broker-url", "redis://b", "--timeout", "9",
    )  # fmt: skip
    assert request.text == TextSpec(("title", "body"), "{title}. {body}", (180, 90))
    assert (request.source, request.alias, request.target) == ("articles", "a", "t")
    assert (request.mode, request.way, request.pipeline, request.docs_per_s) == ("copy", "mirror", "p", 5.0)
    assert request.hold
    assert request.accept_rejected
    assert request.accept_excluded_fields
    assert request.accept_unreplicated
    assert request.token_vectors
    assert (request.block, request.follow, request.max_block_s) == (False, False, 120.0)
    assert options["settings"].broker_url == "redis://b"
    assert options["settings"].opensearch.timeout_s == 9.0


def test_a_reindex_with_the_defaults(asked):
    request, _ = asked("reindex", "reindex", "start", "articles", "--text-fields", "title, body")
    assert (request.text.fields, request.mode, request.way) == (("title", "body"), "auto", "auto")
    assert (request.block, request.follow, request.max_block_s) == (True, True, MAX_BLOCK_S)
    assert not any(
        (request.hold, request.accept_rejected, request.accept_excluded_fields, request.accept_unreplicated,
         request.token_vectors, request.alias, request.target, request.pipeline, request.docs_per_s)
    )  # fmt: skip
    assert request.vector(8) == VectorField(8)


def test_follow_takes_the_text_from_the_index(asked):
    request, _ = asked("follow", "follow", "articles", "--docs-per-second", "2")
    assert (request.source, request.text.fields, request.docs_per_s) == ("articles", (), 2.0)


def test_plan_plans_what_reindex_would_start(asked):
    request, options = asked(
        "plan", "plan", "articles", "--text-fields", "title", "--mode", "in-place", "--engine", "faiss",
        "--within", "2h", "--workers", "3", "--sample", "9",
    )  # fmt: skip
    assert (request.source, request.mode, request.vector(8).engine) == ("articles", "in_place", "faiss")
    assert (options["within_s"], options["workers"], options["sample"]) == (7200.0, 3, 9)


def test_evaluate_compares_by_the_flags(asked):
    request, options = asked(
        "evaluate", "evaluate", "articles", "--data", "judged", "--fusion", "rrf", "--top-k", "200", "--tune",
        "--latency-queries", "0", "--field", "title^2", "--seed", "4", "--threads", "2",
    )  # fmt: skip
    assert (request.index, request.queries, request.qrels) == ("articles", Path("judged"), None)
    found = request.comparison
    assert (found.fusions, found.top_k, found.tune, found.seed) == (("rrf",), 200, True, 4)
    assert (found.latency_queries, found.fields, found.candidates) == (0, ("title^2",), 100)
    assert options["settings"].threads == 2
