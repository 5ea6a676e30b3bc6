"""Vocabularies trimmed and extended: tokenizers, rows of the table, and whole runs with them."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast

from ce2de_os.cli import cli
from ce2de_os.distill.config import DistillConfig
from ce2de_os.distill.models.hub import bare_tokenizer, wrapped_tokenizer
from ce2de_os.distill.models.teacher import embed_ids, load_teacher
from ce2de_os.distill.models.vocabulary import change_vocabulary, extend, give_rows, trim
from ce2de_os.distill.recipe import distill, is_finished
from ce2de_os.distill.training import trainer
from ce2de_os.distill.training.materials import token_ids
from ce2de_os.errors import ConfigError, DataError
from ce2de_os.export.exporter import export
from ce2de_os.export.parity import student_embeddings
from ce2de_os.model.artifact import Artifact
from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.student import StudentModel, pad
from tests.unit.distill.tiny import WORDS, save_tiny_model, save_tiny_teacher, sets

USED = [" ".join(WORDS[:9]), WORDS[3], " ".join(WORDS[4:12])]
OTHER = [" ".join(WORDS[30:40]), "zebra 42", f"{WORDS[2]}{WORDS[50]}"]
FAMILIES = ("bert", "xlm-roberta", "roberta", "modernbert")  # WordPiece, Unigram, BPE and BPE


@pytest.fixture(scope="module", params=FAMILIES)
def tokenizer(request, tmp_path_factory):
    folder = save_tiny_model(tmp_path_factory.mktemp(request.param), request.param)
    return AutoTokenizer.from_pretrained(folder)


def word_pieces(*pieces, specials=("[PAD]", "[UNK]", "[CLS]", "[SEP]")):
    """A lower-casing WordPiece tokenizer that strips accents, as BERT's does."""
    vocabulary = {piece: number for number, piece in enumerate([*specials, *pieces])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(list(specials))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


LETTERS = "abcdefghijklmnopqrstuvwxyz"
SPELLED = [*LETTERS, *(f"##{letter}" for letter in LETTERS)]


def tiny_student(size, dim=16):
    torch.manual_seed(4)
    config = BertConfig(
        vocab_size=size, hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=256, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    return StudentModel(BertModel(config, add_pooling_layer=False), dim).eval()


def tokens(tokenizer, texts):
    return [encoding.tokens for encoding in tokenizer.encode_batch(texts)]


def ids(tokenizer, texts):
    return [encoding.ids for encoding in tokenizer.encode_batch(texts)]


def test_trimmed_tokenizers_cut_the_same_texts_the_same(tokenizer):
    bare = bare_tokenizer(tokenizer)
    trimmed, rows = trim(bare, USED)
    assert tokens(trimmed, USED) == tokens(bare, USED)
    assert len(rows) < bare.get_vocab_size()
    assert sorted(trimmed.get_vocab().values()) == list(range(len(rows)))
    # Each new id reads the row that its piece had before.
    assert [[rows[number] for number in row] for row in ids(trimmed, USED)] == [
        [[number] for number in row] for row in ids(bare, USED)
    ]


def test_trimmed_tokenizers_read_other_texts(tokenizer):
    trimmed, _ = trim(bare_tokenizer(tokenizer), USED)
    own = wrapped_tokenizer(trimmed, tokenizer)
    for text in OTHER:
        row = own(text)["input_ids"]
        assert row[0] == own.cls_token_id
        assert row[-1] == own.sep_token_id
        assert len(row) > 2


def test_byte_level_tokenizers_lose_nothing_of_other_texts(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(save_tiny_model(tmp_path, "roberta"))
    own = wrapped_tokenizer(trim(bare_tokenizer(tokenizer), USED)[0], tokenizer)
    for text in (*OTHER, "größer, 日本"):
        assert own.decode(own(text)["input_ids"], skip_special_tokens=True) == text


def test_special_tokens_keep_their_meaning(tokenizer, tmp_path):
    trimmed, rows = trim(bare_tokenizer(tokenizer), USED)
    own = wrapped_tokenizer(trimmed, tokenizer)
    own.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert len(again) == len(rows)
    for name, token in tokenizer.special_tokens_map.items():
        assert again.special_tokens_map[name] == token
        assert rows[again.convert_tokens_to_ids(token)] == [tokenizer.convert_tokens_to_ids(token)]
    assert again(USED[0])["input_ids"] == own(USED[0])["input_ids"] == trimmed.encode(USED[0]).ids


def test_rare_pieces_go_and_are_spelled():
    tokenizer = word_pieces(*SPELLED, "often", "rare")
    trimmed, _ = trim(tokenizer, ["often often rare"], min_count=2)
    assert trimmed.encode("often rare").tokens == ["[CLS]", "often", "r", "##a", "##r", "##e", "[SEP]"]


def test_merges_that_lead_to_a_piece_stay():
    merges = [("a", "b"), ("c", "d"), ("ab", "cd"), ("b", "c")]
    vocabulary = {piece: number for number, piece in enumerate(["<unk>", *"abcd", "ab", "cd", "abcd", "bc"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>"))
    trimmed, rows = trim(tokenizer, ["abcd"])
    assert trimmed.get_vocab().keys() == {"<unk>", *"abcd", "ab", "cd", "abcd"}
    assert trimmed.encode("abcd").tokens == ["abcd"]
    assert trimmed.encode("bc").tokens == ["b", "c"]
    assert rows[trimmed.token_to_id("abcd")] == [7]


def test_unigram_bytes_stay_as_a_fallback():
    vocabulary = [("<unk>", 0.0), ("▁ab", -1.0), ("▁", -4.0), ("a", -4.0), ("b", -4.0), ("▁zz", -2.0)]
    vocabulary += [(f"<0x{byte:02X}>", -9.0) for byte in range(256)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, 0, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trimmed, _ = trim(tokenizer, ["ab"])
    assert trimmed.get_vocab_size() == len(vocabulary) - 1
    assert trimmed.encode("ab ü").tokens == ["▁ab", "▁", "<0xC3>", "<0xBC>"]


def test_a_word_level_tokenizer_is_refused():
    tokenizer = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    with pytest.raises(ConfigError, match="got 'WordLevel', expected WordPiece, BPE or Unigram"):
        trim(tokenizer, ["a"])


def test_a_frequent_word_becomes_a_piece_with_the_mean_of_its_letters():
    tokenizer = word_pieces(*SPELLED)
    extended, rows = extend(tokenizer, ["perché perche", "però"], 5)
    assert extended.encode("Perché").tokens == ["[CLS]", "perche", "[SEP]"]
    old, new = tokenizer.encode("perche", add_special_tokens=False).ids, extended.token_to_id("perche")
    assert len(old) == 6
    assert rows[new] == old
    student = tiny_student(tokenizer.get_vocab_size())
    table = student.body.embeddings.word_embeddings.weight.detach().clone()
    give_rows(student, rows)
    grown = student.body.embeddings.word_embeddings.weight
    torch.testing.assert_close(grown[new], table[old].mean(dim=0))
    assert torch.equal(grown[: len(table)], table)


def test_ends_of_words_become_pieces_too():
    texts = ["nazione azione stazione relazione", "lezione frazione"] * 3
    extended, _ = extend(word_pieces(*SPELLED), texts, 3)
    assert "##zione" in extended.get_vocab()
    assert "##zione" in extended.encode("mozione").tokens


def test_words_of_the_original_texts_are_not_cut_anew():
    tokenizer = word_pieces(*SPELLED, "station")
    english = ["station nation nation", "relation once relation"]
    texts = ["nazione nazionale nation relation stationale"] * 3
    extended, _ = extend(tokenizer, texts, 60, english)
    assert tokens(extended, english) == tokens(tokenizer, english)
    assert len(tokens(extended, texts)[0]) < len(tokens(tokenizer, texts)[0])
    careless, _ = extend(tokenizer, texts, 60)
    assert tokens(careless, english) != tokens(tokenizer, english)


def test_extension_does_not_depend_on_the_order_of_the_texts():
    rng = random.Random(1)
    texts = [" ".join("".join(rng.choices("aeinrt", k=5)) for _ in range(20)) for _ in range(40)]
    first, rows = extend(word_pieces(*SPELLED), texts, 50)
    second, again = extend(word_pieces(*SPELLED), texts[::-1], 50)
    assert first.to_str() == second.to_str()
    assert rows == again
    assert len(rows) == first.get_vocab_size() == 4 + len(SPELLED) + 50


@pytest.mark.parametrize("family", ["xlm-roberta", "roberta"])
def test_only_word_pieces_can_be_added(family, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(save_tiny_model(tmp_path, family))
    with pytest.raises(ConfigError, match="expected WordPiece to be extended"):
        extend(bare_tokenizer(tokenizer), USED, 3)


def test_a_trimmed_student_gives_the_same_embeddings(tokenizer):
    bare = bare_tokenizer(tokenizer)
    student = tiny_student(bare.get_vocab_size())
    student.body.config.pad_token_id = tokenizer.pad_token_id
    with torch.no_grad():
        before = student(*pad(ids(bare, USED)))
        trimmed, facts = change_vocabulary(student, bare, USED, trim_below=1)
        after = student(*pad(ids(trimmed, USED)))
    torch.testing.assert_close(after, before, atol=1e-6, rtol=1e-5)
    assert student.body.config.pad_token_id == trimmed.token_to_id(tokenizer.pad_token)
    size = student.body.embeddings.word_embeddings.num_embeddings
    assert facts["pieces_after"] == size == student.body.config.vocab_size == trimmed.get_vocab_size()
    assert facts["pieces_before"] == bare.get_vocab_size()
    assert facts["megabytes_after"] == round(size * 32 * 4 / 1e6, 1)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A random BERT that knows some words, and letters to spell the others with."""
    folder = tmp_path_factory.mktemp("teacher")
    tokenizer = word_pieces(*SPELLED, *WORDS)
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=256,
    )  # fmt: skip
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    specials = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **specials).save_pretrained(folder)
    return folder


def write(path, stems, endings=("",), seed=3):
    """200 texts of words that are put together from ``stems`` and ``endings``."""
    rng = random.Random(seed)
    words = [stem + ending for stem in stems for ending in endings]
    path.write_text("".join(f"{' '.join(rng.choices(words, k=rng.randint(4, 30)))}\n" for _ in range(200)))
    return path


@pytest.fixture(scope="module")
def english(tmp_path_factory):
    return write(tmp_path_factory.mktemp("en") / "en.txt", WORDS)


@pytest.fixture(scope="module")
def italian(tmp_path_factory):
    return write(tmp_path_factory.mktemp("it") / "it.txt", WORDS[:12], ("azione", "ità", "mente"))


def settings(teacher, **changes):
    common = {
        "teacher": str(teacher), "layers": (0, 2), "unique_tokens": 6000, "tokens": 3000, "batch_tokens": 512,
        "precision": "fp32", "threads": 1,
    }  # fmt: skip
    return DistillConfig(**{**common, **changes})


def run(texts, config, out, **more):
    more = {"phase": lambda *_: None, "report": lambda *_: None, **more}
    return distill(texts, config, out, **more)


@pytest.fixture(scope="module")
def first(teacher, english, tmp_path_factory):
    """A finished student of English texts."""
    folder = tmp_path_factory.mktemp("first") / "run"
    run([english], settings(teacher, pooled=True), folder)
    return folder


@pytest.fixture(scope="module")
def going_on(teacher, first, italian):
    return settings(
        teacher, layers=(0, 5), start=str(first), extend_vocabulary=30, trim_vocabulary=1,
        new_language_texts=(italian,),
    )  # fmt: skip


@pytest.fixture(scope="module")
def second(going_on, english, italian, tmp_path_factory):
    """A student that went on from the first one, with pieces of another language."""
    folder = tmp_path_factory.mktemp("second") / "run"
    run([english, italian], going_on, folder)
    return folder


def test_a_run_goes_on_from_a_student_with_more_pieces(first, second, going_on, italian):
    recipe, old = (json.loads((folder / "recipe.json").read_text()) for folder in (second, first))
    assert {key: recipe[key] for key in ("init", "layers", "pooled", "readout", "space")} == {
        key: old[key] for key in ("init", "layers", "pooled", "readout", "space")
    }
    assert is_finished(second, going_on)
    assert recipe["vocabulary"]["pieces_added"] == 30
    before, after = (Tokenizer.from_file(str(folder / "tokenizer.json")) for folder in (first, second))
    lines, known = italian.read_text().splitlines(), [" ".join(WORDS)]
    assert sum(map(len, ids(after, lines))) < 0.7 * sum(map(len, ids(before, lines)))
    assert tokens(after, known) == tokens(before, known)


def test_without_training_steps_the_student_is_the_one_it_starts_from(first, teacher, english, tmp_path):
    config = settings(teacher, layers=(0, 5), start=str(first), tokens=1, lr=1e-12)
    run([english], config, tmp_path / "run")
    old, new = (StudentModel.load(folder) for folder in (first, tmp_path / "run"))
    for mine, theirs in zip(new.parameters(), old.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-5)


def test_a_share_of_the_start_is_averaged_into_the_finished_student(first, teacher, english, tmp_path):
    runs = {}
    for share in (0.0, 0.25):
        folder = tmp_path / f"run-{share}"
        run([english], settings(teacher, layers=(0, 5), start=str(first), start_share=share), folder)
        runs[share] = StudentModel.load(folder)
    assert json.loads((folder / "recipe.json").read_text())["start_share"] == 0.25
    with pytest.raises(DataError, match=r"a finished student with start_share 0\.25, not None"):
        is_finished(folder, settings(teacher, layers=(0, 5), start=str(first)))
    start = StudentModel.load(first)
    weights = zip(start.parameters(), runs[0.0].parameters(), runs[0.25].parameters(), strict=True)
    for old, trained, averaged in weights:
        torch.testing.assert_close(averaged, 0.25 * old + 0.75 * trained, atol=1e-6, rtol=1e-4)
    assert not torch.equal(start.head.weight, runs[0.0].head.weight)


@pytest.mark.parametrize(
    "wrong", [{"start": None}, {"start_share": 1.0}, {"start_share": -0.1}, {"trim_vocabulary": 2}]
)
def test_a_start_that_cannot_be_averaged(first, teacher, wrong):
    given = {"layers": (0, 5), "start": str(first), "start_share": 0.5, **wrong}
    with pytest.raises(ConfigError, match="start_share: got"):
        settings(teacher, **given)


def test_a_start_of_another_space_is_not_averaged(first, english, tmp_path):
    other = save_tiny_teacher(tmp_path, seed=8)
    config = settings(other, layers=(0, 5), start=str(first), start_share=0.5)
    with pytest.raises(ConfigError, match="learned another vector space"):
        run([english], config, tmp_path / "run")


def test_a_start_gets_a_new_head_for_a_teacher_of_another_space(first, english, tmp_path):
    other = save_tiny_teacher(tmp_path, seed=8)
    config = settings(other, layers=(0, 5), start=str(first), tokens=1, lr=1e-12)
    run([english], config, tmp_path / "run")
    texts = english.read_text().splitlines()[-50:]
    source = load_teacher(str(other))
    targets = embed_ids(source.embed, token_ids(source.tokenizer, texts, 256), "fp32")
    tokenizer = Tokenizer.from_file(str(first / "tokenizer.json"))
    read = token_ids(tokenizer, texts, 256)
    old, new = (
        np.sum(student_embeddings(StudentModel.load(folder), read) * targets, axis=1).mean()
        for folder in (first, tmp_path / "run")
    )
    assert new > 0.9 > old


def test_a_student_with_more_pieces_exports_and_loads_elsewhere(second, italian, tmp_path):
    texts = italian.read_text().splitlines()[:20]
    _, parity = export(second, tmp_path / "model")
    assert parity.passed
    student, tokenizer = StudentModel.load(second), Tokenizer.from_file(str(second / "tokenizer.json"))
    tokenizer.enable_truncation(256)
    own = student_embeddings(student, ids(tokenizer, texts))
    theirs = SentenceTransformer(str(second), device="cpu", trust_remote_code=True).encode(texts)
    np.testing.assert_allclose(theirs, own, atol=1e-6)
    encoder = OnnxEncoder(Artifact.load(tmp_path / "model"))
    assert np.sum(encoder.encode_documents(texts) * own, axis=1).min() > 0.98
    assert encoder.token_ids(texts) == ids(tokenizer, texts)


def test_an_interrupted_run_ends_with_the_same_student(
    going_on, second, english, italian, tmp_path, monkeypatch
):
    def interrupt(progress, _):
        if progress.steps == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        run([english, italian], going_on, tmp_path / "run", report=interrupt)
    assert (tmp_path / "run" / "checkpoint.pt").exists()
    steps = []
    report = lambda progress, _: steps.append(progress.steps)  # noqa: E731
    run([english, italian], going_on, tmp_path / "run", report=report)
    assert steps[0] == 3
    again, whole = (StudentModel.load(folder) for folder in (tmp_path / "run", second))
    for mine, theirs in zip(again.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-5)
    assert (tmp_path / "run" / "tokenizer.json").read_text() == (second / "tokenizer.json").read_text()


def test_a_start_keeps_its_layers(teacher, first):
    with pytest.raises(ConfigError, match="pooled: got True and start"):
        settings(teacher, layers=(0, 5), start=str(first), pooled=True)


def test_a_start_of_another_length_is_refused(first, english, tmp_path):
    other = save_tiny_teacher(tmp_path, hidden_size=16)
    with pytest.raises(ConfigError, match=r"its embeddings have 32 numbers, those of the teacher .* 16;"):
        run([english], settings(other, layers=(0, 5), start=str(first)), tmp_path / "run")


def test_the_command_refuses_layers_beside_a_start(teacher, first, english, tmp_path):
    arguments = ["--texts", english, "--teacher", teacher, "--out", tmp_path / "run", "--start", first]
    result = CliRunner().invoke(cli, ["distill", *map(str, arguments), *sets(layers=[0, 5])])
    assert isinstance(result.exception, ConfigError)
    assert "got student.layers and student.start, expected one of them" in str(result.exception)


@pytest.mark.parametrize(("init", "trim_below"), [("de", None), ("ce", 1)])
def test_a_multilingual_student_exports(init, trim_below, tmp_path):
    """The Unigram tokenizer and the positions of XLM-R survive folder, export and serving."""
    multilingual = save_tiny_model(tmp_path / "de", "xlm-roberta")
    crossed = save_tiny_model(tmp_path / "ce", "xlm-roberta", labels=1)
    layers, cross_encoder = ((0, 2), None) if init == "de" else ((0, None), str(crossed))
    config = settings(
        multilingual, init=init, layers=layers, cross_encoder=cross_encoder, trim_vocabulary=trim_below
    )
    folder, model = tmp_path / "run", tmp_path / "model"
    recipe = run([write(tmp_path / "few.txt", WORDS[:8])], config, folder)
    export(folder, model)
    texts = [" ".join(WORDS[:6]), f"{WORDS[1]} unseen {WORDS[50]}"]
    student, tokenizer = StudentModel.load(folder), Tokenizer.from_file(str(folder / "tokenizer.json"))
    size = student.body.embeddings.word_embeddings.num_embeddings
    assert size == tokenizer.get_vocab_size()
    assert tokenizer.token_to_id("<pad>") == student.body.config.pad_token_id == 1
    if trim_below:
        assert size == recipe["vocabulary"]["pieces_after"] < recipe["vocabulary"]["pieces_before"]
    own = student_embeddings(student, ids(tokenizer, texts))
    assert np.sum(OnnxEncoder(model).encode_documents(texts) * own, axis=1).min() > 0.98
    theirs = SentenceTransformer(str(folder), device="cpu", trust_remote_code=True).encode(texts)
    np.testing.assert_allclose(theirs, own, atol=1e-6)
