"""The score format on ids and lines that nobody would think of: many random ones, seeded."""

from __future__ import annotations

import gzip
import json
import math
import random
from importlib import import_module

import pytest

from ce2de_os.distill.data.score_file import read_scores, write_in_parts, write_scores
from ce2de_os.records import ScoredDoc

# Quotes, brackets, what ends a line somewhere, what is cut off elsewhere, other scripts, half a character
# (first halves alone: with a second half behind it JSON makes a character of the two).
ALPHABET = [
    *"a7[],/ ", '"', "\\", "\n", "\r", "\t", "\0", "\x1f", "\x85", "\u2028", "\u2029", "\ufeff",
    "é", "e\u0301", "ß", "Ж", "中", "\u202e", "😀", "\ud83d",
]  # fmt: skip


def odd_ids(rng, count):
    """Different ids; the empty one, and strings that look like numbers or JSON, among them."""
    found = dict.fromkeys(["", "0", "-1", "1.0", "1e5", "null", "true", "NaN", "[]", '{"work": "x"}'])
    while len(found) < count:
        found["".join(rng.choices(ALPHABET, k=rng.randint(1, 12)))] = None
    return rng.sample(list(found), count)


def odd_scores(rng, count):
    values = [0.0, -0.0, 1e-9, -1e-7, 5e-7, 1e29, -1e29, 1 / 3, 12345.6789012, 7.0]
    return [rng.choice([*values, rng.uniform(-30, 0), rng.gauss(0, 10)]) for _ in range(count)]


def odd_rankings(seed, queries=20):
    rng = random.Random(seed)
    rows = []
    for query_id in odd_ids(rng, queries):
        doc_ids = odd_ids(rng, rng.randint(10, 60))
        rows.append(
            (query_id, list(map(ScoredDoc, doc_ids, odd_scores(rng, len(doc_ids))))[: rng.randint(0, 60)])
        )
    return rows


@pytest.mark.parametrize("seed", range(8))
def test_any_ids_and_scores_come_back(tmp_path, seed):
    rows = odd_rankings(seed)
    for name in ("s.jsonl", "s.jsonl.gz"):
        write_scores(tmp_path / name, rows)
        found = list(read_scores(tmp_path / name))
        assert [(query_id, [doc.doc_id for doc in run]) for query_id, run in found] == [
            (query_id, [doc.doc_id for doc in run]) for query_id, run in rows
        ]
        pairs = zip(found, rows, strict=True)
        scores = [(got, asked) for (_, mine), (_, theirs) in pairs
                  for (_, got), (_, asked) in zip(mine, theirs, strict=True)]  # fmt: skip
        assert all(math.isclose(got, asked, rel_tol=1e-15, abs_tol=0.5e-6) for got, asked in scores)
        write_scores(tmp_path / f"again-{name}", found)
    content = (tmp_path / "s.jsonl").read_bytes()
    assert content.isascii()
    assert content.count(b"\n") == len(content.splitlines()) == len(rows)
    assert (tmp_path / "again-s.jsonl").read_bytes() == content
    assert gzip.decompress((tmp_path / "again-s.jsonl.gz").read_bytes()) == content


@pytest.mark.parametrize("seed", range(4))
def test_files_of_other_writers_are_read(tmp_path, seed):
    """Text that is not escaped, no spaces or many, empty lines, lines that end as on Windows."""
    rng = random.Random(seed)
    kept = [letter for letter in ALPHABET if not "\ud800" <= letter <= "\udfff"]
    rows = [["".join(rng.choices(kept, k=8)) + str(n), *[[f"{n} {m} Ж\u2028", m / 8] for m in range(n)]]
            for n in range(9)]  # fmt: skip
    for end in ("\n", "\r\n", "\n\n \n"):
        for separators in ((",", ":"), (" , ", " : ")):
            lines = (json.dumps(row, ensure_ascii=False, separators=separators) for row in rows)
            content = end.join(lines).encode()  # the last line has no end
            (tmp_path / "s.jsonl.gz").write_bytes(gzip.compress(content))
            assert list(read_scores(tmp_path / "s.jsonl.gz")) == [
                (row[0], [ScoredDoc(*pair) for pair in row[1:]]) for row in rows
            ]


def test_published_files_with_numbers_as_ids_are_read_like_strings(tmp_path):
    rng = random.Random(3)
    rows = [
        [n, *([doc_id, -rng.random() * 20] for doc_id in rng.sample(range(8_841_823), 50))]
        for n in rng.sample(range(1_185_869), 30)
    ]
    rows[0][1][0], rows[0][2][0] = 2**70, -1
    rows[1][1][1] = -3  # a score without a point
    as_text = [[str(row[0]), *([str(doc_id), score] for doc_id, score in row[1:])] for row in rows]
    for name, content in (("numbers", rows), ("text", as_text)):
        with gzip.open(tmp_path / f"{name}.jsonl.gz", "wt") as file:
            file.writelines(json.dumps(row) + "\n" for row in content)
    found = list(read_scores(tmp_path / "numbers.jsonl.gz"))
    assert found == list(read_scores(tmp_path / "text.jsonl.gz"))
    assert found[0][1][0].doc_id == "1180591620717411303424"
    assert {len(run) for _, run in found} == {50}


def test_a_huge_line_is_read(tmp_path):
    run = [ScoredDoc(f"{n} {'x' * 50}", n / 4) for n in range(100_000)]
    rows = [("a", [ScoredDoc("d", 1.0)]), ("q" * 1_000_000, run), ("z", [])]
    write_scores(tmp_path / "s.jsonl.gz", rows)
    assert list(read_scores(tmp_path / "s.jsonl.gz")) == rows


@pytest.mark.parametrize("seed", range(3))
def test_odd_ids_survive_an_interruption_at_any_place(tmp_path, seed, monkeypatch):
    rng = random.Random(seed)
    rows = [(query_id, run[:4]) for query_id, run in odd_rankings(seed, queries=15)]
    ids = [query_id for query_id, _ in rows]
    parts = [range(n, n + 3) for n in range(0, 15, 3)]

    def run(out):
        write_in_parts(out, "work", ids, parts, lambda part: [rows[n] for n in part], lambda _: None)

    run(tmp_path / "whole.jsonl")
    whole, out = (tmp_path / "whole.jsonl").read_bytes(), tmp_path / "s.jsonl"
    partial = tmp_path / "s.jsonl.partial"
    with monkeypatch.context() as patch:
        patch.setattr(import_module("ce2de_os.distill.data.score_file"), "_finish", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(out)
    content = partial.read_bytes()
    for size in rng.sample(range(len(content) + 1), 60):
        partial.write_bytes(content[:size])
        run(out)
        assert out.read_bytes() == whole, size
        out.unlink()


def interrupt(*_):
    raise KeyboardInterrupt
