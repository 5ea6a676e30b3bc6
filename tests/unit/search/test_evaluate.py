"""The pure parts of an evaluation, by hand arithmetic."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from ce2de_os.cli.queries.evaluate_tables import latency_table, quality_table, tuning_lines
from ce2de_os.errors import ConfigError, DataError
from ce2de_os.evaluation import paired_t_test
from ce2de_os.evaluation.figures import Figure, compare_with_references
from ce2de_os.quality.comparison import (
    Comparison,
    ComparisonSettings,
    Latency,
    SystemResult,
    Tuning,
    warnings,
)
from ce2de_os.quality.comparison_plot import draw
from ce2de_os.quality.evaluate import KeptLogits, first_of_each, split
from ce2de_os.quality.systems import Weighting
from ce2de_os.records import Hit, ScoredDoc

METRICS = ("nDCG@10", "MRR@10", "Recall@100")


def run_of(*doc_ids):
    return [ScoredDoc(doc_id, -float(rank)) for rank, doc_id in enumerate(doc_ids)]


def test_percentiles_lie_between_the_two_nearest_values():
    # 0, 1, ..., 100: each percentile is its own number; of 1 and 3, the 90th lies at 1 + 0.9 * 2.
    assert Latency.of(range(101)) == Latency(50, 90, 99, 101)
    assert Latency.of([1, 3]) == pytest.approx(Latency(2, 2.8, 2.98, 2))


class TestSplit:
    def test_halves_are_disjoint_complete_and_in_order(self):
        ids = [f"q{number:02d}" for number in range(21)]
        dev, test = split(ids, seed=3)
        assert (len(dev), len(test)) == (10, 11)
        assert sorted([*dev, *test]) == ids
        assert (dev, test) == (sorted(dev), sorted(test))

    def test_the_seed_decides(self):
        ids = [str(number) for number in range(40)]
        assert split(ids, 1) == split(ids, 1)
        assert split(ids, 1) != split(ids, 2)
        # not the order of the file
        assert set(split(ids[::-1], 1)[0]) == set(split(ids, 1)[0])

    def test_too_few_queries(self):
        with pytest.raises(DataError, match="got 3 judged queries, expected at least 4"):
            split(["a", "b", "c"], 0)


QRELS = {"p": {"a": 1}, "q": {"a": 1}, "r": {"a": 1}}
RUNS = {
    "first": {"p": run_of("a"), "q": run_of("x", "a"), "r": run_of("x", "y", "a")},
    "second": {"p": run_of("a"), "q": run_of("a"), "r": run_of("x", "a")},
    "third": {"p": run_of("x"), "q": run_of("x"), "r": run_of("x")},
}
REFERENCES = {"second": "first", "third": "first"}


class TestFigures:
    def test_means_by_hand(self):
        figures = compare_with_references(QRELS, RUNS, REFERENCES, Figure.of)
        assert figures["first"]["MRR@10"].mean == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
        assert figures["first"]["nDCG@10"].mean == pytest.approx((1 + 1 / math.log2(3) + 1 / 2) / 3)
        assert figures["third"]["Recall@100"] == Figure(0, 0, 0, 0.0, 0.0)  # 1 less in every query
        assert figures["first"]["MRR@10"].low <= figures["first"]["MRR@10"].mean
        assert figures["first"]["MRR@10"].high <= 1

    def test_p_values_are_corrected_over_the_comparisons_of_one_metric(self):
        figures = compare_with_references(QRELS, RUNS, REFERENCES, Figure.of)
        first = {"p": 1.0, "q": 1 / 2, "r": 1 / 3}
        better = paired_t_test({"p": 1.0, "q": 1.0, "r": 1 / 2}, first)
        worse = paired_t_test(dict.fromkeys("pqr", 0.0), first)
        small, large = sorted([better, worse])
        assert figures["second"]["MRR@10"].p == pytest.approx(better)
        # Holm: the smaller of two is doubled, the larger stays unless it would fall below it
        corrected = {small: 2 * small, large: max(large, 2 * small)}
        assert figures["second"]["MRR@10"].p_holm == pytest.approx(corrected[better])
        assert figures["third"]["MRR@10"].p_holm == pytest.approx(corrected[worse])

    def test_the_baseline_has_no_test(self):
        assert compare_with_references(QRELS, RUNS, REFERENCES, Figure.of)["first"]["MRR@10"].p is None


def test_an_id_that_two_indices_hold_counts_where_it_comes_first():
    hits = [Hit(doc_id, score, 1, {}, None, None) for doc_id, score in (("a", 3.0), ("b", 2.0), ("a", 1.0))]
    assert first_of_each(hits) == [ScoredDoc("a", 3.0), ScoredDoc("b", 2.0)]


def test_each_pair_is_scored_once():
    asked = []

    class Lengths:
        def score(self, query, documents):
            asked.append((query, list(documents)))
            return np.array([len(query) + len(text) for text in documents], dtype=np.float32)

    kept = KeptLogits(Lengths())
    assert kept.score("q", ["aa", "b"]).tolist() == [3, 2]
    assert kept.score("q", ["b", "cccc", "aa", "cccc"]).tolist() == [2, 5, 3, 5]
    assert kept.score("qq", ["b"]).tolist() == [3]
    assert asked == [("q", ["aa", "b"]), ("q", ["cccc"]), ("qq", ["b"])]


def result_of(name, reference, mean, p=None, latency=None, partial=0):
    figures = {metric: Figure(mean, mean - 0.05, mean + 0.05, p, p) for metric in METRICS}
    return SystemResult(name, reference, {}, "pipeline", figures, partial, latency)


FOUND = Comparison(
    "articles", 40, 2, 90, Tuning(Weighting("l2", 0.7), 39, {"l2 0.7": 0.61, "rrf 0.5": 0.6}),
    [
        result_of("BM25", None, 0.5, latency=Latency(4, 5, 6, 40)),
        result_of("hybrid l2", "BM25", 0.6, 0.0004, Latency(8, 9, 99, 40), partial=3),
        result_of("dense", "BM25", 0.45, 0.03, Latency(7, 9, 11, 40)),
        result_of("hybrid rrf", "BM25", 0.55, 0.2, Latency(70, 90, 91, 40)),
    ],
    ComparisonSettings(tune=True),
)  # fmt: skip


def cells(table, column):
    return [str(cell) for cell in table.columns[column].cells]


class TestTables:
    def test_significant_differences_are_marked(self):
        table = quality_table(FOUND)
        assert cells(table, 1) == [
            "0.500\n0.450-0.550", "0.600 ▲\n0.550-0.650", "0.450 ▼\n0.400-0.500", "0.550\n0.500-0.600",
        ]  # fmt: skip
        assert cells(table, 5) == ["", "<0.001", "0.030", "0.200"]
        assert "the test half" in str(table.title)

    def test_latency(self):
        assert cells(latency_table(FOUND), 3) == ["6.0", "99.0", "11.0", "91.0"]

    def test_tuning_tells_both_halves_and_how_to_use_it(self):
        lines = list(tuning_lines(FOUND))
        assert "39 other queries: l2 0.7 is best there of 2 (nDCG@10 0.610)" in lines[0]
        assert lines[-1].endswith(
            'HybridSearcher(client, "articles", encoder, fusion="l2", dense_weight=0.7)'
        )

    def test_doubtful_figures_are_told(self):
        assert list(warnings(FOUND)) == [
            "2 of 90 relevant documents are not in articles; they count as not found",
            "hybrid l2: 3 answers are incomplete (a shard failed or timed out)",
        ]


def test_json_is_plain():
    found = json.loads(json.dumps(FOUND.to_json()))
    assert found["tuning"]["chosen"] == {"fusion": "l2", "dense_weight": 0.7}
    assert found["systems"][0]["latency_ms"] == {"p50": 4, "p90": 5, "p99": 6, "searches": 40}


class TestPlot:
    def test_both_files_and_the_same_every_time(self, tmp_path):
        paths = draw(FOUND, tmp_path / "quality.png")
        assert [path.name for path in paths] == ["quality.png", "quality.svg"]
        assert paths[0].read_bytes().startswith(b"\x89PNG")
        first = paths[1].read_bytes()
        assert ElementTree.fromstring(first).tag.endswith("svg")
        assert draw(FOUND, tmp_path / "quality.svg")[1].read_bytes() == first
        assert len(list(tmp_path.iterdir())) == 2

    def test_without_latency(self, tmp_path):
        untimed = Comparison("articles", 1, 0, 1, None, [result_of("BM25", None, 0.5)], ComparisonSettings())
        with pytest.raises(ConfigError, match="needs latencies"):
            draw(untimed, tmp_path / "quality.png")
