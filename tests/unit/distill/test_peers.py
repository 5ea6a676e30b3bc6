"""BM25 and the static table by hand, and the cache of rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tokenizers import Tokenizer

from ce2de_os.distill.models.teacher import load_teacher
from ce2de_os.distill.report import peers
from ce2de_os.distill.report.peers import StaticTable, bm25_runs, kept_rows, static_table, teacher_peer
from ce2de_os.evaluation import Collection
from tests.unit.distill.tiny import WORDS


def collection(documents, queries):
    doc_ids = [f"d{row}" for row in range(len(documents))]
    query_ids = [f"q{row}" for row in range(len(queries))]
    return Collection("tiny", doc_ids, documents, query_ids, queries, {q: {"d0": 1} for q in query_ids})


def test_bm25_by_hand():
    found = bm25_runs(collection(["red fox fox", "red dog", "blue bird"], ["fox", "the red"]))
    # Lucene: idf = ln(1 + (N - n + 0.5) / (n + 0.5)), tf part = f / (f + k1 (1 - b + b length / mean length))
    mean_length = (3 + 2 + 2) / 3
    fox = math.log(1 + (3 - 1 + 0.5) / (1 + 0.5)) * 2 / (2 + 1.2 * (1 - 0.75 + 0.75 * 3 / mean_length))
    assert [doc.doc_id for doc in found["q0"]] == ["d0"]
    assert found["q0"][0].score == pytest.approx(fox, rel=1e-5)
    assert [doc.doc_id for doc in found["q1"]] == ["d1", "d0"]  # the shorter document first


def test_bm25_orders_equal_scores_as_the_corpus_and_leaves_out_documents_without_a_word():
    found = bm25_runs(collection(["cat", "dog", "cat", "cat"], ["cat", "of the", "unicorn"]), top_k=2)
    assert [doc.doc_id for doc in found["q0"]] == ["d0", "d2"]
    assert found["q1"] == found["q2"] == []


def test_bm25_of_documents_without_words():
    assert bm25_runs(collection(["the", "?"], ["word"])) == {"q0": []}


def test_static_table_by_hand():
    vectors = np.array([[1, 0], [0, 1], [3, 4]], np.float32)
    table = StaticTable(vectors, lambda texts: [[int(token) for token in text.split()] for text in texts])
    embed = table.fit(["0 0 0 1"])
    # p is 3/4, 1/4 and 0, so the weights are 0.001 / 0.751, 0.001 / 0.251 and 1.
    w0, w1 = 0.001 / 0.751, 0.001 / 0.251
    # The only document's vector is the common direction.
    common = np.array([3 * w0 / 4, w1 / 4])
    common /= np.linalg.norm(common)
    query = (np.array([0, w1]) + np.array([3, 4])) / 2
    expected = query - (query @ common) * common
    np.testing.assert_allclose(embed(["1 2"])[0], expected / np.linalg.norm(expected), rtol=1e-4)
    np.testing.assert_array_equal(embed([""]), [[0, 0]])


def test_static_table_holds_each_token_as_the_teacher_embeds_it_alone(teacher_folder, tmp_path):
    teacher = load_teacher(str(teacher_folder))
    seen = []
    table = static_table(teacher, tmp_path, seen.append)
    token = teacher.tokenizer.token_to_id(WORDS[3])
    alone = teacher_peer(teacher, precision="fp32").encode_documents([WORDS[3]])[0]
    np.testing.assert_allclose(table.vectors[token], alone, atol=1e-6)
    assert len(table.vectors) == seen[-1] == teacher.model.config.vocab_size
    assert table.tokenize([f"{WORDS[3]} {WORDS[3]}"]) == [[token, token]]
    np.testing.assert_array_equal(static_table(teacher, tmp_path).vectors, table.vectors)


def test_the_teachers_tokenizer_keeps_its_settings(teacher_folder):
    teacher = load_teacher(str(teacher_folder))
    teacher.tokenizer.enable_truncation(7)
    teacher_peer(teacher, max_length=3)
    assert isinstance(teacher.tokenizer, Tokenizer)
    assert teacher.tokenizer.truncation["max_length"] == 7


def test_teacher_reads_at_most_max_length_tokens(teacher_folder):
    embed = teacher_peer(load_teacher(str(teacher_folder)), max_length=4).encode_documents
    two, three = embed([" ".join(WORDS[:2])]), embed([" ".join(WORDS[:3])])
    np.testing.assert_array_equal(two, three)  # two words and the two special tokens


def test_rows_are_computed_once_and_an_interruption_loses_one_chunk(tmp_path):
    computed = []

    def compute(items):
        if "bad" in items:
            raise KeyboardInterrupt
        computed.extend(items)
        return np.array([[len(item)] for item in items], np.float32)

    with pytest.raises(KeyboardInterrupt):
        kept_rows(tmp_path, "key", ["a", "bb", "bad", "dddd"], compute, chunk=2)
    done = []
    rows = kept_rows(tmp_path, "key", ["a", "bb", "ccc"], compute, done.append, chunk=2)
    assert rows.tolist() == [[1], [2], [3]]
    assert computed == ["a", "bb", "ccc"]
    assert done == [2, 3]
    assert not list(tmp_path.glob("*.partial*"))


def test_rows_of_another_key_are_other_rows(tmp_path):
    for key, value in (("left", 1.0), ("right", 2.0)):
        found = kept_rows(tmp_path, key, ["a"], lambda items, value=value: np.array([[value]], np.float32))
        assert found.tolist() == [[value]]


def test_without_a_folder_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert kept_rows(None, "key", ["a"], lambda items: np.ones((1, 1), np.float32)).tolist() == [[1]]
    assert not list(tmp_path.iterdir())


def test_bm25_states_the_number_of_stop_words():
    from bm25s.stopwords import STOPWORDS_EN

    assert f" {len(STOPWORDS_EN)} English stop words" in peers.BM25_WORDS
