"""Comparisons of runs, by hand."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest

from ce2de_os.errors import ConfigError, DataError
from ce2de_os.evaluation import measure
from ce2de_os.evaluation.comparison import Answers, compare_runs
from ce2de_os.evaluation.comparison_plot import draw
from ce2de_os.evaluation.languages import mixed_language
from ce2de_os.evaluation.significance import better_than, tost
from ce2de_os.records import ScoredDoc

QUERIES = [f"q{number}" for number in range(6)]
QRELS = {query_id: {"it:1": 1, "de:1": 1} for query_id in QUERIES} | {"q5": {"it:1": 1}}


def run_of(*doc_ids):
    return [ScoredDoc(doc_id, -float(rank)) for rank, doc_id in enumerate(doc_ids)]


def runs_of(*orders):
    return {query_id: run_of(*order.split()) for query_id, order in zip(QUERIES, orders, strict=False)}


FIRST, SECOND = "it:1 x:0 de:1", "x:0 it:1 de:1"
RUNS = {
    "base": runs_of(SECOND, SECOND, FIRST, SECOND, FIRST, SECOND),
    "good": runs_of(FIRST, FIRST, FIRST, FIRST, FIRST, FIRST),
    "same": runs_of(SECOND, FIRST, SECOND, SECOND, FIRST, SECOND),
}
LANGUAGES = mixed_language({"it", "de", "x"})


def test_means_and_tests_by_hand():
    found = compare_runs(RUNS, QRELS, baseline="base", metrics=["MRR@10", "MAP"])
    assert (found.queries, found.metrics, found.comparisons) == (6, ("MRR@10", "MAP"), 2)
    base = found.figures["base"]["MRR@10"]
    assert base.mean == pytest.approx((4 * 1 / 2 + 2) / 6)
    assert base.low < base.mean < base.high
    assert (base.better, base.equivalent) == (None, None)
    assert found.figures["good"]["MAP"].mean == pytest.approx((5 * (1 + 2 / 3) / 2 + 1) / 6)
    assert found.figures["good"]["MRR@10"].scores == dict.fromkeys(QUERIES, 1.0)

    scores = {name: measure(QRELS, run, "MRR@10") for name, run in RUNS.items()}
    for name in ("good", "same"):
        figure = found.figures[name]["MRR@10"]
        p = better_than(scores[name], scores["base"])
        assert (figure.better.p, figure.better.corrected) == pytest.approx((p, min(1, 2 * p)))
        p = tost(scores[name], scores["base"], 0.05)
        assert (figure.equivalent.p, figure.equivalent.corrected) == pytest.approx((p, min(1, 2 * p)))


def test_the_margin_decides_what_is_equivalent():
    def equivalent(margin):
        found = compare_runs(RUNS, QRELS, baseline="base", metrics=["MRR@10"], margin=margin)
        return found.figures["same"]["MRR@10"].equivalent.corrected < 0.05

    assert (equivalent(0.05), equivalent(2.0)) == (False, True)
    with pytest.raises(ConfigError, match="margin: got 0"):
        equivalent(0)


def test_without_a_baseline_nothing_is_tested():
    found = compare_runs(RUNS, QRELS, metrics=["MAP", "MAP"])
    assert (found.baseline, found.comparisons, found.metrics) == (None, 0, ("MAP",))
    assert all(one["MAP"].better is None and one["MAP"].equivalent is None for one in found.figures.values())


def test_how_far_rankings_go():
    run = {"q0": run_of("x:0", "it:1"), "q1": [], "unjudged": run_of("a", "b", "c")}
    found = compare_runs({"short": run}, QRELS, metrics=["MRR@10"])
    assert found.answers["short"] == Answers(missing=5, depth=2, relevant=1)
    assert found.figures["short"]["MRR@10"].mean == pytest.approx(1 / 2 / 6)


def test_each_language_is_measured_alone():
    found = compare_runs(RUNS, QRELS, baseline="base", metrics=["MRR@10", "nDCG@20"], language_of=LANGUAGES)
    german, italian, other = found.languages
    assert [one.language for one in found.languages] == ["de", "it", "x"]
    assert (german.queries, italian.queries, other.queries) == (5, 6, 0)
    # Without the other languages' documents each relevant one comes first, in every system.
    for one in (german, italian):
        assert {system["MRR@10"].mean for system in one.figures.values()} == {1.0}
        assert one.figures["good"]["MRR@10"].equivalent.corrected == 0
        assert one.figures["good"]["MRR@10"].better.corrected == 1
    assert other.figures == {}
    # Of q5 only the Italian document is relevant, of the others one in each language.
    assert german.relevant_share == pytest.approx(5 / 6 * 1 / 2)
    assert italian.relevant_share == pytest.approx((5 * 1 / 2 + 1) / 6)
    assert other.relevant_share == 0
    assert other.ranked_shares == pytest.approx(dict.fromkeys(RUNS, 1 / 3))
    # In the ranking of all languages the gain of the German document is that of its place, the third.
    ideal = 1 + 1 / math.log2(3)
    assert found.figures["good"]["nDCG@20"].scores["q0"] == pytest.approx((1 + 1 / math.log2(4)) / ideal)


class TestBadInput:
    def test_no_judgements(self):
        with pytest.raises(DataError, match="no judged query"):
            compare_runs(RUNS, {})

    def test_other_queries(self):
        other = {"topic-1": run_of("it:1")}
        with pytest.raises(DataError, match="other: holds none of the 6 judged queries, the first is 'q0'"):
            compare_runs({**RUNS, "other": other}, QRELS)

    def test_unknown_names(self):
        with pytest.raises(DataError, match="baseline 'none': expected one of base, good, same"):
            compare_runs(RUNS, QRELS, baseline="none")
        with pytest.raises(DataError, match="metric 'ndcg': expected one of"):
            compare_runs(RUNS, QRELS, metrics=["ndcg"])

    def test_a_document_of_no_language_names_its_run(self):
        with pytest.raises(DataError, match="base: document 'x:0': its language is not known"):
            compare_runs(RUNS, QRELS, language_of=mixed_language({"it", "de"}))


@pytest.mark.parametrize("language_of", [None, LANGUAGES])
@pytest.mark.parametrize("baseline", [None, "base"])
def test_the_picture_has_a_row_for_each_language(tmp_path, baseline, language_of):
    runs = {**RUNS, "costs $ and $": RUNS["base"]}
    found = compare_runs(runs, QRELS, baseline=baseline, metrics=["MAP", "MRR@10"], language_of=language_of)
    png, svg = draw(found, tmp_path / "means.png")
    assert png.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["means.png", "means.svg"]
    panels = [
        element.get("id") for element in ElementTree.parse(svg).iter()
        if (element.get("id") or "").startswith("axes_")
    ]  # fmt: skip
    assert len(panels) == 2 * (3 if language_of else 1)
    first = svg.read_bytes()
    draw(found, tmp_path / "means.svg")
    assert svg.read_bytes() == first
