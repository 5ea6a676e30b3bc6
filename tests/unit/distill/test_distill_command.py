"""``ce2de distill`` and ``ce2de export`` from the command line, on a tiny teacher and cross-encoder."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from ce2de_os.cli import cli
from ce2de_os.distill.data.score_file import read_scores
from ce2de_os.errors import Ce2deError, ConfigError
from ce2de_os.student import StudentModel
from tests.contract import keys_agree
from tests.unit.distill.tiny import WORDS, save_tiny_cross_encoder, save_tiny_teacher, sets, write_texts

ROOT = Path(__file__).parents[3]


def invoke(*arguments):
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    if isinstance(result.exception, Ce2deError):
        raise result.exception
    return result


def ok(*arguments):
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory):
    return save_tiny_cross_encoder(tmp_path_factory.mktemp("ce"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Documents whose title repeats three of their words."""
    rng, path = random.Random(2), tmp_path_factory.mktemp("corpus") / "corpus.jsonl"
    with path.open("w") as file:
        for number in range(120):
            words = rng.choices(WORDS, k=25)
            row = {"_id": f"d{number}", "title": " ".join(rng.sample(words, 3)), "text": " ".join(words)}
            file.write(json.dumps(row) + "\n")
    return path


def test_distil_texts_then_export_with_one_command_each(tmp_path):
    teacher = tmp_path / "teacher"
    teacher.mkdir()
    save_tiny_teacher(teacher)
    first, second = write_texts(tmp_path / "a.txt"), write_texts(tmp_path / "b.txt", seed=6)
    options = ("--teacher", teacher, *sets(layers=[0, 2], tokens=20_000, unique_tokens=10_000))
    run, model = tmp_path / "run", tmp_path / "model"
    options = (*options, *sets(threads=1), "--until", "student", "--json")
    result = ok("distill", "--texts", first, second, "--out", run, *options)
    assert set(json.loads(result.stdout)["recipe"]["texts"]) == {"a", "b"}

    facts = json.loads(ok("export", run, "--out", model, "--name", "tiny", "--json").stdout)
    keys_agree("export", facts)
    assert facts["dim"] == 32
    assert facts["mean_cosine"] >= 0.98
    manifest = json.loads((model / "manifest.json").read_text())
    assert manifest["fingerprint"] == facts["fingerprint"]
    assert manifest["source"]["layers"] == [0, 2]
    assert manifest["recipe"]["parity"]["worst_cosine"] == facts["worst_cosine"]


def test_the_whole_recipe_step_by_step(tmp_path, teacher_folder, cross_encoder, corpus):
    run = tmp_path / "run"
    base = (
        "distill", "--corpus", corpus, "--query-field", "title", "--cross-encoder", cross_encoder,
        "--out", run, "--teacher", teacher_folder,
        *sets(layers=[0, 2], candidates=8, max_queries=40, tokens=6000, unique_tokens=3000, threads=1),
    )  # fmt: skip
    ok(*base, "--until", "queries")
    queries = (run / "queries.jsonl").read_text()
    assert len(queries.splitlines()) == 40
    assert not (run / "candidates.jsonl.gz").exists()

    ok(*base, "--until", "candidates")
    candidates = dict(read_scores(run / "candidates.jsonl.gz"))
    # A query is its document's title, and the document is always its first candidate.
    assert all(ranking[0].doc_id == query_id for query_id, ranking in candidates.items())

    ok(*base, "--until", "scores")
    scores = dict(read_scores(run / "scores.jsonl.gz"))
    assert {q: {doc.doc_id for doc in ranking} for q, ranking in scores.items()} == {
        q: {doc.doc_id for doc in ranking} for q, ranking in candidates.items()
    }
    assert len({doc.score for ranking in scores.values() for doc in ranking}) > 100  # logits, not ranks

    facts = json.loads(ok(*base, "--until", "export", "--json").stdout)
    keys_agree("distill", facts)
    assert (run / "queries.jsonl").read_text() == queries
    assert facts["recipe"]["losses"] == {"l2": 1.0, "kl": 0.2}
    assert facts["recipe"]["queries"] == 40
    assert facts["recipe"]["query_candidates"] == {"en": sum(map(len, scores.values()))}
    assert json.loads((run / "model" / "manifest.json").read_text())["fingerprint"] == facts["fingerprint"]


def test_the_papers_student_needs_no_texts(tmp_path, teacher_folder, cross_encoder, corpus):
    """DE-2 CE: embeddings and first layer of the cross-encoder, a random second layer, trained to rank."""
    queries = tmp_path / "queries.txt"
    queries.write_text(
        "\n".join(f"{first} {second}" for first, second in zip(WORDS, WORDS[7:], strict=False))
    )
    result = ok(
        "distill", "--corpus", corpus, *sets(queries=queries), "--cross-encoder", cross_encoder, "--teacher",
        teacher_folder, *sets(init="ce", layers=[0, "new"], readout="last", candidates=8, threads=1),
        *sets(losses={"contrastive": 1, "kl": 0.5}, tokens=4000), "--out", tmp_path / "run",
        "--until", "export", "--json",
    )  # fmt: skip
    recipe = json.loads(result.stdout)["recipe"]
    assert recipe["layers"] == [0, None]
    assert recipe["passages"] == 0
    assert recipe["space"] is None  # nothing draws it to the teacher's embeddings


def test_scores_of_others_are_merged(tmp_path, teacher_folder, corpus):
    queries = tmp_path / "queries.tsv"
    queries.write_text("q1\tbab beg\nq2\tbip bon\n")
    for name, shift in (("one", 0.0), ("two", 3.0)):
        rows = [[query, *([f"d{n}", n * (1 + shift)] for n in range(8))] for query in ("q1", "q2")]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    ok(
        "distill", "--corpus", corpus, "--teacher", teacher_folder,
        *sets(queries=queries, scores=[tmp_path / "one.jsonl", tmp_path / "two.jsonl"]),
        *sets(layers=[0, 2], tokens=2000, unique_tokens=2000, threads=1), "--out", tmp_path / "run",
        "--until", "student",
    )  # fmt: skip
    merged = dict(read_scores(tmp_path / "run" / "scores.jsonl.gz"))
    # Both teachers agree up to a factor, which standardising removes: (n - 3.5) / std of 0..7.
    std = (sum((n - 3.5) ** 2 for n in range(8)) / 8) ** 0.5
    assert [doc.score for doc in merged["q1"]] == pytest.approx([(n - 3.5) / std for n in range(8)])


def test_a_finished_student_goes_on_to_the_next_step_but_not_with_other_settings(tmp_path, teacher_folder):
    texts, run = write_texts(tmp_path / "a.txt"), tmp_path / "run"
    base = (
        "distill", "--texts", texts, "--out", run, "--teacher", teacher_folder,
        *sets(layers=[0, 2], unique_tokens=5000, threads=1),
    )  # fmt: skip
    ok(*base, *sets(tokens=3000), "--until", "student")
    weights = (run / "model.safetensors").read_bytes()
    ok(*base, *sets(tokens=3000), "--until", "export")
    assert (run / "model.safetensors").read_bytes() == weights
    with pytest.raises(
        Ce2deError, match=r"finished student with readout all, not last; choose another folder"
    ):
        invoke(*base, *sets(readout="last"))


def test_report_of_a_run_with_a_cross_encoder(tmp_path, teacher_folder, cross_encoder, corpus):
    """Comparison, layer probe, timing and page at the end of a run."""
    collection, run = tmp_path / "judged", tmp_path / "run"
    collection.mkdir()
    rows = [json.loads(line) for line in corpus.read_text().splitlines()]
    (collection / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)))
    queries = [{"_id": f"q{n}", "text": row["title"]} for n, row in enumerate(rows[:10])]
    (collection / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)))
    judged = [f"q{n}\t{row['_id']}\t1" for n, row in enumerate(rows[:10])]
    (collection / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + "\n".join(judged))
    result = ok(
        "distill", "--texts", write_texts(tmp_path / "a.txt"), "--out", run, "--teacher", teacher_folder,
        *sets(layers=[0, 2], unique_tokens=5000, tokens=3000, threads=1),
        "--cross-encoder", cross_encoder, *sets(dev=collection), "--evaluate", collection, "--json",
    )  # fmt: skip
    facts = json.loads(result.stdout)
    assert facts["recipe"]["dev_metric"] == "nDCG@10 on judged"
    assert facts["report"] == str(run / "report.html")
    systems = {
        row["system"]
        for row in json.loads((run / "evaluation.json").read_text())["collections"][0]["systems"]
    }
    assert {"BM25", "DE", "student int8", "student fp32", "static table"} <= systems
    assert any("CE re-ranks" in system for system in systems)
    page = (run / "report.html").read_text()
    assert facts["fingerprint"] in page
    assert "Not probed" not in page


@pytest.mark.parametrize("pooled", [0, 1])
def test_two_processes_train_one_student(tmp_path, teacher_folder, pooled):
    """What several GPUs do, on two CPU processes: the student of one that takes both batches a step."""
    texts = write_texts(tmp_path / "a.txt")
    options = [
        "distill", "--texts", texts, "--teacher", teacher_folder, "--until", "student",
        *sets(layers=[0, 2], pooled=pooled, unique_tokens=8000, tokens=6000, threads=1),
        *sets(cache=tmp_path / "teacher"),
    ]  # fmt: skip
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "2",
        "-m",
        "ce2de_os",
    ]
    done = subprocess.run(
        [*launch, *map(str, options), "--out", str(tmp_path / "two")], capture_output=True, text=True,
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    ok(*options, *sets(accumulate=2), "--out", tmp_path / "one")
    two, one = (json.loads((tmp_path / name / "recipe.json").read_text()) for name in ("two", "one"))
    assert (two["steps"], two["tokens_seen"]) == (one["steps"], one["tokens_seen"])
    left, right = (StudentModel.load(tmp_path / name) for name in ("two", "one"))
    for mine, other in zip(left.parameters(), right.parameters(), strict=True):
        torch.testing.assert_close(mine, other, atol=1e-4, rtol=1e-3)


def test_candidates_found_elsewhere_are_scored(tmp_path, teacher_folder, cross_encoder, corpus):
    queries, found = tmp_path / "queries.tsv", tmp_path / "run.trec"
    queries.write_text("q1\tbab beg\nq2\tbip bon\n")
    found.write_text(
        "".join(f"q{q} Q0 d{10 * q + rank} {rank} {9 - rank} x\n" for q in (1, 2) for rank in (1, 2, 3))
    )
    base = (
        "distill", "--corpus", corpus, *sets(queries=queries, candidates_file=found),
        "--cross-encoder", cross_encoder, "--teacher", teacher_folder, "--out", tmp_path / "run",
        "--until", "scores",
    )  # fmt: skip
    ok(*base)
    scores = dict(read_scores(tmp_path / "run" / "scores.jsonl.gz"))
    assert [doc.doc_id for doc in scores["q2"]] == ["d21", "d22", "d23"]
    found.write_text("q1 Q0 d5000 1 9 x\n")
    with pytest.raises(Ce2deError, match=r"d5000.* not in this collection"):
        invoke(*base[:-4], "--out", tmp_path / "other", "--until", "scores")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (sets(layers=[0, "x"]), r'student.layers: got \[0, "x"\], expected a list of numbers or "new"'),
        (sets(layers=[0, 7]), "numbers from 0 to 2"),
        (("--minutes", "0"), "minutes: got 0.0, expected a number above 0"),
        (("--minutes", "inf"), "minutes: got inf, expected a number above 0"),
        (sets(threads=-3), r"threads: got -3, expected 0 \(all cores\) or more"),
        (sets(seed=-1), "seed: got -1, expected 0 to 4294967295"),
        (("--teacher", "/no/such/encoder"), "cannot be loaded"),
        (sets(losses={"l2": 1, "magic": 1}), "losses: got 'magic'"),
        (sets(losses={"kl": 1}), "set rankings.cross_encoders"),
        (sets(max_length=257), "max_length: got 257, expected at most 256, which the teacher"),
        (sets(init="ce"), "set cross_encoder"),
    ],
)
def test_wrong_settings_are_one_line(tmp_path, teacher_folder, arguments, message):
    texts = write_texts(tmp_path / "a.txt")
    base = ("distill", "--texts", texts, "--out", tmp_path / "run", "--teacher", teacher_folder)
    with pytest.raises(Ce2deError, match=message) as error:
        invoke(*base, *arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (sets(queries="q.txt"), "set documents.index or documents.corpus"),
        ((*sets(queries="q.txt"), "--corpus", "c.jsonl"), "set rankings.cross_encoders or rankings.scores"),
        (
            (*sets(queries="q.txt"), "--query-field", "title"),
            "one of rankings.queries, rankings.query_log",
        ),
        (sets(scores=["s.jsonl"]), "set one of rankings.queries"),
        (("--index", "a", "--corpus", "c.jsonl"), "got documents.index and documents.corpus"),
        (("--texts", "a.txt", "--cross-encoder", "ce"), "nothing to score; set one of rankings.queries"),
    ],
)
def test_options_that_do_not_go_together(tmp_path, arguments, message):
    with pytest.raises(ConfigError, match=message):
        invoke("distill", "--out", tmp_path / "run", *arguments)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "lines", [["one text alone"], ["the same text"] * 50, [f"text {n}" for n in range(19)]]
)
def test_too_few_texts_are_refused_before_the_teacher_reads(tmp_path, teacher_folder, lines):
    texts = tmp_path / "few.txt"
    texts.write_text("\n".join(lines))
    base = ("distill", "--texts", texts, "--out", tmp_path / "run", "--teacher", teacher_folder)
    with pytest.raises(Ce2deError, match="different passages, expected at least 20; give more texts"):
        invoke(*base, *sets(layers=[0, 2]))
    assert not (tmp_path / "run" / "teacher").exists()


def test_missing_texts_are_named(tmp_path, teacher_folder):
    base = ("distill", "--out", tmp_path / "run", "--teacher", teacher_folder, *sets(layers=[0, 2]))
    with pytest.raises(Ce2deError, match=r"none\.txt: No such file"):
        invoke(*base, "--texts", tmp_path / "none.txt")


def test_exporting_something_else_says_what_to_do(tmp_path):
    with pytest.raises(Ce2deError, match="'ce2de distill' has finished"):
        invoke("export", tmp_path, "--out", tmp_path / "model")
