"""A tiny random teacher and texts in its vocabulary: enough to run the whole recipe offline in seconds."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from ce2de_os.recipes.distill_toml import place_of
from ce2de_os.recipes.toml_table import toml_value

WORDS = [f"{first}{second}" for first in "bcdfglmnprst" for second in ("ab", "eg", "ip", "on", "ut")]


def save_tiny_teacher(folder: Path, hidden_size: int = 32, seed: int = 7) -> Path:
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.manual_seed(seed)
    (folder / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]) + "\n"
    )
    config = BertConfig(
        vocab_size=5 + len(WORDS), hidden_size=hidden_size, num_hidden_layers=3, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=256,
    )  # fmt: skip
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def write_texts(path: Path, lines: int = 600, seed: int = 5) -> Path:
    rng = random.Random(seed)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(4, 60))) for _ in range(lines)]
    path.write_text("\n".join(texts) + "\n")
    return path


def save_tiny_cross_encoder(folder: Path, labels: int = 1) -> Path:
    """A random BERT cross-encoder over the same vocabulary."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    torch.manual_seed(9)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]) + "\n"
    )
    config = BertConfig(
        vocab_size=5 + len(WORDS), hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=256, num_labels=labels, initializer_range=0.3,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


FAMILIES = ("bert", "distilbert", "roberta", "xlm-roberta", "modernbert")


def save_tiny_model(folder: Path, family: str, labels: int | None = None, seed: int = 11) -> Path:
    """A random model of three layers with a tokenizer of its family's kind; ``labels``: with a head."""
    import torch
    from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _TOKENIZERS[family]()
    roberta = family in ("roberta", "xlm-roberta")
    sizes = {
        "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64,
        "initializer_range": 0.3, "max_position_embeddings": 258 if roberta else 256,
    }  # fmt: skip
    if family == "distilbert":
        sizes |= {"hidden_dim": sizes.pop("intermediate_size")}
    if family == "modernbert":
        sizes |= {"local_attention": 8, "global_attn_every_n_layers": 2, "bos_token_id": None}
        sizes |= {"cls_token_id": tokenizer.cls_token_id, "sep_token_id": tokenizer.sep_token_id}
        sizes |= {"eos_token_id": tokenizer.sep_token_id}
    sizes |= {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    if labels is not None:
        sizes |= {"num_labels": labels}
    config = AutoConfig.for_model(family, **sizes)
    kind = AutoModel if labels is None else AutoModelForSequenceClassification
    kind.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _word_pieces():
    from transformers import BertTokenizerFast

    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    # A BERT's tokenizer gives token types, as those do that were saved with many a DistilBERT.
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as vocabulary:
        vocabulary.write("\n".join([*specials, *WORDS]) + "\n")
        vocabulary.flush()
        return BertTokenizerFast(vocabulary.name)


def _byte_pairs(specials: list[str]):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=specials, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator([" ".join(WORDS)] * 3, trainer)
    return tokenizer


def _roberta_tokenizer():
    from tokenizers.processors import RobertaProcessing
    from transformers import RobertaTokenizerFast

    tokenizer = _byte_pairs(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    tokenizer.post_processor = RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return RobertaTokenizerFast(tokenizer_object=tokenizer)


def _xlm_roberta_tokenizer():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import XLMRobertaTokenizerFast

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=100, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"], unk_token="<unk>",
        show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator([" ".join(WORDS)] * 3, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return XLMRobertaTokenizerFast(tokenizer_object=tokenizer)


def _modernbert_tokenizer():
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    tokenizer = _byte_pairs(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:0 [SEP]:0",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )  # fmt: skip
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]",
    )  # fmt: skip


_TOKENIZERS = {
    "bert": _word_pieces,
    "distilbert": _word_pieces,
    "roberta": _roberta_tokenizer,
    "xlm-roberta": _xlm_roberta_tokenizer,
    "modernbert": _modernbert_tokenizer,
}


def save_tiny_reranker(
    folder: Path, family: str = "t5", answers: tuple[str, str] | None = None, taught: bool = True
) -> Path:
    """A tiny T5 or mT5 that answers at random with two words; not ``taught``: it answers anything."""
    import torch
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    torch.manual_seed(13)
    answers = answers or {"t5": ("true", "false"), "mt5": ("yes", "no")}[family]
    tokenizer = t5_tokenizer()
    config = AutoConfig.for_model(
        family, vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4,
        dropout_rate=0.0, decoder_start_token_id=0, tie_word_embeddings=family == "t5",
    )  # fmt: skip
    model = AutoModelForSeq2SeqLM.from_config(config)
    if taught:
        _teach(model, tokenizer, answers)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _teach(model, tokenizer, answers: tuple[str, str]) -> None:
    import torch

    rng = random.Random(17)
    texts = [f"Query: {' '.join(rng.choices(WORDS, k=3))} Document: {rng.choice(WORDS)} Relevant:"
             for _ in range(32)]  # fmt: skip
    inputs = tokenizer(texts, padding=True, return_tensors="pt")
    said = [tokenizer.convert_tokens_to_ids(f"▁{answer}".replace("▁▁", "▁")) for answer in answers]
    labels = torch.tensor([[rng.choice(said)] for _ in texts])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        model(**inputs, labels=labels).loss.backward()
        optimizer.step()


def t5_tokenizer(byte_fallback: bool = False):
    """A unigram tokenizer that splits at spaces and marks words with '▁', as sentencepiece does for a T5."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import T5TokenizerFast

    words = ["Query:", "Document:", "Relevant:", "true", "false", "yes", "no", *WORDS]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -6.0), *((f"▁{w}", -3.0) for w in words)]
    pieces += [(letter, -7.0) for letter in "abcdefghijklmnopqrstuvwxyzDQRW.:,0123456789"]
    if byte_fallback:
        pieces += [(f"<0x{byte:02X}>", -9.0) for byte in range(256)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=byte_fallback))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return T5TokenizerFast(tokenizer_object=tokenizer, extra_ids=0)


def sets(**values):
    """The flags that set keys of a recipe, whose tables are found by the keys."""
    return [
        word
        for key, value in values.items()
        for word in ("--set", f"{place_of(key)}={toml_value(value)}")
    ]  # fmt: skip
