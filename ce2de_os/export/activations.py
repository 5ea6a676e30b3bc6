"""Fixed activation scales: a text gets the same vector alone, in a batch, as a query and as a document.

Dynamic quantization takes one scale for a whole batch, padding included, so that a text's vector depends on
its neighbors. Here the scales are measured once and become constants of the graph. Weights, and the products
of two activations, stay as they are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

from ce2de_os.errors import DataError

QUANTILE = 0.99
"""The range covers the extremes of all but one text in a hundred; values beyond are clipped."""

Feeds = Mapping[str, NDArray[np.int64]]
"""A graph's inputs for one text, or one pair, by their names; each ``(1, L)``."""

_CONTRIB = "com.microsoft"
_STEPS = 255  # of an unsigned 8-bit integer


def fix_activation_scales(path: Path, ids: Sequence[Sequence[int]]) -> None:
    """Run `fix_scales` on a graph that takes token ids and their mask; ``ids`` are those of texts."""
    rows = [np.array([row], dtype=np.int64) for row in ids]
    fix_scales(path, [{"input_ids": row, "attention_mask": np.ones_like(row)} for row in rows])


def fix_scales(path: Path, texts: Sequence[Feeds]) -> None:
    """Rewrite the dynamically quantized graph at ``path`` with scales measured on tokenized texts.

    Each text is run alone. Every ``DynamicQuantizeLinear`` becomes a ``QuantizeLinear`` with constants, and
    each integer product with its scaling and bias one ``MatMulIntegerToFloat``, ONNX Runtime's fused kernel,
    which it would no longer find by itself behind constant scales.

    Raises:
        DataError: there are no texts.
    """
    if not texts:
        raise DataError("no texts to measure activations on; distill again with more texts")
    model = onnx.load(path)
    ranges = _measure(model, texts)
    model.graph.initializer.extend(_constants(model, ranges))
    nodes = _fuse(model)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.opset_import.append(helper.make_opsetid(_CONTRIB, 1))
    onnx.save(model, path)


def _measure(model: ModelProto, texts: Sequence[Feeds]) -> dict[str, tuple[float, float]]:
    """Measure the range of every quantized activation, by the name of its tensor."""
    watched = ModelProto()
    watched.CopyFrom(model)
    names = [node.input[0] for node in _dynamic(model)]
    for name in names:
        watched.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    lowest, highest = defaultdict(list), defaultdict(list)
    for feeds in texts:
        found = session.run(names, dict(feeds))
        for name, values in zip(names, found, strict=True):
            lowest[name].append(values.min())
            highest[name].append(values.max())
    return {name: quantized_range(np.array(lowest[name]), np.array(highest[name])) for name in names}


def quantized_range(lowest: NDArray[np.float32], highest: NDArray[np.float32]) -> tuple[float, float]:
    """Compute the range to quantize from each text's least and greatest value, ``(B,)``; it includes 0."""
    low = min(0.0, float(np.quantile(lowest, 1 - QUANTILE)))
    high = max(0.0, float(np.quantile(highest, QUANTILE)))
    return low, high


def _dynamic(model: ModelProto) -> list[NodeProto]:
    return [node for node in model.graph.node if node.op_type == "DynamicQuantizeLinear"]


def _constants(model: ModelProto, ranges: dict[str, tuple[float, float]]) -> list[onnx.TensorProto]:
    constants = []
    for node in _dynamic(model):
        low, high = ranges[node.input[0]]
        scale = np.float32(max(high - low, 1e-8) / _STEPS)
        zero_point = np.uint8(np.clip(round(-low / float(scale)), 0, _STEPS))
        constants.append(numpy_helper.from_array(np.array(scale), node.output[1]))
        constants.append(numpy_helper.from_array(np.array(zero_point), node.output[2]))
    return constants


def _fuse(model: ModelProto) -> list[NodeProto]:
    """Return the graph's nodes with fixed quantization and fused integer products, in their order."""
    graph = _Graph(model)
    dropped: set[str] = set()
    replaced: dict[str, NodeProto] = {}
    for node in model.graph.node:
        if node.op_type == "DynamicQuantizeLinear":
            replaced[node.name] = helper.make_node(
                "QuantizeLinear",
                [node.input[0], node.output[1], node.output[2]],
                [node.output[0]],
                name=node.name,
            )
        elif node.op_type == "MatMulInteger":
            replaced[node.name], gone = graph.fused_product(node)
            dropped |= gone
    return [replaced.get(node.name, node) for node in model.graph.node if node.name not in dropped]


class _Graph:
    """The nodes that produce and use a tensor."""

    def __init__(self, model: ModelProto) -> None:
        self.vectors = {tensor.name for tensor in model.graph.initializer if len(tensor.dims) == 1}
        self.maker = {name: node for node in model.graph.node for name in node.output}
        self.users = defaultdict(list)
        for node in model.graph.node:
            for name in node.input:
                self.users[name].append(node)

    def fused_product(self, product: NodeProto) -> tuple[NodeProto, set[str]]:
        """Fuse ``product → Cast → Mul(scales) [→ Add(bias)]``; return the node and the replaced names."""
        (cast,) = self.users[product.output[0]]
        (scaling,) = self.users[cast.output[0]]
        scales = self.maker[_other(scaling, cast.output[0])]
        activation_scale = self.maker[product.input[0]].output[1]
        weight_scale = _other(scales, activation_scale)
        gone = {cast.name, scaling.name, scales.name}
        inputs = [product.input[0], product.input[1], activation_scale, weight_scale, *product.input[2:4]]
        output = scaling.output[0]
        after = self.users[output]
        if len(after) == 1 and after[0].op_type == "Add" and _other(after[0], output) in self.vectors:
            inputs.append(_other(after[0], output))
            gone.add(after[0].name)
            output = after[0].output[0]
        fused = helper.make_node("MatMulIntegerToFloat", inputs, [output], name=product.name, domain=_CONTRIB)
        return fused, gone


def _other(node: NodeProto, name: str) -> str:
    """Return the input of a two-input ``node`` that is not ``name``."""
    first, second = node.input
    return str(second if first == name else first)
