"""A tiny random teacher and texts in its vocabulary: enough to run the whole recipe offline in seconds."""

from __future__ import annotations

import random
from pathlib import Path

WORDS = [f"{first}{second}" for first in "bcdfglmnprst" for second in ("ab", "eg", "ip", "on", "ut")]


def save_tiny_teacher(folder: Path, hidden_size: int = 32) -> Path:
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.manual_seed(7)
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
