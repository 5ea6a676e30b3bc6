"""`ce2de plan`: usage errors before any server is asked, and what is printed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from click.testing import CliRunner

from ce2de_os.cli import cli
from ce2de_os.cli.durations import duration_s
from ce2de_os.cli.jobs.plan_tables import fact_rows, show, verdict_lines
from ce2de_os.errors import BackendUnavailableError
from ce2de_os.index.language_fields import LanguageSpec
from ce2de_os.reindex.planning.query_model import QueryModel
from tests.unit.reindex.planned import cluster, index, node, planned, sample

ARTICLES = ["plan", "articles", "--text-fields", "title"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["plan", "articles"], "Missing option '--text-fields'"),
        ([*ARTICLES, "--within", "4"], "got '4', expected a time such as 30s, 15m, 4h or 2d"),
        ([*ARTICLES, "--within", "0s"], "got '0s'"),
        ([*ARTICLES, "--workers", "0"], "0 is not in the range x>=1"),
        ([*ARTICLES, "--sample", "20000"], "20000 is not in the range"),
        ([*ARTICLES, "--mode", "both"], "got 'both', expected one of auto, copy, in-place"),
        ([*ARTICLES, "--compression-level", "3x"], "'3x' is not one of"),
    ],
)
def test_wrong_usage_is_told(arguments, told):
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 2
    assert told in result.stderr
    assert result.stdout == ""


def test_a_cluster_that_does_not_answer():
    result = CliRunner().invoke(cli, [*ARTICLES, "--url", "http://127.0.0.1:9"])
    assert isinstance(result.exception, BackendUnavailableError)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("1.5m", 90), ("4h", 14_400), ("2d", 172_800), (None, None)]
)
def test_durations(text, seconds):
    assert duration_s(None, None, text) == seconds


def test_a_plan_that_fits_is_told_in_sentences(capsys):
    show(planned(within_s=4 * 3600.0))
    told = " ".join(capsys.readouterr().out.split())
    assert "copy: index.knn is off and cannot be switched on later" in told
    assert "articles: 100,000,000 documents, 10 primary shards, 100.0 GB" in told
    assert "mean 100, p50 90, p95 200; 1.0% are cut at 256; about 10,000,000,000 to encode" in told
    # 10^8 / (200 * 35) = 14,286 s
    assert "35 workers: 3 h 58 min (encoding alone, 200 docs/s measured on one core here" in told
    assert "366.1 GB for lucene 1x, m 16, replicas included; 400.0 GB" in told
    assert "679.3 GB more: documents 200.0 GB, vectors 366.1 GB, headroom for merges 113.2 GB" in told
    assert "until the watermark (90%)" in told
    assert "advised: 6 to 28 (10-50 GB each)" in told
    assert "1,830.4 183.0 366.1 366.1" in told
    assert told.endswith("It fits.")


def test_several_indices_are_listed(capsys):
    show(planned(*(index(f"articles-{number}") for number in range(25))))
    told = capsys.readouterr().out
    assert "25 indices: 2,500,000,000 documents" in told.replace("\n", " ")
    assert "articles-19" in told
    assert "articles-20" not in told
    assert "5 more, see --json" in told


def test_reasons_come_with_what_to_do():
    lines = list(verdict_lines(planned(mode="in_place", around=cluster(node(0), unseen=("x",)))))
    assert lines[0] == "It does NOT fit:"
    assert lines[1] == "- index.knn is off in articles and cannot be switched on later"
    assert lines[2].startswith("  to do: use --mode copy")
    assert "Know also:" in lines


def test_the_languages_that_were_found_have_a_row():
    drawn = sample(languages={"en": 300, "it": 150, "other": 50}, embedded_share=0.25)
    rows = dict(fact_rows(planned(drawn=drawn, languages=LanguageSpec(("en", "it"), "lang"))))
    assert rows["languages"].startswith("en 60.0%, it 30.0%, other 10.0% (read from lang, else detected;")
    assert "text by language 50.0 GB" in rows["disk"]


def test_without_languages_there_is_no_row():
    rows = dict(fact_rows(planned()))
    assert "languages" not in rows
    assert "by language" not in rows["disk"]


def test_a_second_model_for_the_queries_says_what_the_larger_one_costs():
    model = QueryModel("small", "b" * 64, 2000.0, 50_000.0, 3.14, 31.4)
    rows = dict(fact_rows(replace(planned(workers=1), query_model=model)))
    assert rows["queries"] == (
        "small (bbbbbbbbbbbb): 3.1 ms for one query on one core here, tiny 31.4 ms; to embed the "
        "documents too, 1 worker would take 13 h 53 min instead of 5 d 18 h (10.0x as fast)"
    )
    assert "queries" not in dict(fact_rows(planned()))
