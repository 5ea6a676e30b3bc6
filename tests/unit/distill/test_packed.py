"""Packed files of passages: mixed by the script, read from their beginning, by the teacher in advance."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from ce2de_os.cli import cli
from ce2de_os.distill.config import DistillConfig
from ce2de_os.distill.data.prefixes import Prefixes, teacher_prefixes
from ce2de_os.distill.data.texts import TrainingPassage, packed_passages
from ce2de_os.distill.models.teacher import embed_ids, load_teacher, with_said_prefixes
from ce2de_os.distill.recipe import distill
from ce2de_os.distill.training.materials import read_passages
from ce2de_os.errors import DataError
from tests.unit.distill.tiny import WORDS, sets, write_texts

SCRIPT = Path(__file__).parents[3] / "scripts" / "pack_texts.py"
ASKED = f"{WORDS[0]} {WORDS[1]} "


def nothing(*_):
    pass


def write_packed(path, count=400, source="prose"):
    lines = write_texts(path.with_suffix(".plain"), lines=count).read_text().splitlines()
    rows = [{"text": text, "source": source, "query": number % 3 == 0} for number, text in enumerate(lines)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_longer_run_begins_with_the_passages_of_a_shorter_one(tmp_path):
    path = write_packed(tmp_path / "all.passages.jsonl")
    short, long = packed_passages(path, 500), packed_passages(path, 2000)
    assert long[: len(short)] == short
    assert 500 <= sum(len(passage.text.split()) for passage in short) < 600
    assert [passage.is_query for passage in short[:4]] == [True, False, False, True]


def test_a_packed_file_is_read_alone(tmp_path, text_file):
    path = write_packed(tmp_path / "all.passages.jsonl")
    with pytest.raises(DataError, match="got 2 files and 0 translations, expected a packed file alone"):
        read_passages([path, text_file], [], (None, None), DistillConfig(), nothing)


def test_a_row_of_another_kind_is_told(tmp_path):
    path = tmp_path / "all.passages.jsonl"
    path.write_text('{"text": "a", "source": "b", "query": 1}\n')
    with pytest.raises(DataError, match=r"jsonl:1: expected an object with text, source and query"):
        packed_passages(path, 10)


def test_the_teacher_reads_a_prefix_that_the_student_does_not():
    passages = [TrainingPassage("a", "s", is_query=True), TrainingPassage("b", "s", is_query=False)]
    read = Prefixes("", "").passages(passages, Prefixes("query: ", ""))
    assert [(one.text, one.original or one.text) for one in read] == [("a", "query: a"), ("b", "b")]


def test_a_student_learns_the_teachers_prefixed_queries_without_the_prefix(teacher_folder, tmp_path):
    """Its targets are the teacher's embeddings with the prefix, and its recipe and manifest have none."""
    path = write_packed(tmp_path / "all.passages.jsonl")
    config = DistillConfig(
        teacher=str(teacher_folder), layers=(0, 2), unique_tokens=4000, tokens=1000, batch_tokens=512,
        precision="fp32", threads=1, teacher_query_prefix=ASKED,
    )  # fmt: skip
    recipe = distill([path], config, tmp_path / "run", phase=nothing, report=nothing)
    assert recipe["texts"] == {"prose": recipe["passages"]}
    assert "query_prefix" not in recipe
    assert teacher_prefixes(recipe) == Prefixes(ASKED, "")
    teacher = load_teacher(str(teacher_folder))
    first = packed_passages(path, 10)[0].text
    expected = embed_ids(teacher.embed, [teacher.tokenizer.encode(ASKED + first).ids], "fp32")
    kept = [np.load(file) for file in (tmp_path / "run" / "teacher").glob("*.npy")]
    assert max(float((rows[0] * expected[0]).sum()) for rows in kept) > 0.999


def test_the_files_of_a_teacher_name_its_prefixes(teacher_folder, tmp_path):
    says = {"prompts": {"query": "ask: ", "document": ""}}
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(says))
    config = with_said_prefixes(DistillConfig(teacher=str(tmp_path)))
    assert (config.query_prefix, config.teacher_query_prefix) == ("", "ask: ")
    given = DistillConfig(teacher=str(tmp_path), query_prefix="own: ")
    assert with_said_prefixes(given) == given
    assert with_said_prefixes(DistillConfig()) == DistillConfig()


def test_what_the_teacher_has_read_is_used_by_a_longer_run(teacher_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(import_module("ce2de_os.distill.models.teacher"), "SHARD_TOKENS", 1000)
    path = write_packed(tmp_path / "all.passages.jsonl")
    cache = tmp_path / "cache"
    options = [
        "distill", "--texts", str(path), "--teacher", str(teacher_folder),
        *sets(layers=[0, 2], cache=cache, threads=1, tokens=1000),
    ]  # fmt: skip
    until = [*sets(unique_tokens=4000), "--out", str(tmp_path / "reads"), "--until", "teacher", "--json"]
    result = CliRunner().invoke(cli, [*options, *until])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["passages"] == len(packed_passages(path, int(4000 * 0.57)))
    assert not (tmp_path / "reads" / "recipe.json").exists()
    before = set(cache.glob("*.npy"))
    assert len(before) > 2
    longer = [*sets(unique_tokens=8000), "--out", str(tmp_path / "run"), "--until", "student"]
    result = CliRunner().invoke(cli, [*options, *longer])
    assert result.exit_code == 0, result.output
    after = set(cache.glob("*.npy"))
    assert before < after
    assert len(after) <= 2 * len(before) + 1, "nothing but the last shard is read twice"


def test_the_script_mixes_sources_and_leaves_out_what_is_held_out(tmp_path):
    held = " ".join(WORDS[:20])
    sources = {"large": write_texts(tmp_path / "large.txt", lines=900, seed=1)}
    sources["small"] = write_texts(tmp_path / "small.txt", lines=90, seed=2)
    with sources["small"].open("a") as file:
        file.write(f"{held}\n" * 2)
    with gzip.open(tmp_path / "titles.jsonl.gz", "wt") as file:
        for number in range(40):
            file.write(json.dumps({"title": f"{WORDS[number]} {WORDS[number + 1]}", "text": "x"}) + "\n")
    collection = tmp_path / "held"
    collection.mkdir()
    (collection / "corpus.jsonl").write_text(json.dumps({"_id": "1", "text": f"{held} {held}"}) + "\n")
    (collection / "queries.jsonl").write_text(json.dumps({"_id": "1", "text": "bab beg"}) + "\n")
    out = tmp_path / "all.passages.jsonl.gz"
    command = [
        sys.executable, str(SCRIPT), "--texts", *map(str, sources.values()), "--queries",
        str(tmp_path / "titles.jsonl.gz"), "--held-out", str(collection), "--words", "9000",
        "--weight", "small=3", "--out", str(out),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    passages = packed_passages(out, 10**9)
    texts = [passage.text for passage in passages]
    assert len(set(texts)) == len(texts)
    assert "bab beg" not in texts
    assert not any(held in text for text in texts)
    assert {passage.source for passage in passages if passage.is_query} >= {"titles"}
    first, last = (Counter(p.source for p in half) for half in (passages[: len(passages) // 2], passages))
    assert all(abs(first[name] / last[name] - 0.5) < 0.1 for name in sources)
