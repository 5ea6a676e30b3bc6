"""Tiny random translation models of three families, with sentencepiece tokenizers of their kinds."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path

from tests.unit.distill.tiny import WORDS

POSITIONS = 64
SIZES = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48,
    "max_position_embeddings": POSITIONS, "init_std": 0.8,
}  # fmt: skip
SPECIALS = ["</s>", "<unk>", "<pad>"]


def sentence(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(WORDS, k=words)).capitalize() + "."


def train_pieces(folder: Path, name: str) -> list[str]:
    """A sentencepiece model in ``folder/name``; returns its pieces, without special ones."""
    import sentencepiece

    rng, model = random.Random(3), io.BytesIO()
    lines = [sentence(rng, 8) for _ in range(300)]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, vocab_size=110, model_type="unigram", bos_id=-1,
        unk_id=0, eos_id=1, hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    (folder / name).write_bytes(model.getvalue())
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    pieces = [processor.id_to_piece(n) for n in range(processor.vocab_size())]
    return [piece for piece in pieces if piece not in SPECIALS]


def save_marian(folder: Path, targets: tuple[str, ...] = (), source: str = "en", target: str = "it") -> Path:
    import torch
    from transformers import MarianConfig, MarianMTModel, MarianTokenizer

    torch.manual_seed(5)
    folder.mkdir(parents=True, exist_ok=True)
    pieces = train_pieces(folder, "source.spm")
    (folder / "target.spm").write_bytes((folder / "source.spm").read_bytes())
    vocabulary = [*SPECIALS[:2], *(f">>{code}<<" for code in targets), *pieces, "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({token: n for n, token in enumerate(vocabulary)}))
    tokenizer = MarianTokenizer(
        str(folder / "source.spm"), str(folder / "target.spm"), str(folder / "vocab.json"),
        source_lang=source, target_lang=target, model_max_length=POSITIONS,
    )  # fmt: skip
    tokenizer.save_pretrained(folder)
    pad = len(vocabulary) - 1
    config = MarianConfig(
        vocab_size=len(vocabulary), pad_token_id=pad, eos_token_id=0, decoder_start_token_id=pad,
        forced_eos_token_id=None, **{**SIZES, "init_std": 0.1},
    )  # fmt: skip
    model = MarianMTModel(config)
    train(model, tokenizer)
    with torch.no_grad():  # as in Marian's own format, where padding has no row
        model.get_input_embeddings().weight[pad] = 0
    model.generation_config.bad_words_ids = [[pad]]
    model.save_pretrained(folder)
    return folder


def save_m2m100(folder: Path) -> Path:
    import torch
    from transformers import M2M100Config, M2M100ForConditionalGeneration, M2M100Tokenizer

    torch.manual_seed(5)
    folder.mkdir(parents=True, exist_ok=True)
    pieces = train_pieces(folder, "sentencepiece.bpe.model")
    vocabulary = ["<s>", "<pad>", "</s>", "<unk>", *pieces]
    (folder / "vocab.json").write_text(json.dumps({token: n for n, token in enumerate(vocabulary)}))
    tokenizer = M2M100Tokenizer(
        str(folder / "vocab.json"), str(folder / "sentencepiece.bpe.model"), model_max_length=POSITIONS
    )
    tokenizer.save_pretrained(folder)
    rows = tokenizer.encoder_size + len(tokenizer.lang_code_to_id) + tokenizer.num_madeup_words
    config = M2M100Config(
        vocab_size=rows, pad_token_id=1, eos_token_id=2,
        decoder_start_token_id=2, **SIZES,
    )  # fmt: skip
    scaled(M2M100ForConditionalGeneration(config)).save_pretrained(folder)
    return folder


def save_nllb(folder: Path) -> Path:
    import torch
    from transformers import M2M100Config, M2M100ForConditionalGeneration, NllbTokenizerFast

    torch.manual_seed(5)
    folder.mkdir(parents=True, exist_ok=True)
    train_pieces(folder, "sentencepiece.bpe.model")
    tokenizer = NllbTokenizerFast(str(folder / "sentencepiece.bpe.model"), model_max_length=POSITIONS)
    tokenizer.save_pretrained(folder)
    config = M2M100Config(
        vocab_size=len(tokenizer), pad_token_id=1, eos_token_id=2, decoder_start_token_id=2, **SIZES
    )
    scaled(M2M100ForConditionalGeneration(config)).save_pretrained(folder)
    return folder


def train(model, tokenizer, steps: int = 200) -> None:
    """Teach it a little of copying: enough that it writes different things, and comes to an end."""
    import torch

    rng = random.Random(4)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(steps):
        texts = [sentence(rng, rng.randint(1, 4)) for _ in range(32)]
        inputs = tokenizer(texts, return_tensors="pt", padding=True)
        labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
        model(**inputs, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


def scaled(model):
    """With weights under which it does not repeat itself for ever: words count less than what was read."""
    import torch

    with torch.no_grad():
        words = model.get_input_embeddings().weight
        words.mul_(0.3)
        words[model.config.eos_token_id].mul_(2.5)
        for name, weights in model.named_parameters():
            if "encoder_attn.v_proj" in name or "encoder_attn.out_proj.weight" in name:
                weights.mul_(3)
    return model


FAMILIES = {"marian": save_marian, "m2m100": save_m2m100, "nllb": save_nllb}
