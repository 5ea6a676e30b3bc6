"""Translate with a model that was converted for CTranslate2."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from ce2de_os.distill.models.hub import first_line
from ce2de_os.errors import ConfigError, MissingExtraError
from ce2de_os.translate.base import reckoned_part
from ce2de_os.translate.model import ModelTranslator
from ce2de_os.translate.tokens import pair_tokenizer

MODEL_FILE = "model.bin"
_CURE = (
    "make it with: ct2-transformers-converter --model ID --output_dir FOLDER --copy_files "
    "tokenizer_config.json source.spm target.spm vocab.json (for NLLB: tokenizer_config.json tokenizer.json)"
)


class CTranslate2Translator(ModelTranslator):
    """A converted model; ``model`` is a ``ctranslate2.Translator``."""

    @property
    def device(self) -> str:
        """``"cpu"`` or ``"cuda"``."""
        return str(self.model.device)

    def write(self, ids: Sequence[list[int]], most: int) -> list[list[int]]:
        """Generate token ids for each row of token ids: up to ``most``, and the end token."""
        tokenizer, first = self.words.tokenizer, self.words.first_token
        results = self.model.translate_batch(
            [tokenizer.convert_ids_to_tokens(row) for row in ids], beam_size=self.beams,
            target_prefix=None if first is None else [[first]] * len(ids), max_input_length=0,
            max_decoding_length=most, return_end_token=True,
        )  # fmt: skip
        return [tokenizer.convert_tokens_to_ids(result.hypotheses[0]) for result in results]


def load_ctranslate2(folder: str, source: str, target: str, beams: int = 1) -> CTranslate2Translator:
    """Load a folder with a converted model and its tokenizer's files, on the GPU if there is one.

    Raises:
        MissingExtraError: CTranslate2, or a library that the tokenizer needs, is not installed.
        ConfigError: the folder has no such model, or the model does not know the languages.
    """
    try:
        import ctranslate2
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_extra("translate-ct2", "ctranslate2") from error
    file = Path(folder, MODEL_FILE)
    if not file.is_file():
        raise ConfigError(f"'{folder}': holds no {MODEL_FILE}, so it is not a CTranslate2 model; {_CURE}")
    try:
        words = pair_tokenizer(folder, source, target)
    except ConfigError as error:
        raise ConfigError(f"{error}; {_CURE}") from error
    try:
        model = ctranslate2.Translator(folder, device="auto")
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"'{folder}': cannot be loaded ({first_line(error)}); {_CURE}") from error
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    settings = [digest, source, words.prefix, words.first_token, beams, model.compute_type]
    identity = hashlib.sha256(repr(settings).encode()).hexdigest()
    # A weight takes one to four bytes; two is near enough.
    part = reckoned_part(file.stat().st_size // 2, beams, model.device)
    return CTranslate2Translator(folder, identity, part, model, words, beams)
