"""What every exported model needs to run: a tokenizer and an ONNX Runtime session."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import onnxruntime
from tokenizers import Tokenizer

from ce2de_os.errors import ArtifactError

CHARS_PER_TOKEN = 32
"""Text beyond a model's longest input times this is not even tokenized."""


def readable(text: str) -> str:
    """Replace lone surrogates by question marks: the tokenizer takes only valid Unicode."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def load_tokenizer(path: Path, max_length: int) -> Tokenizer:
    """Load a ``tokenizer.json``; the tokenizer cuts texts (of a pair the longer) to ``max_length`` tokens.

    Raises:
        ArtifactError: the file is no tokenizer.
    """
    # The tokenizer's own thread pool would take cores of other encoders, and it warns after a fork.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise ArtifactError(f"{path}: not a tokenizer: {error}") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    return tokenizer


def load_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """Load the graph at ``path`` into a session that uses ``threads`` cores.

    Raises:
        ArtifactError: ONNX Runtime cannot load the graph.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Idle threads must not spin: the cores are shared with other workers and with OpenSearch.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    try:
        return onnxruntime.InferenceSession(
            str(path),
            options,
            providers=["CPUExecutionProvider"],
            # The fused kernel is slower than the vectorised add and layer norm that it would replace.
            disabled_optimizers=["SkipLayerNormFusion"],
        )
    except Exception as error:  # onnxruntime's exception classes share no public base
        first_line = str(error).splitlines()[0]
        raise ArtifactError(f"{path}: ONNX Runtime cannot load it: {first_line}") from error


def keep_for_good(session: onnxruntime.InferenceSession) -> None:
    """Never destroy a session: in a forked process it would wait for threads that only the parent has."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))
