"""MonoT5-like teachers: their prompt, their answers, and where they are accepted."""

from __future__ import annotations

import json
import random
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from ce2de_os.cli import cli
from ce2de_os.distill.data.score_file import read_scores, write_scores
from ce2de_os.distill.models.cross_encoder import CrossEncoder, load_cross_encoder
from ce2de_os.distill.models.layers import load_ce_layers
from ce2de_os.distill.models.sequence_teacher import SequenceTeacher, load_pair_teacher, load_sequence_teacher
from ce2de_os.distill.report.evaluate import rerank
from ce2de_os.distill.training.scores import check_vocabulary, pairs_at_once, score_candidates
from ce2de_os.distill.training.teacher_config import TeacherConfig
from ce2de_os.distill.training.teacher_training import load_base
from ce2de_os.errors import Ce2deError, ConfigError, DataError
from ce2de_os.evaluation import Collection
from ce2de_os.records import ScoredDoc
from tests.unit.distill.tiny import (
    WORDS,
    save_tiny_cross_encoder,
    save_tiny_reranker,
    sets,
    t5_tokenizer,
)

RNG = random.Random(3)
PAIRS = [
    (" ".join(RNG.choices(WORDS, k=RNG.randint(1, 9))), " ".join(RNG.choices(WORDS, k=RNG.randint(1, 50))))
    for _ in range(23)
]
WORDS_OF = {"t5": ("true", "false"), "mt5": ("yes", "no")}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {family: save_tiny_reranker(tmp_path_factory.mktemp(family), family) for family in WORDS_OF}


@pytest.fixture(scope="module")
def monot5(folders):
    return load_sequence_teacher(str(folders["t5"]), precision="fp32")


def by_hand(folder, pairs, answers):
    """The documented scores: log-softmax over two logits of the first step, each whole prompt alone."""
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    vocabulary, scores = tokenizer.get_vocab(), []
    for query, document in pairs:
        inputs = tokenizer(f"Query: {query} Document: {document} Relevant:", return_tensors="pt")
        with torch.no_grad():
            logits = model.eval()(**inputs, decoder_input_ids=torch.tensor([[0]])).logits[0, 0].double()
        positive, negative = (float(logits[vocabulary[f"▁{word}"]].exp()) for word in answers)
        scores.append(float(np.log(positive / (positive + negative))))
    return scores


# Scores


@pytest.mark.parametrize("family", WORDS_OF)
def test_scores_are_those_of_a_plain_call_for_each_pair_in_the_order_given(folders, family):
    # Few tokens a batch: the order inside is another, and most prompts are padded.
    got = load_sequence_teacher(str(folders[family]), precision="fp32").logits(PAIRS, batch_tokens=256)
    expected = by_hand(folders[family], PAIRS, WORDS_OF[family])
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(got, expected, atol=1e-4)
    assert got.dtype == np.float32


def test_a_batch_scores_like_single_pairs(monot5):
    singly = [monot5.logits([pair]).item() for pair in PAIRS]
    np.testing.assert_allclose(monot5.logits(PAIRS), singly, atol=1e-5)


def test_no_pairs_give_no_scores(monot5):
    assert monot5.encode_pairs([]) == []
    assert monot5.logits([]).shape == (0,)


def test_bfloat16_scores_nearly_the_same_and_without_ties(folders, monot5):
    rough = load_sequence_teacher(str(folders["t5"]), precision="bf16")
    assert next(rough.model.encoder.parameters()).dtype == torch.bfloat16
    scores = rough.logits(PAIRS)
    np.testing.assert_allclose(scores, monot5.logits(PAIRS), atol=0.5, rtol=0.05)
    assert len(set(scores.tolist())) == len(PAIRS)


def test_weights_that_are_no_numbers_are_refused(folders):
    found = load_sequence_teacher(str(folders["t5"]), precision="fp32")
    with torch.no_grad():
        found.model.lm_head.weight[found.answers[0], 0] = float("nan")
    with pytest.raises(DataError, match="logits that are not finite"):
        found.logits(PAIRS[:2])


# The prompt


def pieces(teacher, query, document):
    (row,) = teacher.encode_pairs([(query, document)])
    return " ".join(teacher.tokenizer.convert_ids_to_tokens(row["input_ids"])).replace("▁", "")


def test_the_document_is_cut_first_then_the_query_and_the_prompt_never(folders):
    short = load_sequence_teacher(str(folders["t5"]), max_length=16)  # 12 beside the prompt's 3 and the end
    query, document = " ".join(WORDS[:4]), " ".join(WORDS[10:40])
    assert pieces(short, query, " ".join(WORDS[10:18])) == (
        f"Query: {query} Document: {' '.join(WORDS[10:18])} Relevant: </s>"
    )
    assert pieces(short, query, document) == (
        f"Query: {query} Document: {' '.join(WORDS[10:18])} Relevant: </s>"
    )
    assert pieces(short, document, query) == f"Query: {' '.join(WORDS[10:22])} Document: Relevant: </s>"
    assert pieces(short, query, "") == f"Query: {query} Document: Relevant: </s>"


def test_cut_prompts_score_like_the_shortened_document(folders):
    short = load_sequence_teacher(str(folders["t5"]), max_length=16, precision="fp32")
    query, document = " ".join(WORDS[:4]), " ".join(WORDS[10:40])
    (expected,) = by_hand(folders["t5"], [(query, " ".join(WORDS[10:18]))], ("true", "false"))
    assert short.logits([(query, document)]).item() == pytest.approx(expected, abs=1e-4)


def test_the_tokenizer_bounds_the_length(folders, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(folders["t5"], model_max_length=100)
    AutoModelForSeq2SeqLM.from_pretrained(folders["t5"]).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert load_sequence_teacher(str(tmp_path)).max_length == 96


# The answers


def test_answers_can_be_named(tmp_path):
    folder = save_tiny_reranker(tmp_path, "t5", answers=("yes", "no"))
    with pytest.raises(ConfigError, match=r"would answer ▁true, ▁false with .*rankings\.answers"):
        load_sequence_teacher(str(folder))
    found = load_sequence_teacher(str(folder), ("yes", "no"), precision="fp32")
    (expected,) = by_hand(folder, PAIRS[:1], ("yes", "no"))
    assert found.logits(PAIRS[:1]).item() == pytest.approx(expected, abs=1e-4)


def test_some_mt5_say_no_more_than_a_mark_of_their_negative_answer(tmp_path):
    folder = save_tiny_reranker(tmp_path / "mt5-13b-mmarco-100k", "mt5", answers=("true", "▁"))
    (expected,) = by_hand(folder, PAIRS[:1], ("true", ""))
    found = load_sequence_teacher(str(folder), precision="fp32")
    assert found.logits(PAIRS[:1]).item() == pytest.approx(expected, abs=1e-4)
    elsewhere = folder.rename(tmp_path / "mine")
    with pytest.raises(ConfigError, match="would answer ▁yes, ▁no"):
        load_pair_teacher(str(elsewhere))
    assert load_pair_teacher(str(elsewhere), ("▁true", "▁")).answers == found.answers


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (("relevant", "false"), "'relevant' is no single piece of its vocabulary"),
        (("true", "да"), "'да' is no single piece"),
        (("▁truly", "false"), "'▁truly' is no single piece"),
        (("true", "two words"), "'two words' is no single piece"),
        (("true", "▁true"), "got the answers true, ▁true, expected two different ones"),
    ],
)
def test_answers_that_no_single_token_says_are_refused(folders, answers, message):
    with pytest.raises(ConfigError, match=message) as error:
        load_sequence_teacher(str(folders["t5"]), answers)
    assert "\n" not in str(error.value)


def test_an_unknown_family_needs_answers(tmp_path):
    folder = save_tiny_reranker(tmp_path, "umt5", answers=("yes", "no"))
    with pytest.raises(ConfigError, match=r"what a umt5 answers is not known; .* rankings.answers"):
        load_pair_teacher(str(folder))
    assert load_pair_teacher(str(folder), ("yes", "no")).logits(PAIRS).shape == (23,)


def test_a_t5_that_is_no_reranker_is_refused(tmp_path):
    folder = save_tiny_reranker(tmp_path, "mt5", taught=False)
    with pytest.raises(ConfigError, match="expected at least 10%: it is no reranker"):
        load_sequence_teacher(str(folder))


def test_a_tokenizer_without_an_end_mark_is_refused(folders, tmp_path):
    AutoModelForSeq2SeqLM.from_pretrained(folders["t5"]).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(folders["t5"]).save_pretrained(tmp_path)
    raw = json.loads((tmp_path / "tokenizer.json").read_text())
    (tmp_path / "tokenizer.json").write_text(json.dumps({**raw, "post_processor": None}))
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    config |= {"tokenizer_class": "PreTrainedTokenizerFast"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="does not read word by word to an end mark"):
        load_sequence_teacher(str(tmp_path))


def test_a_name_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be loaded") as error:
        load_sequence_teacher(str(tmp_path / "nothing"))
    assert "\n" not in str(error.value)
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_pair_teacher(str(tmp_path / "nothing"))


def test_a_tokenizer_that_needs_sentencepiece_says_so(folders, tmp_path, monkeypatch):
    AutoModelForSeq2SeqLM.from_pretrained(folders["t5"]).save_pretrained(tmp_path)
    (tmp_path / "spiece.model").write_bytes(b"\x0a\x0e\x0a\x05<pad>")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "T5Tokenizer"}')
    monkeypatch.setattr("transformers.utils.import_utils._sentencepiece_available", False)
    monkeypatch.setattr(import_module("ce2de_os.distill.models.hub"), "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"its tokenizer cannot be loaded .*pip install sentencepiece"):
        load_sequence_teacher(str(tmp_path))


def test_the_digest_names_weights_and_answers(folders, monot5, tmp_path):
    assert load_sequence_teacher(str(folders["t5"]), precision="fp32").digest == monot5.digest
    turned = load_sequence_teacher(str(folders["t5"]), ("false", "true"), precision="fp32")
    assert turned.digest != monot5.digest
    model = AutoModelForSeq2SeqLM.from_pretrained(folders["t5"])
    with torch.no_grad():
        model.encoder.final_layer_norm.weight[0] += 0.01
    model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(folders["t5"]).save_pretrained(tmp_path)
    assert load_sequence_teacher(str(tmp_path), precision="fp32").digest != monot5.digest


# Scoring


@pytest.fixture
def work(tmp_path):
    rng = random.Random(5)
    queries = {f"q{n}": " ".join(rng.choices(WORDS, k=3)) for n in range(8)}
    documents = {f"d{n}": " ".join(rng.choices(WORDS, k=rng.randint(2, 30))) for n in range(30)}
    write_scores(
        tmp_path / "candidates.jsonl.gz",
        [(q, [ScoredDoc(d, 1.0) for d in rng.sample(list(documents), 5)]) for q in queries],
    )
    return queries, documents, tmp_path / "candidates.jsonl.gz"


def test_an_interrupted_teacher_gives_the_same_file(tmp_path, work, monot5, monkeypatch):
    monkeypatch.setattr(import_module("ce2de_os.distill.training.scores"), "_LARGEST_PART", 12)
    whole, out = tmp_path / "whole.jsonl.gz", tmp_path / "scores.jsonl.gz"
    score_candidates(monot5, *work, whole)

    def stop(done, total):
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_candidates(monot5, *work, out, progress=stop)
    score_candidates(monot5, *work, out)
    assert out.read_bytes() == whole.read_bytes()
    queries, documents, _ = work
    for query_id, ranking in read_scores(out):
        expected = monot5.logits([(queries[query_id], documents[doc.doc_id]) for doc in ranking])
        assert [doc.score for doc in ranking] == pytest.approx(expected.tolist(), abs=2e-5)


def test_parts_are_reckoned_from_the_encoder_and_the_decoders_look_at_it(monot5):
    # A layer: 4 products of attention (32 by 4 heads of 8), 2 of the feed-forward part (32 by 64), 2 norms;
    # once the positions (32 distances for 4 heads), a norm at the end; each decoder layer's keys and values.
    layer = 4 * 32 * 32 + 2 * 32 * 64 + 2 * 32
    assert monot5.active_weights == 2 * layer + 32 * 4 + 32 + 2 * 2 * 32 * 32
    speed = {"cpu": 3e10, "cuda": 1e13}[monot5.device.type]
    assert pairs_at_once(monot5) == min(int(15 * speed / (2 * monot5.active_weights * 512)), 8192)


def test_it_ranks_a_collection_again(monot5):
    queries, documents = ["bab beg", "bip"], [" ".join(words) for words in (WORDS[:5], WORDS[5:9], WORDS[9:])]
    collection = Collection("c", ["a", "b", "c"], documents, ["q1", "q2"], queries, {"q1": {"a": 1}})
    runs = {name: [ScoredDoc(doc, 3.0 - n) for n, doc in enumerate("abc")] for name in ("q1", "q2")}
    found = rerank(collection, runs, monot5, depth=3)
    scores = monot5.logits([("bip", document) for document in documents])
    assert [doc.doc_id for doc in found["q2"]] == ["abc"[n] for n in np.argsort(-scores)]


@pytest.mark.parametrize("byte_fallback", [False, True])
@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("слово и другое слово bab", "85%"),  # 17 letters and 3
        ("中文文本没有空格", "100%"),
        ("中文文本,没有空格,句子2019年12月", "60%"),  # 12 letters; 2 commas and 6 figures are known
    ],
)
def test_text_in_another_script_is_refused(monot5, text, share, byte_fallback):
    english = SimpleNamespace(name="english", tokenizer=t5_tokenizer(byte_fallback), max_length=64)
    with pytest.raises(
        ConfigError, match=f"'english': {share} of the characters of your documents are unknown"
    ):
        check_vocabulary(english, [text] * 3, "documents")
    check_vocabulary(english, [f"{' '.join(WORDS)} слово"] * 3, "documents")
    check_vocabulary(english, ["", " "], "documents")


# Where an encoder is needed


def test_it_is_refused_where_layers_or_a_head_are_needed(folders):
    name = str(folders["mt5"])
    for load in (load_cross_encoder, load_ce_layers, lambda base: load_base(TeacherConfig(base=base))):
        with pytest.raises(
            ConfigError, match=r"is a sequence-to-sequence model, .* expected an encoder"
        ) as error:
            load(name)
        assert "\n" not in str(error.value)


def test_a_plain_cross_encoder_is_loaded_as_before(tmp_path, folders):
    assert isinstance(load_pair_teacher(str(save_tiny_cross_encoder(tmp_path))), CrossEncoder)
    assert isinstance(load_pair_teacher(str(folders["t5"])), SequenceTeacher)


# The command


def invoke(*arguments):
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    if isinstance(result.exception, Ce2deError):
        raise result.exception
    return result


@pytest.fixture
def judged(tmp_path):
    rng, folder = random.Random(2), tmp_path / "judged"
    folder.mkdir()
    rows = [{"_id": f"d{n}", "title": "", "text": " ".join(rng.choices(WORDS, k=20))} for n in range(60)]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)))
    queries = [{"_id": f"q{n}", "text": " ".join(row["text"].split()[:3])} for n, row in enumerate(rows[:12])]
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)))
    qrels = [f"q{n}\td{n}\t1" for n in range(12)]
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + "\n".join(qrels))
    return folder


def test_a_cross_encoder_and_a_monot5_teach_together(tmp_path, judged, folders, teacher_folder):
    plain = save_tiny_cross_encoder(tmp_path / "ce")
    result = invoke(
        "distill", "--corpus", judged / "corpus.jsonl", *sets(queries=judged / "queries.jsonl", candidates=6),
        "--cross-encoder", plain, "--cross-encoder", folders["t5"], *sets(answers=["true", "false"]),
        "--teacher", teacher_folder, "--out", tmp_path / "run", "--until", "scores",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    first, second, merged = (
        dict(read_scores(tmp_path / "run" / f"{name}.jsonl.gz"))
        for name in ("scores-1", "scores-2", "scores")
    )
    assert max(doc.score for ranking in second.values() for doc in ranking) <= 0
    for query_id, ranking in merged.items():
        columns = [np.array([doc.score for doc in rows[query_id]]) for rows in (first, second)]
        standard = [(column - column.mean()) / column.std() for column in columns]
        assert [doc.score for doc in ranking] == pytest.approx((standard[0] + standard[1]) / 2, abs=1e-4)


def test_a_student_of_a_monot5_is_compared_with_it(tmp_path, judged, folders, teacher_folder):
    result = invoke(
        "distill", "--corpus", judged / "corpus.jsonl", *sets(queries=judged / "queries.jsonl", candidates=6),
        "--cross-encoder", folders["mt5"], "--teacher", teacher_folder,
        *sets(layers=[0, 2], tokens=3000, unique_tokens=2000, threads=1), "--evaluate", judged,
        "--out", tmp_path / "run",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    facts = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert facts["settings"]["cross_encoder"] == str(folders["mt5"])
    assert "BM25, CE re-ranks" in {row["system"] for row in facts["collections"][0]["systems"]}
    assert not (tmp_path / "run" / "probe.json").exists()


def test_the_command_says_what_does_not_fit(tmp_path, judged, folders):
    base = (
        "distill", "--corpus", judged / "corpus.jsonl", *sets(queries=judged / "queries.jsonl"),
        "--cross-encoder", folders["t5"], "--out", tmp_path / "run",
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"student.init ce: '.*': is a sequence-to-sequence model"):
        invoke(*base, *sets(init="ce"))
    assert not (tmp_path / "run").exists()
    for answers in (["true"], ["true", ""], ["a", "b", "c"]):
        with pytest.raises(ConfigError, match=r"rankings\.answers: got .*, expected two words"):
            invoke(*base, *sets(answers=answers))
    probed = ("probe", "--cross-encoder", folders["t5"], "--data", judged, "--out", tmp_path / "p")
    for command in (probed, ("export", folders["t5"], "--out", tmp_path / "x")):
        with pytest.raises(ConfigError, match="is a sequence-to-sequence model"):
            invoke(*command)
