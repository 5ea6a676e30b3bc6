"""Change a student's vocabulary: keep the pieces that some texts use, or add pieces of another language.

Most of a multilingual encoder's weights are rows of pieces that one language never uses; without those rows
it computes the same ("Load What You Need", arXiv 2010.05609). An English encoder cuts words of another
language into many pieces and reads more slowly for it. A new piece begins with the mean of the rows of the
pieces that it replaces ("Fast Vocabulary Transfer", arXiv 2402.09977).
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import ByteLevel

from ce2de_os.distill.models.pieces import cut_anew, learn_pieces
from ce2de_os.errors import ConfigError
from ce2de_os.student import StudentModel

logger = logging.getLogger(__name__)

BATCH_TEXTS = 1024
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")

Spec = dict[str, Any]
"""The JSON description of a tokenizer."""


class Vocabulary(NamedTuple):
    """A changed tokenizer, and the origin of its rows in the embedding table.

    Attributes:
        tokenizer: gives ids from 0 to ``len(rows) - 1``.
        rows: for each of its ids, the ids of the tokenizer before whose rows' mean it begins with.
    """

    tokenizer: Tokenizer
    rows: Sequence[Sequence[int]]


def trim(tokenizer: Tokenizer, texts: Iterable[str], min_count: int = 1) -> Vocabulary:
    """Keep the pieces that ``texts`` use at least ``min_count`` times; with 1 they are cut as before.

    Special tokens stay, and so do the characters of the texts, the bytes, and letters like those of Latin-1,
    of which other words are then spelled. The order of the pieces stays too.

    Raises:
        ConfigError: the tokenizer is not one of WordPiece, BPE and Unigram.
    """
    spec = json.loads(tokenizer.to_str())
    kind = spec["model"]["type"]
    if kind not in ("WordPiece", "BPE", "Unigram"):
        raise ConfigError(f"tokenizer: got '{kind}', expected WordPiece, BPE or Unigram to be trimmed")
    ids = tokenizer.get_vocab(with_added_tokens=True)
    counts = Counter(number for row in _encoded(tokenizer, texts) for number in row)
    used = {piece for piece, number in ids.items() if counts[number] >= min_count}
    seen = {piece for piece, number in ids.items() if counts[number]}
    kept = used | _special(spec) | _fallback(spec["model"], ids, seen)
    if kind == "BPE":
        kept = _with_parts(spec["model"], kept)
    order = sorted(kept & ids.keys(), key=ids.__getitem__)
    return Vocabulary(_rewritten(spec, order), [[ids[piece]] for piece in order])


def extend(
    tokenizer: Tokenizer, texts: Iterable[str], pieces: int, original: Iterable[str] = ()
) -> Vocabulary:
    """Add at most ``pieces`` WordPieces that ``texts`` need most, the most frequent first.

    Fewer are added if the texts have no more. ``original`` are texts in the language that the student knows
    already: no new piece may change how words that occur twice there are cut.

    Raises:
        ConfigError: the tokenizer is no WordPiece tokenizer.
    """
    spec = json.loads(tokenizer.to_str())
    kind = spec["model"]["type"]
    if kind != "WordPiece":
        raise ConfigError(
            f"tokenizer: got '{kind}', expected WordPiece to be extended; a multilingual one knows other "
            "languages already and can be trimmed"
        )
    words, known = _words(tokenizer, spec, texts), _words(tokenizer, spec, original)
    vocabulary, prefix = spec["model"]["vocab"].keys(), _prefix(spec["model"])
    learned = learn_pieces(words, known, pieces, vocabulary, prefix)
    logger.info(
        "learned new pieces",
        extra={
            "action": "distill_pieces",
            "pieces": len(learned),
            "original_words": known.total(),
            "original_words_cut_anew": cut_anew(known, vocabulary, learned, prefix),
        },
    )
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    ids = tokenizer.get_vocab(with_added_tokens=True)
    spec["model"]["vocab"] |= {piece: size + number for number, piece in enumerate(learned)}
    rows = [[number] for number in range(size)]
    rows += [[ids[part] for part in parts] for parts in learned.values()]
    return Vocabulary(Tokenizer.from_str(json.dumps(spec)), rows)


def give_rows(student: StudentModel, rows: Sequence[Sequence[int]]) -> None:
    """Replace the student's table of tokens: each new row is the mean of the old ones named in ``rows``."""
    embeddings, config = student.body.embeddings, student.body.config
    starts = torch.tensor([0, *map(len, rows)]).cumsum(0)[:-1]
    flat = torch.tensor([number for row in rows for number in row])
    with torch.no_grad():
        table = torch.nn.functional.embedding_bag(
            flat, embeddings.word_embeddings.weight, starts, mode="mean"
        )
    padding = next((new for new, row in enumerate(rows) if list(row) == [config.pad_token_id]), 0)
    embeddings.word_embeddings = torch.nn.Embedding(len(rows), table.shape[1], padding, _weight=table)
    config.vocab_size, config.pad_token_id = len(rows), padding


def change_vocabulary(
    student: StudentModel,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    *,
    extend_by: int | None = None,
    new_texts: Sequence[str] = (),
    trim_below: int | None = None,
) -> tuple[Tokenizer, dict[str, Any]]:
    """Extend, then trim, the vocabulary of ``student`` in place; the same texts give the same result.

    Args:
        student: its table of tokens is replaced.
        tokenizer: the student's, without truncation or padding.
        texts: the texts that the student is trained on.
        extend_by: pieces to add; ``None`` for none.
        new_texts: texts in the new languages; ``texts`` are then those in the language it knows. Without
            them the pieces are learned from ``texts``.
        trim_below: least number of uses in all texts together for a piece to be kept; ``None`` keeps all.

    Returns:
        The new tokenizer, and the facts: pieces before, added and after, and megabytes of the table in
        float32 before and after.
    """
    facts = {"pieces_before": len(student.body.embeddings.word_embeddings.weight)}
    width, added = student.body.config.hidden_size, 0
    if extend_by is not None:
        before = tokenizer.get_vocab_size(with_added_tokens=True)
        tokenizer, rows = extend(tokenizer, new_texts or texts, extend_by, texts if new_texts else ())
        give_rows(student, rows)
        added = len(rows) - before
    if trim_below is not None:
        tokenizer, rows = trim(tokenizer, [*texts, *new_texts], trim_below)
        give_rows(student, rows)
    facts |= {"pieces_added": added, "pieces_after": len(student.body.embeddings.word_embeddings.weight)}
    for when in ("before", "after"):
        facts[f"megabytes_{when}"] = round(facts[f"pieces_{when}"] * width * 4 / 1e6, 1)
    logger.info("changed the vocabulary", extra={"action": "distill_vocabulary", **facts})
    return tokenizer, facts


def _encoded(tokenizer: Tokenizer, texts: Iterable[str]) -> Iterator[list[int]]:
    """Yield the ids of each text without special tokens."""
    left = iter(texts)
    while batch := list(islice(left, BATCH_TEXTS)):
        for encoding in tokenizer.encode_batch_fast(batch, add_special_tokens=False):
            yield encoding.ids


def _words(tokenizer: Tokenizer, spec: Spec, texts: Iterable[str]) -> Counter[tuple[str, ...]]:
    """Count each word, as the tuple of its pieces; unknown words are left out."""
    prefix, unknown = _prefix(spec["model"]), spec["model"]["unk_token"]
    pieces = {number: piece for piece, number in tokenizer.get_vocab(with_added_tokens=True).items()}
    words: Counter[tuple[str, ...]] = Counter()
    for row in _encoded(tokenizer, texts):
        parts = [pieces[number] for number in row]
        starts = [place for place, part in enumerate(parts) if not part.startswith(prefix)]
        words.update(tuple(parts[a:b]) for a, b in zip(starts, [*starts[1:], len(parts)], strict=True))
    del words[(unknown,)]
    return words


def _prefix(model: Spec) -> str:
    """Return the mark of a piece that continues a word, such as ``##``."""
    return model.get("continuing_subword_prefix") or ""


def _special(spec: Spec) -> set[str]:
    """Return the added tokens and the token for unknown text."""
    model = spec["model"]
    special = {token["content"] for token in spec["added_tokens"]}
    if model.get("unk_token") is not None:
        special.add(model["unk_token"])
    if model.get("unk_id") is not None:
        special.add(model["vocab"][model["unk_id"]][0])
    return special


def _fallback(model: Spec, pieces: Iterable[str], seen: Iterable[str]) -> set[str]:
    """Return the pieces of one character or byte that the texts or byte-level tokenizers have."""
    prefix, characters = _prefix(model), {*ByteLevel.alphabet(), *"".join(seen)}
    single = {piece for piece in pieces if piece.removeprefix(prefix) in characters}
    bytes_too = model.get("byte_fallback", False)
    return single | {piece for piece in pieces if bytes_too and _BYTE.fullmatch(piece)}


def _merged(model: Spec) -> Iterator[tuple[str, str, str]]:
    """Yield the merges of a BPE model: both parts and the result."""
    prefix = _prefix(model)
    for left, right in model["merges"]:
        yield left, right, left + right.removeprefix(prefix)


def _with_parts(model: Spec, kept: set[str]) -> set[str]:
    """Add to ``kept`` all pieces that its pieces are merged from, in any way."""
    merges, whole = list(_merged(model)), set(kept)
    while True:
        parts = {part for left, right, result in merges if result in whole for part in (left, right)}
        if parts <= whole:
            return whole
        whole |= parts


def _rewritten(spec: Spec, order: Sequence[str]) -> Tokenizer:
    """Rebuild the tokenizer with the pieces in ``order`` only; their positions there are their ids."""
    model, ids = spec["model"], {piece: number for number, piece in enumerate(order)}
    if model["type"] == "Unigram":
        unknown = model["unk_id"]
        model["unk_id"] = None if unknown is None else ids[model["vocab"][unknown][0]]
        model["vocab"] = [[piece, score] for piece, score in model["vocab"] if piece in ids]
    else:
        model["vocab"] = {piece: ids[piece] for piece in order if piece in model["vocab"]}
    if model["type"] == "BPE":
        model["merges"] = [
            [left, right] for left, right, result in _merged(model) if {left, right, result} <= ids.keys()
        ]
    for token in spec["added_tokens"]:
        token["id"] = ids[token["content"]]
    spec["post_processor"] = _with_ids(spec["post_processor"], ids)
    return Tokenizer.from_str(json.dumps(spec))


def _with_ids(processor: Any, ids: Mapping[str, int]) -> Any:  # noqa: ANN401 - any part of the JSON
    """Replace the ids of special tokens in the post-processor's JSON."""
    match processor:
        case {"ids": [*_], "tokens": [*tokens]}:  # a special token of a template
            return {**processor, "ids": [ids[token] for token in tokens]}
        case [str(token), int()]:  # ``sep`` and ``cls`` of BERT and RoBERTa
            return [token, ids[token]]
        case dict():
            return {key: _with_ids(value, ids) for key, value in processor.items()}
        case list():
            return [_with_ids(value, ids) for value in processor]
        case _:
            return processor
