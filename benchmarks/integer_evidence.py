"""What one CPU makes of the int8 graph: its integer sums, a toy that overflows, and vectors.

The parent process writes a folder of inputs (`prepare`); any process on any CPU looks at them (`observe`);
`expected` says what the integers must be, in numpy's 32-bit arithmetic.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from benchmarks.machine import cpu_flags
from benchmarks.onnx_graphs import (
    FULL,
    SAFE,
    Product,
    exact_integers,
    full_range,
    integer_graph,
    products,
    with_outputs,
)
from ce2de_os import OnnxEncoder
from ce2de_os.arrays import Embeddings, pad_ids, token_batches
from ce2de_os.model.artifact import Artifact
from ce2de_os.model.encoder import BATCH_TOKENS

ROWS = 256  # activations fed to a product; under emulation more would only take longer

Arrays = dict[str, NDArray[Any]]
Ids = Sequence[Sequence[int]]


def prepare(artifact: Artifact, texts: Sequence[str], folder: Path) -> Arrays:
    """Write what `observe` reads into ``folder``, and return what its integers must be."""
    model = onnx.load(artifact.model_path)
    safe, full = products(model), products(full_range(model))
    if not safe:
        raise SystemExit(f"{artifact.folder}: no integer products in the graph; nothing to compare")
    inputs = {"artifact": str(artifact.folder.resolve()), "texts": list(texts)}
    (folder / "inputs.json").write_text(json.dumps(inputs), encoding="utf-8")
    onnx.save(integer_graph(safe), folder / "safe.onnx")
    onnx.save(integer_graph(full), folder / "full.onnx")
    onnx.save(full_range(model), folder / "full_model.onnx")
    fed = activations(model, OnnxEncoder(artifact).token_ids(texts))
    np.savez(folder / "activations.npz", **fed)
    return expected(safe, fed, "safe") | expected(full, fed, "full")


def activations(model: onnx.ModelProto, ids: Ids) -> Arrays:
    """Collect the quantized activations that the products read: ``a0, a1, …``, ``(M, K)`` uint8."""
    tensors = [product.activation for product in products(model)]
    session = _session(with_outputs(model, tensors, onnx.TensorProto.UINT8).SerializeToString())
    found: list[list[NDArray[np.uint8]]] = [[] for _ in tensors]
    for row in ids:
        tokens = np.array([row], dtype=np.int64)
        outputs = session.run(tensors, {"input_ids": tokens, "attention_mask": np.ones_like(tokens)})
        for rows, output in zip(found, outputs, strict=True):
            rows.append(output.reshape(-1, output.shape[-1]))
    stacked = [np.concatenate(rows) for rows in found]
    return {f"a{index}": rows[:: max(1, len(rows) // ROWS)][:ROWS] for index, rows in enumerate(stacked)}


def expected(wanted: Sequence[Product], fed: Arrays, name: str) -> Arrays:
    """Compute the exact sums, under every name that `integers` gives them."""
    exact: Arrays = {}
    for index, product in enumerate(wanted):
        sums = exact_integers(product, fed[f"a{index}"])
        for kind in ("int", "fused"):
            exact[f"{name}_{kind}{index}"] = sums
            exact[f"{name}_{kind}{index}_one_row"] = sums[:1]
    return exact


def integers(graph: Path | bytes, fed: Arrays, name: str) -> Arrays:
    """Compute ONNX Runtime's sums: all rows at once, and one row, which may have its own kernel."""
    session = _session(graph)
    names = [output.name for output in session.get_outputs()]
    together = session.run(None, fed)
    alone = session.run(None, {key: rows[:1] for key, rows in fed.items()})
    seen = {f"{name}_{key}": value for key, value in zip(names, together, strict=True)}
    return seen | {f"{name}_{key}_one_row": value for key, value in zip(names, alone, strict=True)}


def toy(weight: int) -> NDArray[np.int32]:
    """Compute the least product that can overflow: activations 255, weights ``±weight``; ``(2, 2)`` sums.

    By hand ``[[510 w, 0], [255 w, -255 w]]``: 510 w is 32,640 for 64 and 64,770 for 127, and a signed 16-bit
    sum ends at 32,767.
    """
    fed = {"a0": np.array([[255, 255], [255, 0]], dtype=np.uint8)}
    weights = np.array([[weight, -weight], [weight, weight]], dtype=np.int8)
    product = Product("toy", "a", weights, np.array(0, dtype=np.uint8), np.zeros(2, dtype=np.int8))
    return np.asarray(integers(integer_graph([product]).SerializeToString(), fed, "toy")["toy_int0"])


def observe(folder: Path) -> Arrays:
    """Integers, toys and vectors as this process's CPU computes them, and what the CPU says it is."""
    inputs = json.loads((folder / "inputs.json").read_text(encoding="utf-8"))
    encoder = OnnxEncoder(Path(inputs["artifact"]))
    ids = encoder.token_ids(inputs["texts"])
    with np.load(folder / "activations.npz") as file:
        fed = dict(file)
    return {
        "cpuid": np.array(sorted(_cpuid_features())),
        "kernel_list": np.array(sorted(cpu_flags())),
        f"toy{SAFE}": toy(SAFE),
        f"toy{FULL}": toy(FULL),
        "vectors": encoder.encode_ids(ids),
        "vectors_full": _vectors(folder / "full_model.onnx", ids),
        **integers(folder / "safe.onnx", fed, "safe"),
        **integers(folder / "full.onnx", fed, "full"),
    }


def _vectors(model: Path, ids: Ids) -> Embeddings:
    """Embeddings by a graph that no artifact would hold, and whose canaries an encoder would refuse."""
    session = _session(model)
    rows: dict[int, NDArray[np.float32]] = {}
    for batch in token_batches([len(row) for row in ids], BATCH_TOKENS):
        input_ids, mask = pad_ids([ids[position] for position in batch])
        found = session.run(None, {"input_ids": input_ids, "attention_mask": mask})[0]
        rows.update(zip(batch, found, strict=True))
    return np.stack([rows[position] for position in range(len(ids))])


def _cpuid_features() -> set[str]:
    """Return the CPUID features that numpy has found in this process; ``/proc`` is not read.

    Under QEMU's user mode ``/proc/cpuinfo`` is the real machine's, and only this is the emulated one's.
    """
    return {name for name, found in np._core._multiarray_umath.__cpu_features__.items() if found}


def _session(model: Path | bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    source = str(model) if isinstance(model, Path) else model
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
