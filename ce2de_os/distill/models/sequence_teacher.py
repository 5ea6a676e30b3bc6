"""A teacher that answers in words: a sequence-to-sequence model that says whether a document is relevant.

MonoT5 (Nogueira et al., Findings of EMNLP 2020, arXiv 2003.06713) reads ``Query: … Document: … Relevant:``
and says "true" or "false". Its score of a pair is the logarithm of the positive answer's probability, the
softmax taken over the two answers alone, at the first step of the decoder:

``score = log(exp z_positive / (exp z_positive + exp z_negative))``
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForSeq2SeqLM

from ce2de_os.distill.models.cross_encoder import Pair, PairTeacher, load_cross_encoder, read_in_batches
from ce2de_os.distill.models.hub import (
    best_device,
    is_seq2seq,
    load_tokenizer,
    load_weights,
    longest_input,
    read_tokens,
    weights_digest,
)
from ce2de_os.distill.precision import resolve
from ce2de_os.errors import ConfigError

MAX_LENGTH = 512  # what MonoT5 was trained with

Answers = tuple[str, str]
"""The positive and the negative answer: words, or pieces of the vocabulary if they begin with '▁'."""

_PROMPT = ("Query:", "Document:", "Relevant:")
_OF_FAMILY: dict[str, Answers] = {"t5": ("true", "false"), "mt5": ("yes", "no")}
# pygaggle, the software of MonoT5's authors, lists these two: "▁" is the first piece of a word that mT5 has
# no piece for.
_OF_MODEL: dict[str, Answers] = dict.fromkeys(("mt5-13b-mmarco-100k", "mt5-3B-mmarco-en-pt"), ("▁true", "▁"))
_PIECE = "▁"  # how sentencepiece marks the beginning of a word
_EXAMPLE: Pair = ("what is water", "Water is a clear liquid that falls as rain.")
_LEAST_SHARE = 0.1
# An encoder-decoder's attention is not fused: it keeps a number for every two tokens and head.
_MOST_TOKENS = 16_384


@dataclass(frozen=True)
class SequenceTeacher:
    """A loaded sequence-to-sequence reranker.

    Attributes:
        name: as the user gave it.
        model: a model with an encoder and a decoder.
        tokenizer: its fast tokenizer.
        max_length: most tokens of a pair; the document is cut first, then the query, the prompt never.
        digest: hash of the weights and the answers.
        device: device of the model.
        precision: number format of the weights, ``"bf16"`` or ``"fp32"``; float16 overflows in T5.
        answers: token ids of the positive and the negative answer.
    """

    name: str
    model: Any
    tokenizer: Any
    max_length: int
    digest: str
    device: torch.device
    precision: str
    answers: tuple[int, int]

    @property
    def active_weights(self) -> int:
        """Weights that every token passes: the encoder's, and those through which the decoder looks at it."""
        embeddings = self.model.get_input_embeddings().weight.numel()
        encoder = sum(weight.numel() for weight in self.model.get_encoder().parameters())
        crossing = sum(
            weight.numel() for name, weight in self.model.get_decoder().named_parameters()
            if name.endswith(("EncDecAttention.k.weight", "EncDecAttention.v.weight"))
        )  # fmt: skip
        return int(encoder - embeddings + crossing)

    def encode_pairs(self, pairs: Sequence[Pair]) -> list[dict[str, list[int]]]:
        """Tokenize each pair's prompt, not padded."""
        if not pairs:
            return []
        asked, found, relevant = self._ids(_PROMPT)
        end = [*relevant, self.tokenizer.eos_token_id]
        room = self.max_length - len(asked) - len(found) - len(end)
        rows = []
        queries, documents = (self._ids(texts) for texts in zip(*pairs, strict=True))
        for query, document in zip(queries, documents, strict=True):
            kept = query[:room]
            ids = [*asked, *kept, *found, *document[: room - len(kept)], *end]
            rows.append({"input_ids": ids})
        return rows

    def logits(self, pairs: Sequence[Pair], batch_tokens: int | None = None) -> NDArray[np.float32]:
        """Score each pair, ``(B,)`` float32 in the given order, at most 0, higher is better.

        ``batch_tokens`` is the size of a forward pass; ``None`` means a size for the device.

        Raises:
            DataError: the model gives numbers that are not finite.
        """

        def score(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
            positive, negative = self._first_step(inputs)[:, self.answers].unbind(dim=1)
            # The same as the log-softmax, and exact where the positive answer is nearly certain.
            return torch.nn.functional.logsigmoid(positive - negative)

        most = batch_tokens or min(read_tokens(self.device), _MOST_TOKENS)
        with torch.inference_mode():
            return read_in_batches(self, self.encode_pairs(pairs), most, score)

    def answer_share(self, pair: Pair) -> float:
        """Compute the probability of the two answers together, among all possible answers for ``pair``."""
        with torch.inference_mode():
            (row,) = self.encode_pairs([pair])
            inputs = self.tokenizer.pad([row], return_tensors="pt").to(self.device)
            return float(torch.softmax(self._first_step(inputs), dim=1)[0, self.answers].sum())

    def _first_step(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Compute the logits of the decoder's first token, ``(B, vocabulary)`` float32."""
        begin = self.model.config.decoder_start_token_id
        start = torch.full((len(inputs["input_ids"]), 1), begin, device=self.device)
        logits: torch.Tensor = self.model(**inputs, decoder_input_ids=start, use_cache=False).logits[:, 0]
        return logits.float()

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        encoded = self.tokenizer(
            list(texts), add_special_tokens=False, truncation=True, max_length=self.max_length
        )
        ids: list[list[int]] = encoded["input_ids"]
        return ids


def load_pair_teacher(name: str, answers: Answers | None = None) -> PairTeacher:
    """Load a model that scores pairs: a cross-encoder, or a sequence-to-sequence model with its ``answers``.

    Raises like `load_cross_encoder` and `load_sequence_teacher`.
    """
    return load_sequence_teacher(name, answers) if is_seq2seq(name) else load_cross_encoder(name)


def load_sequence_teacher(
    name: str, answers: Answers | None = None, max_length: int = MAX_LENGTH, precision: str = "auto"
) -> SequenceTeacher:
    """Load a hub id or a folder with a MonoT5 or mT5 reranker.

    ``answers`` ``None`` means those of its family: "true" and "false" of a T5, "yes" and "no" of an mT5
    (mMARCO, arXiv 2108.13897).

    Raises:
        ConfigError: there is no such model, its answers are not known or not single pieces of its
            vocabulary, or it gives other answers.
    """
    device = best_device()
    precision = resolve(precision, device.type)
    model, missing = load_weights(
        AutoModelForSeq2SeqLM, f"cross-encoder '{name}'", name,
        "a hub id or a folder with a sequence-to-sequence model such as a MonoT5",
        torch_dtype=torch.bfloat16 if precision == "bf16" else torch.float32,
    )  # fmt: skip
    if missing:
        raise ConfigError(f"cross-encoder '{name}': is incomplete ({missing[0]} is missing); fetch it again")
    tokenizer = load_tokenizer(name, model.config.vocab_size)
    ids = _answer_ids(name, tokenizer, answers or _usual_answers(name, model.config.model_type))
    teacher = SequenceTeacher(
        name, _with_exact_head(model).eval().to(device), tokenizer,
        min(max_length, longest_input(model.config, tokenizer)), f"{weights_digest(model)} {ids}", device,
        precision, ids,
    )  # fmt: skip
    _check_prompt(teacher)
    _check_answers(teacher)
    return teacher


def _with_exact_head(model: Any) -> Any:  # noqa: ANN401 - transformers has no types
    """Have the last product give float32: bfloat16 keeps two or three digits of a logit, which makes ties."""
    head = copy.deepcopy(model.get_output_embeddings()).float()  # often shared with the embeddings
    head.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))
    model.set_output_embeddings(head)
    return model


def _usual_answers(name: str, family: str) -> Answers:
    known = _OF_MODEL.get(Path(name).name) or _OF_FAMILY.get(family)
    if known is None:
        raise ConfigError(
            f"cross-encoder '{name}': what a {family} answers is not known; name its positive and its "
            'negative answer in rankings.answers, such as ["true", "false"]'
        )
    return known


def _answer_ids(name: str, tokenizer: Any, answers: Answers) -> tuple[int, int]:  # noqa: ANN401
    positive, negative = (_single_piece(tokenizer, answer) for answer in answers)
    for answer, piece in zip(answers, (positive, negative), strict=True):
        if piece is None:
            raise ConfigError(
                f"cross-encoder '{name}': '{answer}' is no single piece of its vocabulary, so it cannot be "
                f"its answer; name the pieces that it was trained to say in rankings.answers, such as "
                f'["true", "false"] or ["{_PIECE}true", "{_PIECE}"]'
            )
    if positive is None or negative is None or positive == negative:
        raise ConfigError(
            f"cross-encoder '{name}': got the answers {', '.join(answers)}, expected two different ones"
        )
    return positive, negative


def _single_piece(tokenizer: Any, answer: str) -> int | None:  # noqa: ANN401 - transformers has no types
    if answer.startswith(_PIECE):
        piece: int | None = tokenizer.get_vocab().get(answer)
        return piece
    ids = tokenizer(answer, add_special_tokens=False)["input_ids"]
    return ids[0] if len(ids) == 1 and ids[0] != tokenizer.unk_token_id else None


def _check_prompt(teacher: SequenceTeacher) -> None:
    """Reject a tokenizer that splits the parts of a prompt differently from the whole."""
    query, document = _EXAMPLE
    whole = " ".join((_PROMPT[0], query, _PROMPT[1], document, _PROMPT[2]))
    uncut = replace(teacher, max_length=MAX_LENGTH)
    if uncut.encode_pairs([_EXAMPLE]) != [{"input_ids": teacher.tokenizer(whole)["input_ids"]}]:
        raise ConfigError(
            f"cross-encoder '{teacher.name}': its tokenizer does not read word by word to an end mark as a "
            "T5's does; use a MonoT5 or an mT5"
        )


def _check_answers(teacher: SequenceTeacher) -> None:
    """Reject a model that was not trained to give these answers: its scores would mean nothing."""
    share = teacher.answer_share(_EXAMPLE)
    if not share >= _LEAST_SHARE:
        words = ", ".join(teacher.tokenizer.convert_ids_to_tokens(list(teacher.answers)))
        raise ConfigError(
            f"cross-encoder '{teacher.name}': would answer {words} with a probability of {share:.2%}, "
            f"expected at least {_LEAST_SHARE:.0%}: it is no reranker, or has other answers; name them in "
            "rankings.answers"
        )
