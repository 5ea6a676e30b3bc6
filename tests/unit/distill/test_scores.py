"""Teachers' scores: the file format, scoring with interruptions, and merging."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from importlib import import_module

import numpy as np
import pytest

from ce2de_os.distill.data.score_file import only_known, read_scores, write_in_parts, write_scores
from ce2de_os.distill.training.scores import (
    MergeReport,
    ScoreReport,
    merge_scores,
    pairs_at_once,
    score_candidates,
)
from ce2de_os.errors import ConfigError, DataError
from ce2de_os.records import ScoredDoc
from tests.unit.distill.tiny import WORDS, save_tiny_cross_encoder


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    from ce2de_os.distill.models.cross_encoder import load_cross_encoder

    folder = save_tiny_cross_encoder(tmp_path_factory.mktemp("cross-encoder"))
    return load_cross_encoder(str(folder), max_length=16, precision="fp32")


def texts(prefix, count, seed):
    rng = random.Random(seed)
    return {f"{prefix}{n}": " ".join(rng.choices(WORDS, k=rng.randint(2, 9))) for n in range(count)}


QUERIES, DOCUMENTS = texts("q", 12, 1), texts("d", 30, 2)


@pytest.fixture
def candidates(tmp_path):
    rng = random.Random(3)
    rows = [(q, [ScoredDoc(d, 1.0) for d in rng.sample(list(DOCUMENTS), rng.randint(1, 9))]) for q in QUERIES]
    write_scores(tmp_path / "candidates.jsonl.gz", rows)
    return tmp_path / "candidates.jsonl.gz"


# The format


def test_scores_are_written_in_the_published_format_and_read_back(tmp_path):
    rows = [("q1", [ScoredDoc("d7", 4.25), ScoredDoc("d3", -1.5)]), ("ü\ud800", [ScoredDoc("x", 1 / 3)])]
    write_scores(tmp_path / "s.jsonl", rows)
    write_scores(tmp_path / "s.jsonl.gz", rows)
    content = (tmp_path / "s.jsonl").read_bytes()
    assert content.splitlines()[0] == b'["q1", ["d7", 4.25], ["d3", -1.5]]'
    assert gzip.decompress((tmp_path / "s.jsonl.gz").read_bytes()) == content
    expected = [rows[0], ("ü\ud800", [ScoredDoc("x", 0.333333)])]
    assert list(read_scores(tmp_path / "s.jsonl.gz")) == expected == list(read_scores(tmp_path / "s.jsonl"))


def test_ids_may_be_numbers(tmp_path):
    (tmp_path / "s.jsonl").write_text("[7, [12, 3], [13, -2.5]]\n\n")
    assert list(read_scores(tmp_path / "s.jsonl")) == [("7", [ScoredDoc("12", 3.0), ScoredDoc("13", -2.5)])]


GOOD = '["q0", ["d0", 1.0]]\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD + '["q1", ["d0", NaN]]\n', r"s\.jsonl:2: document 'd0' has the score nan, expected a finite"),
        (GOOD + '["q1", ["d0", -Infinity]]\n', r"s\.jsonl:2: document 'd0' has the score -inf"),
        (GOOD + '["q1", ["d0", 1' + "0" * 400 + "]]\n", r"s\.jsonl:2: document 'd0' has the score 1000"),
        (GOOD + '["q1", ["d0", "3"]]\n', r"s\.jsonl:2: document 'd0' has the score '3'"),
        (GOOD + '["q1", ["d0", true]]\n', r"s\.jsonl:2: document 'd0' has the score True"),
        (GOOD + '["q1", ["d0", 1.0], ["d1"', r"s\.jsonl:2: not JSON .*if the file was cut off"),
        (GOOD + '["q1", "d0", 1.0]\n', r"s\.jsonl:2: got 'd0'; expected a line such as"),
        (GOOD + '["q1", ["d0", 1.0, 2]]\n', r"s\.jsonl:2: got \['d0', 1.0, 2\]"),
        (GOOD + '["q1", [null, 1.0]]\n', r"s\.jsonl:2: got None as an id"),
        (GOOD + '[true, ["d0", 1.0]]\n', r"s\.jsonl:2: got True as an id"),
        (GOOD + "[]\n", r"s\.jsonl:2: got \[\]"),
        (GOOD + '{"q1": 3}\n', r's\.jsonl:2: got \{"q1": 3\}'),
        (GOOD + GOOD, r"s\.jsonl:2: query 'q0' comes a second time"),
        ('["q1", [1, 1.0], ["1", 2.0]]\n', r"s\.jsonl:1: a document of query 'q1' comes twice"),
        ("\n", r"s\.jsonl: holds no scores"),
    ],
)
def test_broken_files_name_the_line(tmp_path, content, message):
    (tmp_path / "s.jsonl").write_text(content)
    with pytest.raises(DataError, match=message):
        list(read_scores(tmp_path / "s.jsonl"))


def test_every_cut_of_a_gzip_file_is_noticed(tmp_path):
    path = tmp_path / "s.jsonl.gz"
    write_scores(path, [(f"q{n}", [ScoredDoc(f"d{n}", n)]) for n in range(50)])
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(DataError):
            list(read_scores(path))


def test_unknown_ids_are_counted_and_named():
    rows = [
        ("q0", [ScoredDoc("d0", 1), ScoredDoc("x", 2)]),
        ("z", [ScoredDoc("d0", 1)]),
        ("q1", [ScoredDoc("y", 1)]),
    ]
    with pytest.raises(
        DataError, match=r"f: names 1 queries \(z\) and 2 documents \(x, y\) that are not in this"
    ):
        only_known(rows, "f", {"q0", "q1"}, {"d0"})
    assert only_known(rows, "f", {"q0", "q1"}, {"d0"}, drop_unknown=True) == [("q0", [ScoredDoc("d0", 1)])]
    with pytest.raises(DataError, match="f: none of its queries and documents is in this collection"):
        only_known(rows, "f", {"q0"}, {"d9"}, drop_unknown=True)


# Scoring


def test_scores_are_the_logits_of_the_pairs(tmp_path, teacher, candidates):
    out, seen = tmp_path / "scores.jsonl.gz", []
    report = score_candidates(
        teacher, QUERIES, DOCUMENTS, candidates, out, progress=lambda done, total: seen.append((done, total))
    )
    asked, given = list(read_scores(candidates)), list(read_scores(out))
    assert [(q, [doc.doc_id for doc in run]) for q, run in given] == [
        (q, [doc.doc_id for doc in run]) for q, run in asked
    ]
    scored = [(q, doc.doc_id, doc.score) for q, run in given for doc in run]
    random.Random(4).shuffle(scored)
    logits = teacher.logits([(QUERIES[query_id], DOCUMENTS[doc_id]) for query_id, doc_id, _ in scored])
    assert [score for *_, score in scored] == pytest.approx(logits.tolist(), abs=2e-5)
    assert np.ptp(logits) > 0.1
    pairs = len(scored)
    assert report == ScoreReport(12, pairs, 0)
    assert seen[0] == (0, pairs)
    assert seen[-1] == (pairs, pairs)


def test_an_interrupted_teacher_gives_the_same_file(tmp_path, teacher, candidates, monkeypatch):
    monkeypatch.setattr(
        import_module("ce2de_os.distill.training.scores"), "_LARGEST_PART", 20
    )  # several parts of several queries
    whole, out = tmp_path / "whole.jsonl.gz", tmp_path / "scores.jsonl.gz"
    score_candidates(teacher, QUERIES, DOCUMENTS, candidates, whole)

    def stop(done, total):
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_candidates(teacher, QUERIES, DOCUMENTS, candidates, out, progress=stop)
    partial = tmp_path / "scores.jsonl.gz.partial"
    partial.write_bytes(partial.read_bytes()[:-30])  # in the middle of a part
    score_candidates(teacher, QUERIES, DOCUMENTS, candidates, out)
    assert out.read_bytes() == whole.read_bytes()
    assert not partial.exists()


def test_a_run_cut_off_at_any_byte_gives_the_same_file(tmp_path, monkeypatch):
    ids = [f"q{n}" for n in range(40)]
    parts = [range(1), range(1, 8), range(8, 9), *(range(n, n + 3) for n in range(9, 39, 3)), range(39, 40)]

    def compute(part):  # like a teacher, whose logits differ a little from batch to batch
        return [(ids[n], [ScoredDoc(f"d{m}", n + m + part.start / 1000) for m in range(n % 6)]) for n in part]

    def run(out):
        write_in_parts(out, "work", ids, parts, compute, lambda _: None)

    whole, out = tmp_path / "whole.jsonl.gz", tmp_path / "scores.jsonl.gz"
    run(whole)
    assert len(list(read_scores(whole))) == sum(n % 6 > 0 for n in range(40))
    partial = tmp_path / "scores.jsonl.gz.partial"
    with monkeypatch.context() as patch:  # what a run has written before it packs the file
        patch.setattr(import_module("ce2de_os.distill.data.score_file"), "_finish", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(out)
    content = partial.read_bytes()
    for size in range(len(content) + 1):
        partial.write_bytes(content[:size])
        run(out)
        assert out.read_bytes() == whole.read_bytes(), size
        assert not partial.exists()
        out.unlink()
    partial.write_bytes(content[:700] + b"\0" * 300)  # what a crashed file system may leave
    run(out)
    assert out.read_bytes() == whole.read_bytes()


def interrupt(*_):
    raise KeyboardInterrupt


KILLED = """
import sys, time
from pathlib import Path
from ce2de_os.distill.data.score_file import write_in_parts
from ce2de_os.records import ScoredDoc

def compute(part):
    time.sleep(0.01)
    return [(f"q{n}", [ScoredDoc(f"d{n}-{m}", n / 7 + m) for m in range(20)]) for n in part]

queries = [f"q{n}" for n in range(90)]
parts = [range(n, n + 3) for n in range(0, 90, 3)]
write_in_parts(Path(sys.argv[1]), "w", queries, parts, compute, lambda _: None)
"""


def test_killed_processes_go_on(tmp_path):
    def run(name):
        return subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / name)])

    assert run("unbroken.jsonl.gz").wait() == 0
    kills = 0
    while not (tmp_path / "killed.jsonl.gz").exists():
        process = run("killed.jsonl.gz")
        before = size(tmp_path / "killed.jsonl.gz.partial")
        while process.poll() is None and size(tmp_path / "killed.jsonl.gz.partial") < before + 4000:
            time.sleep(0.002)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills >= 3
    assert (tmp_path / "killed.jsonl.gz").read_bytes() == (tmp_path / "unbroken.jsonl.gz").read_bytes()


def size(path):
    return path.stat().st_size if path.exists() else 0


def test_only_what_is_missing_is_computed_again(tmp_path):
    ids = [f"q{n}" for n in range(10)]
    parts = [range(n, n + 2) for n in range(0, 10, 2)]
    computed, left = [], 3

    def compute(part):
        nonlocal left
        if not left:
            raise KeyboardInterrupt
        left -= 1
        computed.extend(part)
        return [(ids[n], [ScoredDoc("d", n)]) for n in part]

    done = []
    with pytest.raises(KeyboardInterrupt):
        write_in_parts(tmp_path / "s", "work", ids, parts, compute, done.append)
    left = 9
    write_in_parts(tmp_path / "s", "work", ids, parts, compute, done.append)
    assert computed == list(range(10))
    assert done == [0, 2, 4, 6, 6, 8, 10]
    write_in_parts(tmp_path / "s", "work", ids, parts, compute, done.append)
    assert computed == list(range(10))
    assert done[-1] == 10


def test_two_runs_do_not_write_one_file(tmp_path):
    with (tmp_path / "s.partial").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(DataError, match=r"s\.partial: another run is writing this file"):
            write_in_parts(tmp_path / "s", "work", ["q"], [range(1)], lambda _: [], lambda _: None)


def test_scores_of_other_work_are_not_mixed_in(tmp_path, teacher, candidates):
    out = tmp_path / "scores.jsonl"
    score_candidates(teacher, QUERIES, DOCUMENTS, candidates, out)
    before = out.read_bytes()
    others = {**DOCUMENTS, "d0": "another text"}, {f"x{doc}": text for doc, text in DOCUMENTS.items()}
    with pytest.raises(DataError, match=r"scores\.jsonl: exists and comes from other queries"):
        score_candidates(teacher, QUERIES, others[0], candidates, out)
    with pytest.raises(DataError, match=r"candidates\.jsonl\.gz: names 28 documents \(d"):
        score_candidates(teacher, QUERIES, others[1], candidates, tmp_path / "new.jsonl")
    (tmp_path / "theirs.jsonl").write_bytes(before)  # from elsewhere
    with pytest.raises(DataError, match=r"theirs\.jsonl: exists and comes from other"):
        score_candidates(teacher, QUERIES, DOCUMENTS, candidates, tmp_path / "theirs.jsonl")
    assert out.read_bytes() == before


def test_unknown_candidates_can_be_dropped(tmp_path, teacher):
    rows = [("q0", [ScoredDoc("d0", 1), ScoredDoc("gone", 2)]), ("gone", [ScoredDoc("d0", 1)])]
    write_scores(tmp_path / "c.jsonl", rows)
    out = tmp_path / "s.jsonl"
    report = score_candidates(teacher, QUERIES, DOCUMENTS, tmp_path / "c.jsonl", out, drop_unknown=True)
    assert report == ScoreReport(1, 1, 2)
    ((query_id, ranking),) = read_scores(out)
    assert (query_id, [doc.doc_id for doc in ranking]) == ("q0", ["d0"])


def test_texts_that_are_no_unicode_are_scored(tmp_path, teacher):
    write_scores(tmp_path / "c.jsonl", [("q0", [ScoredDoc("d0", 1)])])
    documents = {"d0": f"{WORDS[0]} \ud83d {WORDS[1]} {WORDS[2]}"}
    score_candidates(teacher, {"q0": WORDS[3]}, documents, tmp_path / "c.jsonl", tmp_path / "s.jsonl")
    assert list(read_scores(tmp_path / "s.jsonl"))


@pytest.mark.parametrize("kind", ["queries", "documents"])
def test_a_teacher_that_cannot_read_the_texts_is_refused(tmp_path, teacher, candidates, kind):
    foreign = {
        name: " ".join([WORDS[0], "слово", "другое"])
        for name in (QUERIES if kind == "queries" else DOCUMENTS)
    }
    given = {"queries": QUERIES, "documents": DOCUMENTS, kind: foreign}
    with pytest.raises(
        ConfigError, match=rf"79% of the characters of your {kind} are unknown to it; use a cross-"
    ):
        score_candidates(teacher, given["queries"], given["documents"], candidates, tmp_path / "s")
    assert not (tmp_path / "s.partial").exists()


def test_parts_shrink_as_teachers_grow(teacher):
    weights = sum(p.numel() for p in teacher.model.parameters())
    weights -= teacher.model.get_input_embeddings().weight.numel()
    speed = {"cpu": 3e10, "cuda": 1e13}[teacher.device.type]
    assert pairs_at_once(teacher) == min(int(15 * speed / (2 * weights * 16)), 8192)


# Merging


def merged(tmp_path, *files):
    paths = []
    for number, rows in enumerate(files):
        paths.append(tmp_path / f"{number}.jsonl")
        paths[-1].write_text(
            "".join(json.dumps([q, *map(list, docs.items())]) + "\n" for q, docs in rows.items())
        )
    report = merge_scores(paths, tmp_path / "merged.jsonl.gz")
    return report, {q: dict(run) for q, run in read_scores(tmp_path / "merged.jsonl.gz")}


def test_merging_averages_standard_scores(tmp_path):
    # deviations of 1, 2, 3 from their mean 2, over their spread sqrt(2/3); 10, 40, 10 likewise
    report, scores = merged(tmp_path, {"q": {"a": 1, "b": 2, "c": 3}}, {"q": {"c": 10, "b": 40, "a": 10}})
    left, right = 1 / np.sqrt(2 / 3), 10 / np.sqrt((100 + 400 + 100) / 3)
    expected = {"a": (-left - right) / 2, "b": (0 + 2 * right) / 2, "c": (left - right) / 2}
    assert scores["q"] == pytest.approx(expected, abs=1e-6)
    assert list(scores["q"]) == ["a", "b", "c"]
    assert report == MergeReport(1, 3, 0, 0)


def test_only_what_all_teachers_scored_is_merged(tmp_path):
    report, scores = merged(
        tmp_path,
        {"q0": {"a": 0, "b": 2, "x": 100}, "q1": {"a": 1, "b": 2}, "q2": {"a": 1, "b": 2}},
        {"q3": {"a": 1, "b": 2}, "q0": {"b": 6, "a": 4, "y": 1, "z": 1}, "q2": {"b": 2, "c": 1}},
    )
    assert scores == {"q0": {"a": -1, "b": 1}}
    assert report == MergeReport(queries=1, pairs=2, dropped_queries=3, dropped_pairs=3)


def test_a_teacher_without_preferences_counts_nothing(tmp_path):
    _, scores = merged(tmp_path, {"q": {"a": 0.1, "b": 0.1, "c": 0.1}}, {"q": {"a": 1, "b": 3, "c": 2}})
    high = 1 / np.sqrt(2 / 3) / 2
    assert scores["q"] == pytest.approx({"a": -high, "b": high, "c": 0}, abs=1e-6)


def test_merging_the_scale_of_a_teacher_away(tmp_path):
    _, scores = merged(tmp_path, {"q": {"a": 1, "b": 5, "c": 2}}, {"q": {"a": -990, "b": -950, "c": -980}})
    values = np.array([1, 5, 2])
    assert list(scores["q"].values()) == pytest.approx((values - values.mean()) / values.std(), abs=1e-6)


def test_merging_needs_common_scores(tmp_path):
    with pytest.raises(DataError, match="no query has two documents that all of them scored"):
        merged(tmp_path, {"q": {"a": 1, "b": 2}}, {"q": {"a": 1, "c": 2}})
    assert not (tmp_path / "merged.jsonl.gz").exists()
