"""Evaluation: rankings that can be computed by hand, intervals, tests, and the file."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from scipy import stats
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from ce2de_os.distill.models.cross_encoder import CrossEncoder
from ce2de_os.distill.report.evaluate import Evaluation, Systems, evaluate, rerank
from ce2de_os.distill.report.page import Cell, Table
from ce2de_os.distill.report.peers import Peer, StaticTable
from ce2de_os.distill.report.quality import quality_section
from ce2de_os.errors import DataError
from ce2de_os.evaluation import Collection
from ce2de_os.evaluation.figures import KeptFigure, compare_with_references
from ce2de_os.evaluation.significance import holm, ratio_interval
from ce2de_os.records import ScoredDoc
from tests.unit.distill.tiny import WORDS as TOKENS
from tests.unit.distill.tiny import save_tiny_cross_encoder

WORDS = ("apple", "pear", "plum", "fig")
DOCUMENTS = ["apple apple", "pear", "plum", "fig apple"]


def peer(name, vectors):
    """An encoder that knows each word's vector and averages them."""

    def encode(texts):
        rows = [np.mean([vectors[word] for word in text.split()], axis=0) for text in texts]
        return np.array([row / np.linalg.norm(row) for row in rows], np.float32)

    return Peer(name, name, encode, encode)


EXACT = dict(zip(WORDS, np.eye(4), strict=True))
# Takes pears for apples and apples for pears.
SWAPPED = dict(zip(WORDS, np.eye(4)[[1, 0, 2, 3]], strict=True))


@pytest.fixture
def collection():
    qrels = {"q0": {"d0": 1}, "q1": {"d1": 1}, "q2": {"d2": 1}}
    return Collection(
        "fruit", ["d0", "d1", "d2", "d3"], DOCUMENTS, list(qrels), ["apple", "pear", "plum"], qrels
    )


def figure(evaluation, system, metric="nDCG@10"):
    return evaluation.figure("fruit", system, metric)


def test_perfect_teacher_and_a_student_that_errs(collection):
    found = evaluate([collection], Systems(peer("de", EXACT), peer("s", SWAPPED)))
    assert figure(found, "DE").mean == 1
    # Both confuse alike, so the student alone is right too; its queries miss in the DE's space:
    assert figure(found, "student int8").mean == pytest.approx(1)
    # "apple" points at d1, then d0, d2, d3 in the corpus's order: relevant at rank 2. "pear" points at d0,
    # d3 (half an apple), then d1: rank 3. "plum" is right.
    asymmetric = figure(found, "asymmetric")
    assert asymmetric.mean == pytest.approx((1 / math.log2(3) + 1 / math.log2(4) + 1) / 3)
    assert figure(found, "asymmetric", "MRR@10").mean == pytest.approx((1 / 2 + 1 / 3 + 1) / 3)
    assert asymmetric.kept == pytest.approx(asymmetric.mean)
    assert figure(found, "BM25").mean == 1
    assert figure(found, "BM25").kept is None


def test_order_and_references(collection):
    table = StaticTable(
        np.eye(4, dtype=np.float32), lambda texts: [list(map(WORDS.index, t.split())) for t in texts]
    )
    systems = Systems(peer("de", EXACT), peer("s", EXACT), peer("f", EXACT), table, Reverser())
    (result,) = evaluate([collection], systems).collections
    assert [(one.system, one.reference) for one in result.systems] == [
        ("BM25", None),
        ("DE", None),
        ("student int8", "DE"),
        ("student fp32", "DE"),
        ("asymmetric", "DE"),
        ("static table", "DE"),
        ("BM25 + DE", None),
        ("BM25 + student int8", "BM25 + DE"),
        ("BM25 + asymmetric", "BM25 + DE"),
        ("BM25, CE re-ranks", None),
        ("BM25 + student int8, CE re-ranks", None),
    ]
    assert (result.documents, result.queries) == (4, 3)


class Reverser:
    """Thinks most of the longest document."""

    def __init__(self):
        self.read = []

    def logits(self, pairs):
        self.read += pairs
        return np.array([len(document) for _, document in pairs], np.float32)


def test_rerank_sorts_the_head_and_leaves_the_tail(collection):
    runs = {q: [ScoredDoc(f"d{n}", 4.0 - n) for n in (1, 2, 0, 3)] for q in collection.query_ids}
    scorer = Reverser()
    found = rerank(collection, runs, scorer, 3)
    # lengths: d0 11, d1 4, d2 4; equal logits stay in the order of the run
    assert [doc.doc_id for doc in found["q0"]] == ["d0", "d1", "d2", "d3"]
    assert scorer.read[:3] == [("apple", "pear"), ("apple", "plum"), ("apple", "apple apple")]
    assert len(scorer.read) == 3 * 3


def test_rerank_keeps_the_logits_of_a_named_scorer(collection, tmp_path):
    runs = {q: [ScoredDoc("d0", 1.0)] for q in collection.query_ids}
    first, second = Reverser(), Reverser()
    first.digest = second.digest = "weights"
    assert rerank(collection, runs, first, 5, tmp_path) == rerank(collection, runs, second, 5, tmp_path)
    assert second.read == []


def test_rerank_with_a_cross_encoder_gives_its_logits(collection, tmp_path):
    folder = save_tiny_cross_encoder(tmp_path / "ce")
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    scorer = CrossEncoder("tiny", model, tokenizer, 32, "weights", torch.device("cpu"), "fp32")
    texts = [" ".join(TOKENS[:4]), " ".join(TOKENS[9:30])]
    tiny = replace(collection, documents=[*texts, "", ""], queries=[TOKENS[5]] * 3)
    runs = {q: [ScoredDoc("d0", 2.0), ScoredDoc("d1", 1.0)] for q in tiny.query_ids}
    first, second = scorer.logits([(TOKENS[5], text) for text in texts]).tolist()
    assert first != second
    found = rerank(tiny, runs, scorer, 2, tmp_path / "cache")["q1"]
    best = [("d0", first), ("d1", second)] if first > second else [("d1", second), ("d0", first)]
    assert [doc.doc_id for doc in found] == [doc_id for doc_id, _ in best]
    assert [doc.score for doc in found] == pytest.approx([logit for _, logit in best], abs=1e-5)


def test_rerank_of_nothing(collection):
    runs = {q: [] for q in collection.query_ids}
    assert rerank(collection, runs, Reverser(), 5) == runs


def test_p_values_are_those_of_a_paired_t_test_and_are_corrected():
    qrels = {f"q{n}": {"a": 1} for n in range(6)}
    first = [ScoredDoc("a", 2.0), ScoredDoc("b", 1.0)]
    second = first[::-1]
    runs = {
        "reference": {q: first for q in qrels},
        "poor": {q: first if n < 2 else second for n, q in enumerate(qrels)},
        "fair": {q: first if n < 5 else second for n, q in enumerate(qrels)},
    }
    compared = {"poor": "reference", "fair": "reference"}
    figures = compare_with_references(qrels, runs, compared, KeptFigure.of)
    found = {name: one["MRR@10"] for name, one in figures.items()}
    by_scipy = stats.ttest_rel([1, 1, 0.5, 0.5, 0.5, 0.5], [1] * 6).pvalue
    assert found["poor"].p == pytest.approx(by_scipy)
    assert found["poor"].p_holm == pytest.approx(2 * by_scipy)
    assert found["fair"].p_holm == found["fair"].p  # the larger of the two
    assert found["poor"].kept == pytest.approx((2 + 4 * 0.5) / 6)
    assert found["poor"].kept_low <= found["poor"].kept <= found["poor"].kept_high
    assert found["reference"].p is None


def test_a_reference_that_finds_nothing_keeps_no_share():
    qrels = {"q0": {"a": 1}, "q1": {"a": 1}}
    runs = {"reference": {q: [] for q in qrels}, "other": {q: [ScoredDoc("a", 1.0)] for q in qrels}}
    other = compare_with_references(qrels, runs, {"other": "reference"}, KeptFigure.of)["other"]["nDCG@10"]
    assert (other.mean, other.kept, other.kept_low) == (1.0, None, None)


def test_holm_by_hand():
    # Sorted: 0.01 * 3, 0.02 * 2 = 0.04, 0.03 * 1 raised to the one before it.
    assert holm([0.02, 0.01, 0.03]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_ratio_interval_keeps_the_pairs():
    right = {f"q{n}": float(n + 1) for n in range(20)}
    half = {query: value / 2 for query, value in right.items()}
    assert ratio_interval(half, right) == (0.5, 0.5)  # any resample of pairs has this ratio
    with pytest.raises(DataError, match="same queries"):
        ratio_interval({"a": 1.0}, {"b": 1.0})


def test_file_gives_back_what_was_found(collection, tmp_path):
    found = evaluate([collection], Systems(peer("de", EXACT), peer("s", EXACT)))
    found.save(tmp_path / "evaluation.json")
    assert Evaluation.load(tmp_path / "evaluation.json") == found
    assert json.loads((tmp_path / "evaluation.json").read_text()) == asdict(found)
    assert found.kept() == 1.0
    assert Evaluation([]).kept() is None


@pytest.mark.parametrize("content", ["{", "[]", '{"collections": [{}], "settings": {}}'])
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "evaluation.json").write_text(content)
    with pytest.raises(DataError, match=r"evaluation\.json: not an evaluation"):
        Evaluation.load(tmp_path / "evaluation.json")


def test_embeddings_are_kept(collection, tmp_path):
    calls = []

    def encode(texts):
        calls.append(list(texts))
        return peer("de", EXACT).encode_documents(texts)

    for _ in range(2):
        evaluate([collection], Systems(Peer("de", "k", encode, encode), peer("s", EXACT)), cache=tmp_path)
    assert calls == [DOCUMENTS, ["apple", "pear", "plum"]]


def test_embeddings_that_are_not_finite_are_refused(collection):
    broken = Peer("broken", "b", *[lambda texts: np.full((len(texts), 4), np.nan, np.float32)] * 2)
    with pytest.raises(DataError, match="student int8: gives embeddings that are not finite"):
        evaluate([collection], Systems(peer("de", EXACT), broken))


def test_progress_reaches_the_end_of_every_step(collection):
    last = {}
    evaluate(
        [collection], Systems(peer("de", EXACT), peer("s", EXACT), cross_encoder=Reverser()), rerank_depth=1,
        phase=lambda name, done, total: last.update({name: (done, total)}),
    )  # fmt: skip
    assert last == {
        "fruit: BM25": (1, 1),
        "fruit: DE": (7, 7),
        "fruit: student int8": (7, 7),
        "fruit: CE reads BM25": (3, 3),
        "fruit: CE reads BM25 + student int8": (3, 3),
    }


def test_table_shows_every_system_with_its_interval(collection):
    found = evaluate([collection], Systems(peer("de", EXACT), peer("s", SWAPPED)))
    (table,) = [block for block in quality_section(found).blocks if isinstance(block, Table)]
    assert table.title == "fruit: 4 documents, 3 queries"
    cells = next(row for row in table.rows if row[0].text == "asymmetric")
    asymmetric = figure(found, "asymmetric")
    interval = f"[{asymmetric.low:.3f}, {asymmetric.high:.3f}]"
    assert cells[1] == Cell(f"{asymmetric.mean:.3f}", interval)
    assert cells[2].text == f"{asymmetric.kept:.1%}"
    assert cells[4].text == f"{asymmetric.p_holm:.3f}"
