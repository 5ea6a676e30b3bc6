"""Load the parts that every exported model needs: a tokenizer and an ONNX Runtime session."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnxruntime
from tokenizers import Tokenizer

from ce2de_os.errors import ArtifactError, Ce2deError
from ce2de_os.model.artifact import Artifact
from ce2de_os.model.manifest import MODEL_FILE, TOKENIZER_FILE
from ce2de_os.redaction import one_line

CHARS_PER_TOKEN = 32
"""Characters per token beyond which text is not even tokenized."""


def load_tokenizer(artifact: Artifact, max_length: int | None = None) -> Tokenizer:
    """Load an artifact's tokenizer, which cuts texts (of a pair the longer) to ``max_length`` tokens.

    ``None`` means the artifact's own length.

    Raises:
        ArtifactError: the file is no tokenizer, or was replaced.
    """
    # The tokenizer's own thread pool would take cores of other encoders, and it warns after a fork.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    content = artifact.read(TOKENIZER_FILE)
    with library_errors(f"{artifact.tokenizer_path}: not a tokenizer"):
        tokenizer = Tokenizer.from_buffer(content)
        tokenizer.no_padding()
        tokenizer.enable_truncation(artifact.max_length if max_length is None else max_length)
    return tokenizer


def load_session(source: Artifact | Path, threads: int) -> onnxruntime.InferenceSession:
    """Load an artifact's graph, or the graph at a path, into a session that uses ``threads`` cores.

    An artifact's graph has all its weights in itself: what lies in other files has no hash.

    Raises:
        ArtifactError: ONNX Runtime cannot load the graph.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Idle threads must not spin: the cores are shared with other workers and with OpenSearch.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    if isinstance(source, Path):
        graph: str | bytes = str(source)
        place = source
    else:
        graph, place = source.read(MODEL_FILE), source.model_path
        # A place that cannot exist; else it would be the current folder.
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", f"{os.devnull}/none"
        )
    with library_errors(f"{place}: ONNX Runtime cannot load it"):
        return onnxruntime.InferenceSession(
            graph,
            options,
            providers=["CPUExecutionProvider"],
            # The fused kernel is slower than the vectorized add and layer norm that it would replace.
            disabled_optimizers=["SkipLayerNormFusion"],
        )


@contextmanager
def library_errors(what: str) -> Iterator[None]:
    """Turn whatever a library makes of a bad file into one error that begins with ``what``.

    Raises:
        ArtifactError: with the library's first line.
    """
    try:
        yield
    except (Ce2deError, KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError):
        raise
    except BaseException as error:  # a panic of Rust's is no Exception; onnxruntime's share no base
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ArtifactError(f"{what}: {one_line(lines[0]):.300}; export the model again") from error


def keep_for_good(session: onnxruntime.InferenceSession) -> None:
    """Never destroy a session: in a forked process it would wait for threads that only the parent has."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))
