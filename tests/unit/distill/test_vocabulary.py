"""Vocabularies trimmed and extended: the tokenizer's JSON, the table's rows, and whole runs with them."""

from __future__ import annotations

import json
import random

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, BertConfig, BertModel

from ce2de_os.distill.models import bare_tokenizer, wrapped_tokenizer
from ce2de_os.distill.vocabulary import change_vocabulary, extend, give_rows, trim
from ce2de_os.errors import ConfigError
from ce2de_os.student import StudentModel, pad
from tests.unit.distill.tiny import WORDS, save_tiny_model

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


def test_only_word_pieces_can_be_added(tokenizer):
    bare = bare_tokenizer(tokenizer)
    if json.loads(bare.to_str())["model"]["type"] == "WordPiece":
        pytest.skip("that is the one which can be extended")
    with pytest.raises(ConfigError, match="expected WordPiece to be extended"):
        extend(bare, USED, 3)


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
