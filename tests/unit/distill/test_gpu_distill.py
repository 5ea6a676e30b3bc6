"""The script for a machine with a GPU, end to end on a CPU: packs in two calls, a student in parts back."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ce2de_os.distill.models.teacher import embed_ids, load_teacher
from ce2de_os.errors import DataError
from ce2de_os.export.exporter import export
from ce2de_os.student import StudentModel
from tests.unit.distill.test_packed import ASKED, write_packed
from tests.unit.distill.tiny import WORDS

SCRIPT = Path(__file__).parents[3] / "scripts" / "gpu_distill.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("gpu_distill", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.RESERVE_SECONDS, module.WRITE_SECONDS, module.PART_BYTES = 0.0, 1.0, 4000
    return module


@pytest.fixture(scope="module")
def packs(script, teacher_folder, tmp_path_factory):
    base = tmp_path_factory.mktemp("packs")
    texts = write_packed(base / "all.passages.jsonl")
    collection = base / "judged"
    collection.mkdir()
    rows = [{"_id": str(n), "text": " ".join(WORDS[n : n + 8])} for n in range(40)]
    (collection / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = [{"_id": f"q{n}", "text": " ".join(WORDS[n : n + 3])} for n in range(5)]
    (collection / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    (collection / "qrels.tsv").write_text("".join(f"q{n}\t{n}\t1\n" for n in range(5)))
    script.main([
        "pack", "--teacher", str(teacher_folder), "--query-prefix", ASKED, "--texts", str(texts),
        "--megabytes", "0.01", "--collections", str(collection), "--out", str(base / "packs"),
    ])  # fmt: skip
    return base / "packs"


def train(script, folders, keep, out, seconds=6):
    script.main([
        "train", "--packs", *map(str, folders), "--keep", str(keep), "--out", str(out), "--seconds",
        str(seconds), "--layers", "0,2", "--batch-tokens", "512",
    ])  # fmt: skip


def test_packs_in_two_calls_give_a_student_that_exports(script, packs, tmp_path):
    keep, out = tmp_path / "keep", tmp_path / "out"
    train(script, [packs / "teacher"], keep, out)
    assert "still missing: texts" in (out / "log.txt").read_text()
    assert not (out / "student.json").exists()
    train(script, [*packs.glob("texts-*"), packs / "collections"], keep, out)
    figures = json.loads((out / "figures.json").read_text())
    assert figures["teacher"]["judged"] > 0.5
    assert figures["student"]["judged"] > 0.3
    assert max(path.stat().st_size for path in out.glob("student-*")) < 20_000
    assert len(list(out.glob("student-*.safetensors"))) > 2
    run = tmp_path / "run"
    script.main(["join", "--parts", str(out), "--tokenizer", str(packs / "teacher"), "--out", str(run)])
    recipe = json.loads((run / "recipe.json").read_text())
    assert recipe["tokens_seen"] > 0
    assert recipe["teacher_query_prefix"] == ASKED
    artifact, parity = export(run, tmp_path / "model")
    assert parity.mean_cosine > 0.98
    assert artifact.query_prefix == ""


def test_ids_in_a_pack_are_the_tokenizers_own(packs, teacher_folder, script):
    teacher = load_teacher(str(teacher_folder))
    facts = json.loads((packs / "teacher" / "teacher.json").read_text())
    texts = script.read_texts(sorted(packs.glob("texts-*")))
    assert len(texts.sample) > 0
    plain = script.whole_ids(texts.ids, texts.is_query, facts, 256, asked=False)
    asked = script.whole_ids(texts.ids, texts.is_query, facts, 256, asked=True)
    for own, read, is_query in zip(plain[:20], asked[:20], texts.is_query.tolist(), strict=False):
        text = teacher.tokenizer.decode(own)
        assert teacher.tokenizer.encode(text).ids == own.tolist()
        assert teacher.tokenizer.encode((ASKED if is_query else "") + text).ids == read.tolist()


def test_the_packed_teacher_is_the_teacher_to_16_bits(packs, teacher_folder):
    ids = [[2, 9, 8, 3], [2, 30, 3]]
    own, packed = (
        embed_ids(load_teacher(str(folder)).embed, ids, "fp32")
        for folder in (teacher_folder, packs / "teacher")
    )
    assert np.sum(own * packed, axis=1).min() > 0.9999


def test_a_student_with_a_part_missing_is_told(script, packs, tmp_path):
    train(script, list(packs.iterdir()), tmp_path / "keep", tmp_path / "out", seconds=2)
    student, _ = script.read_student(tmp_path / "out")
    assert isinstance(student, StudentModel)
    shutil.copytree(tmp_path / "out", tmp_path / "less")
    (tmp_path / "less" / "student-2.safetensors").unlink()
    with pytest.raises(DataError, match=r"student-2.safetensors: is missing; bring all \d+ parts"):
        script.read_student(tmp_path / "less")


def test_the_scripts_ndcg_is_the_usual_one(script):
    from gpu_judged import ndcg

    from ce2de_os.evaluation import measure
    from ce2de_os.records import ScoredDoc

    judged = {str(n): value for n, value in enumerate([3, 0, 2, 1, 0, 1])}
    found = [4, 0, 3, 9, 2, 5]
    run = [ScoredDoc(str(row), 1.0 - place / 10) for place, row in enumerate(found)]
    expected = measure({"q": judged}, {"q": run})["q"]
    assert ndcg(found, judged) == pytest.approx(expected, abs=1e-6)
