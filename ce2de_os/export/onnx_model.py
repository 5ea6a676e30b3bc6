"""Convert PyTorch to ONNX and float32 to int8, both through Optimum."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import torch
from onnxruntime.quantization import QuantFormat, QuantizationMode, QuantType
from optimum.exporters.onnx.base import OnnxConfig
from optimum.exporters.onnx.convert import export_pytorch
from optimum.exporters.onnx.model_configs import BertOnnxConfig
from optimum.onnxruntime import ORTQuantizer
from optimum.onnxruntime.configuration import QuantizationConfig
from transformers import PretrainedConfig

from ce2de_os.export.graph import StudentGraph

OPSET = 18
FLOAT_FILE = "model_fp32.onnx"


class EmbeddingOnnxConfig(BertOnnxConfig):  # type: ignore[misc]
    """Inputs and output of the exported graph: no token types, one embedding per text."""

    @property
    def inputs(self) -> dict[str, dict[int, str]]:
        """Ids and mask, both ``(B, L)``."""
        return {name: {0: "batch", 1: "length"} for name in ("input_ids", "attention_mask")}

    @property
    def outputs(self) -> dict[str, dict[int, str]]:
        """Embeddings ``(B, D)``."""
        return {"embeddings": {0: "batch"}}


class TokenOnnxConfig(EmbeddingOnnxConfig):
    """The same, plus one vector for each token."""

    @property
    def outputs(self) -> dict[str, dict[int, str]]:
        """Embeddings ``(B, D)`` and token vectors ``(B, L, T)``."""
        return {**super().outputs, "token_vectors": {0: "batch", 1: "length"}}


def export_float(graph: StudentGraph, folder: Path) -> Path:
    """Write the float32 ONNX file and return its path."""
    kind = EmbeddingOnnxConfig if graph.token_head is None else TokenOnnxConfig
    return export_model(graph, kind(graph.config, task="feature-extraction"), folder)


def export_model(model: torch.nn.Module, config: OnnxConfig, folder: Path) -> Path:
    """Write any model's float32 ONNX file, with the inputs and outputs in ``config``, and return its path."""
    path = folder / FLOAT_FILE
    with _quiet():
        export_pytorch(model, config, OPSET, path)
    return path


def quantize(float_path: Path, folder: Path, model_config: PretrainedConfig) -> Path:
    """Write the int8 file: dynamic activations, signed per-channel weights with reduced range.

    Weights of 7 bits cannot overflow the 16-bit sums of AVX2's ``vpmaddubsw`` (2 · 255 · 64 < 32,768):
    the same file gives the same integers on CPUs with and without VNNI. Products of activations stay float32.
    """
    config = QuantizationConfig(
        is_static=False,
        format=QuantFormat.QOperator,
        mode=QuantizationMode.IntegerOps,
        activations_dtype=QuantType.QUInt8,
        weights_dtype=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
        operators_to_quantize=["MatMul", "Gather"],
        nodes_to_quantize=list(_weight_nodes(onnx.load(float_path).graph)),
    )
    with _quiet():
        ORTQuantizer(float_path, model_config).quantize(config, folder, file_suffix="int8")
    return folder / f"{float_path.stem}_int8.onnx"


def _weight_nodes(graph: onnx.GraphProto) -> Iterator[str]:
    """Yield the names of the nodes that multiply by, or look up in, a constant matrix."""
    matrices = {tensor.name for tensor in graph.initializer if len(tensor.dims) == 2}
    for node in graph.node:
        if node.op_type in ("MatMul", "Gather") and matrices & set(node.input):
            yield node.name


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the warnings of exporter and quantizer: they are about internals and do not help the user."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
