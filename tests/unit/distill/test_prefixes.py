"""Teachers that expect something before queries and documents: what they teach reaches the served model."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from ce2de_os.distill.config import DistillConfig
from ce2de_os.distill.data.prefixes import QUERY_WORDS, Prefixes
from ce2de_os.distill.data.texts import TrainingPassage
from ce2de_os.distill.models.full_depth import write_full_depth
from ce2de_os.distill.models.hub import bare_tokenizer, load_tokenizer
from ce2de_os.distill.models.teacher import embed_ids, load_teacher
from ce2de_os.distill.recipe import distill
from ce2de_os.distill.report.peers import float_student_peer, student_peer, teacher_peer
from ce2de_os.distill.training.materials import Examples, token_ids, tokenized
from ce2de_os.errors import ConfigError
from ce2de_os.export.exporter import export
from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.records import ScoredDoc
from tests.unit.distill.tiny import WORDS, save_tiny_teacher, write_texts

QUERY, DOCUMENT = f"{WORDS[0]} ", f"{WORDS[1]} {WORDS[2]} "
PREFIXES = Prefixes(QUERY, DOCUMENT)
TEXTS = [" ".join(WORDS[start : start + 9]) for start in range(30)]


def cosines(left, right):
    return np.sum(left * right, axis=1)


def settings(teacher_folder, **changes):
    made = {
        "teacher": str(teacher_folder), "layers": (0, 1, 2), "unique_tokens": 8000, "tokens": 30_000,
        "batch_tokens": 512, "precision": "fp32", "threads": 1, "lr": 1e-3,
        "query_prefix": QUERY, "document_prefix": DOCUMENT,
    }  # fmt: skip
    return DistillConfig(**{**made, **changes})


def run(folder, config):
    def nothing(*_):
        pass

    distill([write_texts(folder.parent / "texts.txt")], config, folder, phase=nothing, report=nothing)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A student of a teacher with prefixes, exported: the teacher's folder, the run, the artifact."""
    base = tmp_path_factory.mktemp("prefixes")
    (base / "teacher").mkdir()
    teacher_folder = save_tiny_teacher(base / "teacher")
    run(base / "run", settings(teacher_folder))
    artifact, _ = export(base / "run", base / "model")
    return teacher_folder, base / "run", artifact


def test_short_passages_are_queries_every_second_time_and_long_ones_documents():
    long = " ".join(["w"] * (QUERY_WORDS + 1))
    passages = [
        TrainingPassage("a", "s"),
        TrainingPassage("b", "s"),
        TrainingPassage(long, "s"),
        TrainingPassage(long, "s"),
        TrainingPassage("c", "s"),
    ]
    read = Prefixes("q: ", "d: ").passages(passages)
    assert [passage.text for passage in read] == ["d: a", "q: b", f"d: {long}", f"d: {long}", "d: c"]


def test_a_translation_and_its_original_get_the_same_prefix():
    passages = [TrainingPassage("ein Wort", "s", "a word"), TrainingPassage("zwei", "s", "two")]
    read = Prefixes("q: ", "").passages(passages)
    assert read == [TrainingPassage("ein Wort", "s", "a word"), TrainingPassage("q: zwei", "s", "q: two")]


def test_queries_and_candidates_are_tokenized_with_their_prefixes(teacher_folder):
    fast = bare_tokenizer(load_tokenizer(str(teacher_folder), 65))
    runs = {"q": [ScoredDoc("a", 1.0), ScoredDoc("b", 0.0)]}
    examples = Examples({"q": WORDS[5]}, {"en": {"a": WORDS[6], "b": WORDS[7]}}, runs, {})
    found = tokenized(examples, fast, settings(teacher_folder, candidates=2))
    expected = token_ids(fast, [QUERY + WORDS[5], DOCUMENT + WORDS[6], DOCUMENT + WORDS[7]], 64)
    assert [*found.queries, *found.documents["en"]] == expected


def test_the_served_model_gives_the_teachers_vectors_of_queries_and_of_documents(made):
    teacher_folder, folder, artifact = made
    teacher, encoder = load_teacher(str(teacher_folder)), OnnxEncoder(artifact)
    assert (artifact.query_prefix, artifact.document_prefix) == PREFIXES
    for prefix, encode in ((QUERY, encoder.encode_queries), (DOCUMENT, encoder.encode_documents)):
        ids = token_ids(teacher.tokenizer, [prefix + text for text in TEXTS], 64)
        plain = token_ids(teacher.tokenizer, TEXTS, 64)
        with_prefix, without = (embed_ids(teacher.embed, one, "fp32") for one in (ids, plain))
        ours = encode(TEXTS)
        assert cosines(ours, with_prefix).mean() > 0.95
        error, error_without = (1 - cosines(ours, vectors).mean() for vectors in (with_prefix, without))
        assert error < 0.6 * error_without
    for peer in (teacher_peer(teacher, PREFIXES), float_student_peer(folder, artifact)):
        assert cosines(peer.encode_queries(TEXTS), student_peer(encoder).encode_queries(TEXTS)).mean() > 0.95
        assert peer.encode_queries(TEXTS)[0] @ peer.encode_documents(TEXTS)[0] < 0.9999


def test_sentence_transformers_knows_them_as_prompts(made):
    _, folder, artifact = made
    model = SentenceTransformer(str(folder), device="cpu", trust_remote_code=True)
    ours = OnnxEncoder(artifact)
    assert cosines(model.encode_query(TEXTS), ours.encode_queries(TEXTS)).min() > 0.99
    assert cosines(model.encode_document(TEXTS), ours.encode_documents(TEXTS)).min() > 0.99


def test_the_teacher_at_full_depth_shares_them_and_the_space(made, tmp_path):
    _, folder, artifact = made
    write_full_depth(folder, tmp_path / "full")
    full, _ = export(tmp_path / "full", tmp_path / "model")
    assert (full.query_prefix, full.document_prefix) == PREFIXES
    assert full.space == artifact.space


def test_other_prefixes_are_another_space(teacher):
    assert len({teacher.space_of(Prefixes(*texts)) for texts in (("", ""), ("a", ""), ("", "a"))}) == 3


def test_the_recipe_names_them_only_where_there_are_some(teacher_folder):
    assert settings(teacher_folder).plain()["query_prefix"] == QUERY
    assert "query_prefix" not in settings(teacher_folder, query_prefix="").plain()


def test_going_on_from_a_student_with_other_prefixes_is_refused(made, tmp_path):
    teacher_folder, folder, _ = made
    config = DistillConfig(teacher=str(teacher_folder), start=str(folder), tokens=100, query_prefix="q: ")
    with pytest.raises(ConfigError, match=f"expects '{QUERY}' before a query"):
        run(tmp_path / "more", config)
    assert json.loads((folder / "recipe.json").read_text())["query_prefix"] == QUERY
