"""Translation models: tiny random ones of each family."""

from __future__ import annotations

import random
import shutil
import sys

import pytest

from ce2de_os.errors import ConfigError, MissingExtraError
from ce2de_os.translate.base import most_tokens_out, reckoned_part
from ce2de_os.translate.sentences import fitting
from tests.unit.distill.tiny import save_tiny_teacher
from tests.unit.distill.tiny_translators import FAMILIES, save_marian, sentence

RNG = random.Random(1)
PIECES = [sentence(RNG, RNG.randint(1, 9)) for _ in range(24)]


def load(folder, source="en", target="it", **settings):
    from ce2de_os.translate.seq2seq import load_seq2seq

    return load_seq2seq(str(folder), source, target, precision="fp32", **settings)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {name: save(tmp_path_factory.mktemp(name)) for name, save in FAMILIES.items()}


@pytest.fixture(params=FAMILIES)
def folder(request, folders):
    return folders[request.param]


def test_a_batch_says_what_each_piece_alone_says(folder):
    translator = load(folder)
    together = translator.translate(PIECES)
    assert together == [translator.translate([piece])[0] for piece in PIECES]
    assert together == load(folder).translate(PIECES)
    assert len(set(together)) > 3
    assert any(translation.whole for translation in together)
    assert translator.translate([]) == []


def test_beams_and_languages_are_part_of_the_identity(folders):
    first = load(folders["nllb"])
    others = [load(folders["nllb"], beams=2), load(folders["nllb"], target="fr"), load(folders["m2m100"])]
    assert load(folders["nllb"], source="eng", target="ita_Latn").words.first_token == "ita_Latn"
    assert load(folders["nllb"]).identity == first.identity
    assert len({first.identity, *(other.identity for other in others)}) == 4
    assert others[0].translate(PIECES[:3]) == others[0].translate(PIECES[:3])


@pytest.mark.parametrize(("family", "token"), [("m2m100", "__it__"), ("nllb", "ita_Latn")])
def test_the_answer_begins_with_the_target_language_which_is_not_shown(folders, family, token):
    translator = load(folders[family])
    tokenizer = translator.words.tokenizer
    written = translator.write(translator.words.encode(PIECES[:4]), 9)
    assert {row[0] for row in written} == {tokenizer.convert_tokens_to_ids(token)}
    source = tokenizer.convert_tokens_to_ids({"m2m100": "__en__", "nllb": "eng_Latn"}[family])
    assert all(ids[0] == source for ids in translator.words.encode(PIECES))
    assert not any("__" in one.text or "_Latn" in one.text for one in translator.translate(PIECES))


def test_special_tokens_in_a_text_are_text(folder):
    words = load(folder).words
    plain, tricky = words.encode(["Bab beg.", "Bab </s> <pad> <unk> beg."])
    special = {words.tokenizer.eos_token_id, words.tokenizer.pad_token_id}
    assert sum(token in special for token in tricky) == sum(token in special for token in plain)


def test_a_long_sentence_is_cut_into_pieces_that_the_model_reads(folder):
    translator = load(folder)
    text = sentence(random.Random(2), 200)
    pieces = fitting(text, translator.count_tokens, translator.max_tokens)
    assert "".join(pieces) == text
    assert translator.max_tokens == 32  # half of the positions, so that there is room for the answer
    counts = translator.count_tokens(pieces[::2])
    assert 16 <= max(counts) <= 32
    assert len(translator.translate(pieces[::2])) == len(pieces[::2])


def test_what_finds_no_end_is_stopped_and_told(folders):
    translator = load(folders["nllb"])
    stopped = [
        (piece, one) for piece, one in zip(PIECES, translator.translate(PIECES), strict=True)
        if one.text and not one.whole
    ]  # fmt: skip
    assert stopped
    for piece, one in stopped:
        limit = most_tokens_out(translator.count_tokens([piece])[0], translator.words.rows)
        assert len(translator.words.tokenizer(one.text)["input_ids"]) <= limit + 2


def test_limits_in_numbers():
    assert most_tokens_out(10, 512) == 3 * 10 + 32
    assert most_tokens_out(256, 512) == 511
    # 15 s of 3e10 operations, 2 a weight and token, read once and written once, 4 characters a token.
    assert reckoned_part(75_000_000, 1, "cpu") == int(15 * 3e10 / (2 * 75e6 * 2) * 4)
    assert reckoned_part(10**12, 4, "cpu") == 1000
    assert reckoned_part(1, 1, "cuda") == 4_000_000


# Marian's languages


def test_a_marian_model_of_several_targets_is_told_which(tmp_path):
    save_marian(tmp_path / "m", targets=("ita", "fra"), target="ROMANCE")
    translator = load(tmp_path / "m", target="fr")
    first = translator.words.tokenizer.convert_ids_to_tokens(translator.words.encode(PIECES[:1])[0])[0]
    assert first == ">>fra<<"
    assert translator.identity != load(tmp_path / "m", target="it").identity
    with pytest.raises(ConfigError, match=r"has no language 'de'; near names: .*it has 2 in all"):
        load(tmp_path / "m", target="de")


def test_a_marian_model_of_other_languages_is_refused(folders):
    assert load(folders["marian"], source="eng", target="ita").words.prefix == ""
    with pytest.raises(ConfigError, match="its target language is 'it', not 'de'; choose another model"):
        load(folders["marian"], target="de")
    with pytest.raises(ConfigError, match="its source language is 'en', not 'fr'"):
        load(folders["marian"], source="fr")


# What is no translator


def test_unknown_languages_are_told(folders):
    with pytest.raises(ConfigError, match=r"has no language 'italian'; near names: ita_Latn.* 202 in all"):
        load(folders["nllb"], target="italian")
    with pytest.raises(ConfigError, match="has no language 'tlh'"):
        load(folders["m2m100"], source="tlh")


def test_models_that_do_not_translate_are_refused(tmp_path, folders):
    (tmp_path / "bert").mkdir()
    save_tiny_teacher(tmp_path / "bert")
    with pytest.raises(
        ConfigError, match=r"cannot be loaded .*; expected a hub id or a folder with a transl"
    ):
        load(tmp_path / "bert")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load(tmp_path / "nothing")
    save_bart(tmp_path / "bart")
    with pytest.raises(ConfigError, match="is not a translation model: its tokenizer names no languages"):
        load(tmp_path / "bart")
    shutil.copytree(folders["marian"], tmp_path / "untrained")
    from safetensors.torch import load_file, save_file

    weights = load_file(tmp_path / "untrained" / "model.safetensors")
    del weights["model.decoder.layers.0.fc1.weight"]
    save_file(weights, tmp_path / "untrained" / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        ConfigError, match=r"is not a trained translation model \(model.decoder.layers.0.fc1.weight is"
    ):
        load(tmp_path / "untrained")
    shutil.copytree(folders["marian"], tmp_path / "mute")
    (tmp_path / "mute" / "source.spm").unlink()
    with pytest.raises(ConfigError, match="its tokenizer cannot be loaded"):
        load(tmp_path / "mute")


def save_bart(folder):
    from transformers import BartConfig, BartForConditionalGeneration

    from tests.unit.distill.tiny import save_tiny_model

    save_tiny_model(folder, "roberta")  # for its tokenizer
    sizes = {"encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
    config = BartConfig(
        vocab_size=320, d_model=16, encoder_attention_heads=2, decoder_attention_heads=2, **sizes
    )
    BartForConditionalGeneration(config).save_pretrained(folder)


@pytest.mark.parametrize("module", ["sentencepiece", "sacremoses"])
def test_missing_libraries_are_named_with_their_extra(folders, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"{module} is not installed; run: .*\[translate\]"):
        load(folders["marian"])


# CTranslate2


@pytest.fixture(scope="module")
def converted(folders, tmp_path_factory):
    from ctranslate2 import converters

    files = {
        "marian": ["source.spm", "target.spm", "vocab.json", "tokenizer_config.json"],
        "nllb": ["tokenizer.json", "tokenizer_config.json"],
    }
    made = {}
    for family, copied in files.items():
        made[family] = tmp_path_factory.mktemp("converted") / family
        converter = converters.TransformersConverter(str(folders[family]), copy_files=copied)
        converter.convert(str(made[family]))
    return made


@pytest.mark.parametrize("family", ["marian", "nllb"])
def test_ctranslate2_says_what_transformers_says(folders, converted, family):
    from ce2de_os.translate.ctranslate2_model import load_ctranslate2

    translator, other = load_ctranslate2(str(converted[family]), "en", "it"), load(folders[family])
    assert translator.translate(PIECES) == other.translate(PIECES)
    assert translator.translate(PIECES[:1]) == other.translate(PIECES[:1])
    assert translator.count_tokens(PIECES) == other.count_tokens(PIECES)
    assert translator.max_tokens == other.max_tokens
    assert translator.identity != other.identity


def test_a_folder_without_a_converted_model_is_told_how_to_make_one(
    folders, converted, tmp_path, monkeypatch
):
    from ce2de_os.translate.ctranslate2_model import load_ctranslate2

    with pytest.raises(ConfigError, match=r"holds no model.bin.*; make it with: ct2-transformers-converter"):
        load_ctranslate2(str(folders["marian"]), "en", "it")
    shutil.copytree(converted["marian"], tmp_path / "mute")
    (tmp_path / "mute" / "source.spm").unlink()
    with pytest.raises(ConfigError, match=r"tokenizer cannot be loaded .*--copy_files"):
        load_ctranslate2(str(tmp_path / "mute"), "en", "it")
    shutil.copytree(converted["marian"], tmp_path / "broken")
    (tmp_path / "broken" / "model.bin").write_bytes(b"no model")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_ctranslate2(str(tmp_path / "broken"), "en", "it")
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(MissingExtraError, match=r"ctranslate2 is not installed; run: .*\[translate-ct2\]"):
        load_ctranslate2(str(converted["marian"]), "en", "it")
