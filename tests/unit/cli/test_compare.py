"""``ce2de compare`` from the command line."""

from __future__ import annotations

import gzip
import json
import math

import pytest
from click.testing import CliRunner

from ce2de_os.cli import cli
from ce2de_os.errors import Ce2deError
from ce2de_os.evaluation import METRICS
from ce2de_os.evaluation.comparison import DEFAULT_METRICS

QUERIES = [f"q{number}" for number in range(8)]


def invoke(*arguments):
    result = CliRunner().invoke(cli, ["compare", *map(str, arguments)], env={"COLUMNS": "120"})
    if isinstance(result.exception, Ce2deError):
        raise result.exception
    return result


def refused(*arguments):
    """The one line of an error."""
    with pytest.raises(Ce2deError) as caught:
        invoke(*arguments)
    return str(caught.value)


def lines_of(query_id, *doc_ids):
    return "".join(
        f"{query_id} Q0 {doc_id} {rank} {-rank} tag\n" for rank, doc_id in enumerate(doc_ids, start=1)
    )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Query qN's relevant document is N; 'first' ranks it first, 'second' second, 'copy' as 'second' does."""
    monkeypatch.chdir(tmp_path)
    judged = "".join(f"{query_id}\t{query_id[1:]}\t1\n" for query_id in QUERIES)
    (tmp_path / "qrels.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}")
    first = "".join(lines_of(query_id, query_id[1:], "x") for query_id in QUERIES)
    second = "".join(lines_of(query_id, "x", query_id[1:]) for query_id in QUERIES)
    (tmp_path / "first.trec").write_text(first)
    (tmp_path / "second.trec.gz").write_bytes(gzip.compress(second.encode()))
    (tmp_path / "copy.trec").write_text(second)
    queries = "".join(json.dumps({"_id": query_id, "text": "some"}) + "\n" for query_id in QUERIES[:3])
    (tmp_path / "queries.jsonl").write_text(queries)
    return tmp_path


BOTH = ("--qrels", "qrels.tsv", "--run", "good=first.trec", "--run", "bad=second.trec.gz")


def test_a_table_with_marks_and_notes(folder):
    result = invoke(*BOTH, "--run", "same=copy.trec", "--baseline", "bad", "--plot", "means.png")
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[0] == ["quality", "over", "8", "queries"]
    assert ["system", *DEFAULT_METRICS] in rows
    better = ["1.000", "▲"]
    assert ["good", *better, *better, "1.000", "≈", *better] in rows
    assert ["bad", f"{1 / math.log2(3):.3f}", "0.500", "1.000", "0.500"] in rows
    assert ["same", f"{1 / math.log2(3):.3f}", "≈", "0.500", "≈", "1.000", "≈", "0.500", "≈"] in rows
    assert "▲ <.001 ≈ 1" in result.stdout
    assert "▲ p of a one-sided paired t-test: better than bad" in result.stdout
    assert "≈ p of a paired TOST: within ±0.05 of bad" in result.stdout
    assert "correction (2 comparisons)" in result.stdout
    assert "each language alone" not in result.stdout
    lines = result.stderr.splitlines()
    assert lines[0] == "written: means.png, means.svg"
    assert (
        "note: good ranks at most 2 documents of a query; nDCG@20, Recall@1000, MRR@10 may be too low"
        in lines
    )
    assert (folder / "means.png").exists()


def test_json_has_everything(folder):
    result = invoke(*BOTH, "--baseline", "bad", "--metric", "MRR@10", "--margin", 0.6, "--json")
    found = json.loads(result.stdout)
    figure = found["figures"]["good"]["MRR@10"]
    assert (figure["mean"], figure["low"], figure["high"]) == (1, 1, 1)
    assert figure["better"] == {"p": 0, "corrected": 0}
    assert figure["equivalent"] == {"p": 0, "corrected": 0}  # all differ by 0.5
    assert figure["scores"] == dict.fromkeys(QUERIES, 1)
    assert (found["baseline"], found["margin"], found["queries"]) == ("bad", 0.6, 8)
    assert found["answers"]["good"] == {"missing": 0, "depth": 2, "relevant": 8}


def test_queries_and_trec_judgements(folder):
    (folder / "qrels.trec").write_text("".join(f"{query_id} 0 {query_id[1:]} 2\n" for query_id in QUERIES))
    result = invoke(
        "--qrels", "qrels.trec", "--run", "good=first.trec", "--queries", "queries.jsonl", "--json"
    )
    assert json.loads(result.stdout)["queries"] == 3
    assert json.loads(result.stdout)["figures"]["good"]["MAP"]["mean"] == 1


def test_passages_score_for_their_documents(folder):
    run = "".join(lines_of(query_id, "x-1", "x-2", f"{query_id[1:]}-1") for query_id in QUERIES)
    (folder / "passages.trec").write_text(run)
    documents = ["x", *(query_id[1:] for query_id in QUERIES)]
    mapping = "".join(f"{document}-{part}\t{document}\n" for document in documents for part in (1, 2))
    (folder / "mapping.tsv").write_text(mapping)
    options = ("--qrels", "qrels.tsv", "--run", "p=passages.trec", "--metric", "MRR@10")
    found = json.loads(invoke(*options, "--passages", "mapping.tsv", "--json").stdout)
    assert found["figures"]["p"]["MRR@10"]["mean"] == 1 / 2  # x, then the relevant document
    without = invoke(*options)
    assert "p finds no relevant document at all" in without.stderr

    (folder / "mapping.tsv").write_text(mapping.replace("x-2\tx\n", ""))
    message = refused(*options, "--passages", "mapping.tsv")
    assert message.startswith("passages.trec: passage 'x-2' of query 'q0': its document is not known")
    assert message.endswith("mapping.tsv")


@pytest.fixture
def languages(folder):
    """Italian translations of all documents, German ones of the first four; German ones rank first."""
    for language, count in (("it", 8), ("de", 4)):
        rows = (json.dumps({"_id": str(number), "text": "some"}) + "\n" for number in range(count))
        (folder / f"{language}.jsonl").write_text("".join(rows))
    mixed = "".join(
        lines_of(q, *(["de:0", f"de:{q[1:]}", f"it:{q[1:]}"] if "0" < q[1:] < "4" else [f"it:{q[1:]}"]))
        for q in QUERIES
    )
    (folder / "mixed.trec").write_text(mixed)
    return folder


def test_languages_are_taken_apart(languages):
    options = ("--qrels", "qrels.tsv", "--run", "mixed=mixed.trec", "--metric", "MRR@10")
    corpora = ("--documents", "it=it.jsonl", "--documents", "de=de.jsonl")
    result = invoke(*options, *corpora, "--json")
    found = json.loads(result.stdout)
    # Three queries find a translation second, five find the Italian one first.
    assert found["figures"]["mixed"]["MRR@10"]["mean"] == pytest.approx((3 * 1 / 2 + 5) / 8)
    german, italian = found["languages"]
    assert (german["language"], german["queries"], italian["queries"]) == ("de", 4, 8)
    assert german["figures"]["mixed"]["MRR@10"]["mean"] == pytest.approx(3 * 1 / 2 / 4)
    assert italian["figures"]["mixed"]["MRR@10"]["mean"] == 1
    assert german["relevant_share"] == pytest.approx(4 * 1 / 2 / 8)
    assert german["ranked_shares"]["mixed"] == pytest.approx(3 * 2 / 3 / 8)

    table = invoke(*options, *corpora).stdout
    assert "each language alone" in table
    rows = [line.split() for line in table.splitlines()]
    assert ["4", "queries", "25.0%"] in rows
    assert ["mixed", "0.375", "25.0%"] in rows

    # The same by a list of languages, with judgements of the translations.
    judged = [f"{q}\t{language}:{q[1:]}\t1\n" for q in QUERIES for language in ("it", "de")]
    (languages / "mixed.tsv").write_text(
        "".join(line for line in judged if "de:" not in line or line[1] < "4")
    )
    names = [f"{language}:{number}\t{language}\n" for language in ("it", "de") for number in range(8)]
    (languages / "languages.tsv").write_text("".join(names))
    listed = invoke(
        "--qrels", "mixed.tsv", "--run", "mixed=mixed.trec", "--metric", "MRR@10",
        "--languages", "languages.tsv", "--json",
    )  # fmt: skip
    assert json.loads(listed.stdout) == found


def test_queries_whose_documents_have_no_translation_are_left_out(languages):
    (languages / "german.trec").write_text("".join(lines_of(q, f"de:{q[1:]}") for q in QUERIES))
    options = ("--qrels", "qrels.tsv", "--run", "german=german.trec", "--documents", "de=de.jsonl")
    result = invoke(*options, "--json")
    assert json.loads(result.stdout)["queries"] == 4
    assert "note: 4 of 8 judged queries have no relevant document in de; they are left out" in result.stderr
    (languages / "qrels.tsv").write_text("q0\tother\t1\n")
    assert refused(*options).startswith("no relevant document is in de, the first one judged is 'other'")


def test_documents_of_no_known_language_are_refused(languages):
    options = ("--qrels", "qrels.tsv", "--run", "mixed=mixed.trec")
    expected = "more: document 'fr:1': its language is not known; expected 'de:' or 'it:' before its id"
    corpora = ("--documents", "it=it.jsonl", "--documents", "de=de.jsonl")
    (languages / "more.trec").write_text(lines_of("q7", "fr:1", "it:7"))
    assert refused(*options, "--run", "more=more.trec", *corpora) == expected
    (languages / "languages.tsv").write_text("it:0\tit\n")
    message = refused(*options, "--languages", "languages.tsv")
    assert "its language is not known; expected every document in the list" in message


class TestBadInput:
    def test_names(self, folder):
        assert refused(*BOTH, "--baseline", "none") == "baseline 'none': expected one of good, bad"
        assert "metric 'recall': expected one of MRR@10" in refused(*BOTH, "--metric", "recall")

    def test_other_queries(self, folder):
        (folder / "other.trec").write_text(lines_of("topic-1", "1"))
        message = refused(*BOTH, "--run", "other=other.trec")
        assert message.startswith("other: holds none of the 8 judged queries, the first is 'q0'")

    def test_unanswered_queries_are_told(self, folder):
        (folder / "part.trec").write_text(lines_of("q0", "0") + lines_of("unjudged", "0"))
        result = invoke("--qrels", "qrels.tsv", "--run", "part=part.trec", "--metric", "MAP")
        assert "note: part answers 1 of 8 judged queries; the others count 0" in result.stderr

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("first.trec", lines_of("q0", "a", "a"), "first.trec:2: document 'a' of query 'q0' comes twice"),
            (
                "first.trec",
                "q0 a 1\n",
                "first.trec:1: got 3 columns, expected 'query-id Q0 doc-id rank score tag'",
            ),
            (
                "qrels.tsv",
                "q0 0 a high\n",
                "qrels.tsv:1: the grade is 'high', expected a whole number",
            ),
            ("qrels.tsv", "q0\ta\t0\n", "no judged query"),
        ],
    )
    def test_broken_files(self, folder, name, content, message):
        (folder / name).write_text(content)
        assert refused(*BOTH).startswith(message)

    def test_missing_files_and_folders(self, folder):
        assert refused("--qrels", "none.tsv", "--run", "a=first.trec").startswith("none.tsv: No such file")
        assert refused("--qrels", "qrels.tsv", "--run", "a=none.trec").startswith("none.trec: No such file")
        assert refused(*BOTH, "--plot", "none/x.png") == "--plot: there is no folder 'none'; make it first"

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--run", "first.trec"], "got 'first.trec', expected NAME=FILE"),
            (["--run", "good=copy.trec"], "'good' comes twice"),
            (["--documents", "it="], "got 'it=', expected LANG=FILE"),
            (
                ["--documents", "it=it.jsonl", "--languages", "l.tsv"],
                "either by --documents, or by --languages",
            ),
            (["--margin", "0"], "0.0 is not in the range x>0"),
        ],
    )
    def test_usage(self, folder, options, message):
        result = invoke(*BOTH, *options)
        assert result.exit_code == 2
        assert message in result.stderr


def test_the_help_names_every_metric():
    text = " ".join(invoke("--help").stdout.split())
    assert [metric for metric in METRICS if metric not in text] == []
    assert f"[default: {', '.join(DEFAULT_METRICS)}]" in text
