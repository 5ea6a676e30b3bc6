"""The tokenizer of a translation model, set to a pair of languages."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from transformers import AutoTokenizer

from ce2de_os.distill.models.hub import LOAD_ERRORS, first_line, locate
from ce2de_os.errors import ConfigError, MissingExtraError
from ce2de_os.translate.base import MAX_PIECE_TOKENS
from ce2de_os.translate.languages import code_of, is_same

_LARGEST = 1024  # tokens; a tokenizer without a limit says 10 ** 30
_FLORES = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")
_NEEDED = ("sentencepiece", "sacremoses")


@dataclass(frozen=True)
class PairTokenizer:
    """A tokenizer that is set to a pair of languages.

    Attributes:
        tokenizer: a slow or fast one of transformers.
        rows: tokens that the model can read or write.
        prefix: text that a Marian model of several target languages needs before each text, else ``""``.
        first_token: the target language's token, with which an M2M100 or NLLB begins; ``None``: none.
        language_ids: the tokens of all languages, which are not special tokens in every tokenizer.
    """

    tokenizer: Any
    rows: int
    prefix: str
    first_token: str | None
    language_ids: frozenset[int]

    @property
    def max_tokens(self) -> int:
        """Longest piece; the model can write twice as much."""
        return min(MAX_PIECE_TOKENS, self.rows // 2)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokenize each text; token ids include special tokens, and nothing is cut."""
        if not texts:
            return []
        encoded = self.tokenizer([self.prefix + self._plain(text) for text in texts], verbose=False)
        ids: list[list[int]] = encoded["input_ids"]
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Decode the model's output, without special tokens and outer spaces."""
        words = [token for token in ids if token not in self.language_ids]
        return str(self.tokenizer.decode(words, skip_special_tokens=True)).strip()

    def _plain(self, text: str) -> str:
        """Put a space into text that would be read as a special token, such as ``</s>``."""
        for token in self.tokenizer.all_special_tokens:
            if token in text:
                text = text.replace(token, f"{token[0]} {token[1:]}")
        return text


def pair_tokenizer(name: str, source: str, target: str, rows: int | None = None) -> PairTokenizer:
    """Load the tokenizer in a folder or of a hub id for translating from ``source`` to ``target``.

    ``rows`` is the size of the model's position table; ``None`` means that of the tokenizer.

    Raises:
        MissingExtraError: a library that such tokenizers need is not installed.
        ConfigError: there is no tokenizer, it is not that of a translation model, or it does not know the
            languages.
    """
    for module in _NEEDED:
        if find_spec(module) is None:
            raise MissingExtraError.for_extra("translate", module)
    place = locate(name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(place)
    except LOAD_ERRORS as error:
        raise ConfigError(
            f"translator '{name}': its tokenizer cannot be loaded ({first_line(error)})"
        ) from error
    codes = _codes(tokenizer)
    prefix, first_token = _set_languages(name, tokenizer, codes, source, target)
    limit = min(int(tokenizer.model_max_length), rows or _LARGEST, _LARGEST)
    language_ids = frozenset(tokenizer.convert_tokens_to_ids(list(codes.values())))
    return PairTokenizer(tokenizer, limit, prefix, first_token, language_ids)


def _set_languages(
    name: str,
    tokenizer: Any,  # noqa: ANN401 - transformers has no types
    codes: Mapping[str, str],
    source: str,
    target: str,
) -> tuple[str, str | None]:
    """Set the source language; the text's prefix and the answer's first token, see `PairTokenizer`."""
    whose = f"translator '{name}'"
    if codes:
        tokenizer.src_lang = code_of(source, codes, whose)
        return "", codes[code_of(target, codes, whose)]
    targets = getattr(tokenizer, "supported_language_codes", None)
    if targets is None:
        raise ConfigError(
            f"{whose}: is not a translation model: its tokenizer names no languages; expected a Marian, "
            "NLLB or M2M100 model"
        )
    given = ("source", source, tokenizer.source_lang), ("target", target, tokenizer.target_lang)
    for side, wanted, own in given:
        if own and is_same(wanted, own) is False:
            raise ConfigError(
                f"{whose}: its {side} language is '{own}', not '{wanted}'; choose another model"
            )
    return (f"{code_of(target, targets, whose)} ", None) if targets else ("", None)


def _codes(tokenizer: Any) -> dict[str, str]:  # noqa: ANN401 - transformers has no types
    """Return language codes and their tokens; empty if the tokenizer has none or is Marian's."""
    if hasattr(tokenizer, "lang_code_to_token"):  # M2M100
        return dict(tokenizer.lang_code_to_token)
    return {token: token for token in tokenizer.additional_special_tokens if _FLORES.fullmatch(token)}
