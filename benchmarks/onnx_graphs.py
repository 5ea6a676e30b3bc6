"""Rewrites of an exported int8 graph: what each of its properties is worth, and whether its integers hold.

Every function takes a loaded model and returns a new one; the graph is the one that ``ce2de export`` writes:
constant activation scales (``QuantizeLinear``) and fused integer products (``MatMulIntegerToFloat``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

CONTRIB = "com.microsoft"
OPSET, IR_VERSION = 18, 10
PRODUCT = "MatMulIntegerToFloat"
SAFE, FULL = 64, 127
"""Greatest weights: 2 · 255 · 64 fits into AVX2's 16-bit sums, 2 · 255 · 127 does not."""


class Product(NamedTuple):
    """An integer product of the graph, activations times weights.

    Attributes:
        name: the node.
        activation: name of the quantized activation tensor, uint8.
        weight: ``(K, N)`` int8.
        activation_zero, weight_zero: zero points, of one element and of one or ``N``.
    """

    name: str
    activation: str
    weight: NDArray[np.int8]
    activation_zero: NDArray[np.uint8]
    weight_zero: NDArray[np.int8]


def products(model: ModelProto) -> list[Product]:
    """Every integer product, in the graph's order."""
    constants = _constants(model)
    return [
        Product(
            node.name, node.input[0], constants[node.input[1]],
            constants[node.input[4]], constants[node.input[5]],
        )
        for node in _product_nodes(model)
    ]  # fmt: skip


def exact_integers(product: Product, activations: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Compute the product of ``(M, K)`` activations, ``(M, N)``, in numpy's 32-bit arithmetic."""
    centred = activations.astype(np.int32) - product.activation_zero.astype(np.int32)
    return np.asarray(centred @ (product.weight.astype(np.int32) - product.weight_zero.astype(np.int32)))


def integer_graph(wanted: Sequence[Product]) -> ModelProto:
    """Build a graph of the products alone: inputs ``a0, a1, …`` ``(M, K)`` uint8.

    Outputs ``int0, …`` ``(M, N)`` int32, by ``MatMulInteger``, and ``fused0, …`` float32, by the fused kernel
    of the exported graph with all scales 1, which float32 holds exactly below 2²⁴.
    """
    nodes, inputs, outputs, constants = [], [], [], []
    for index, product in enumerate(wanted):
        named = {
            "w": product.weight, "az": product.activation_zero, "wz": product.weight_zero,
            "one": np.float32(1),
        }  # fmt: skip
        constants += [
            numpy_helper.from_array(np.asarray(value), f"{key}{index}") for key, value in named.items()
        ]
        a, w, az, wz, one = (f"{key}{index}" for key in ("a", *named))
        nodes.append(helper.make_node("MatMulInteger", [a, w, az, wz], [f"int{index}"]))
        nodes.append(helper.make_node(PRODUCT, [a, w, one, one, az, wz], [f"fused{index}"], domain=CONTRIB))
        inputs.append(helper.make_tensor_value_info(a, TensorProto.UINT8, [None, product.weight.shape[0]]))
        for name, kind in (("int", TensorProto.INT32), ("fused", TensorProto.FLOAT)):
            outputs.append(helper.make_tensor_value_info(f"{name}{index}", kind, None))
    graph = helper.make_graph(nodes, "integers", inputs, outputs, constants)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def with_outputs(model: ModelProto, names: Iterable[str], kind: int) -> ModelProto:
    """Add the tensors ``names`` of ONNX type ``kind`` to a copy of the graph as outputs."""
    copy = _copy(model)
    known = {output.name for output in copy.graph.output}
    for name in names:
        if name not in known:
            known.add(name)
            copy.graph.output.append(helper.make_tensor_value_info(name, kind, None))
    return copy


def full_range(model: ModelProto) -> ModelProto:
    """Return the same function with weights up to ±127 instead of ±64: a file that is unsafe to ship.

    Numbers are doubled (64 becomes 127) and scales halved, so that AVX2's 16-bit sums overflow.
    """
    copy = _copy(model)
    tensors = {tensor.name: tensor for tensor in copy.graph.initializer}
    for node in _product_nodes(copy):
        weight, scale = (numpy_helper.to_array(tensors[node.input[index]]) for index in (1, 3))
        _replace(tensors[node.input[1]], np.clip(weight.astype(int) * 2, -FULL, FULL).astype(np.int8))
        _replace(tensors[node.input[3]], np.asarray(scale / np.float32(2)))
    return copy


def to_float(model: ModelProto) -> ModelProto:
    """Convert the graph to float32 arithmetic: products and tables too; activations are not rounded."""
    copy = _copy(model)
    constants = _constants(copy)
    maker = {name: node for node in copy.graph.node for name in node.output}
    replaced: dict[str, list[NodeProto]] = {}
    for node in copy.graph.node:
        source = maker.get(node.input[0]) if node.input else None
        if node.op_type == PRODUCT and source is not None:
            scale, zero = constants[node.input[3]], constants[node.input[5]]
            weight = (constants[node.input[1]].astype(np.float32) - zero) * scale
            replaced[node.output[0]] = _linear(copy, node, source.input[0], weight)
        elif node.op_type == "DequantizeLinear" and source is not None and source.op_type == "Gather":
            scale, zero = constants[node.input[1]], constants[node.input[2]]
            table = (constants[source.input[0]].astype(np.float32) - zero) * scale
            copy.graph.initializer.append(
                numpy_helper.from_array(table.astype(np.float32), f"{node.output[0]}_table")
            )
            looked_up = helper.make_node("Gather", [f"{node.output[0]}_table", source.input[1]], node.output)
            replaced[node.output[0]] = [looked_up]
    _rewrite(copy, replaced)
    return _pruned(copy)


def with_dynamic_scales(model: ModelProto) -> ModelProto:
    """Replace constant activation scales by one scale per batch, measured in every run."""
    copy = _copy(model)
    users: dict[str, list[NodeProto]] = {}
    for node in _product_nodes(copy):
        users.setdefault(node.input[0], []).append(node)
    replaced = {}
    for node in copy.graph.node:
        quantized = node.output[0] if node.output else ""
        if node.op_type == "QuantizeLinear" and quantized in users:
            names = [quantized, f"{quantized}_measured_scale", f"{quantized}_measured_zero"]
            replaced[quantized] = [helper.make_node("DynamicQuantizeLinear", [node.input[0]], names)]
            for product in users[quantized]:
                product.input[2], product.input[4] = names[1:]
    _rewrite(copy, replaced)
    return _pruned(copy)


def pooled_states(model: ModelProto) -> list[str]:
    """Tensors ``(B, L, H)`` that the graph pools over tokens: normalised states multiplied by shares."""
    normed = {node.output[0] for node in model.graph.node if node.op_type == "LayerNormalization"}
    return [
        node.input[1] for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in normed
    ]


def with_token_states(model: ModelProto) -> ModelProto:
    """Cut the graph before its pooling: it returns the states of every token, as exporters do by default."""
    copy = with_outputs(model, pooled_states(model), TensorProto.FLOAT)
    del copy.graph.output[0]
    return _pruned(copy)


def weight_products(model: ModelProto) -> list[str]:
    """Nodes that multiply by a constant matrix."""
    constants = {tensor.name for tensor in model.graph.initializer if len(tensor.dims) == 2}
    kinds = ("MatMul", "Gemm", "MatMulInteger", PRODUCT)
    return [node.name for node in model.graph.node if node.op_type in kinds and constants & set(node.input)]


def _linear(model: ModelProto, node: NodeProto, states: str, weight: NDArray[Any]) -> list[NodeProto]:
    """Return the nodes ``states @ weight [+ bias]`` that compute ``node``'s output; add the weight."""
    name = node.output[0]
    model.graph.initializer.append(numpy_helper.from_array(weight.astype(np.float32), f"{name}_weight"))
    if len(node.input) < 7:
        return [helper.make_node("MatMul", [states, f"{name}_weight"], [name], name=node.name)]
    return [
        helper.make_node("MatMul", [states, f"{name}_weight"], [f"{name}_product"], name=node.name),
        helper.make_node("Add", [f"{name}_product", node.input[6]], [name]),
    ]


def _rewrite(model: ModelProto, replaced: dict[str, list[NodeProto]]) -> None:
    """Put other nodes in the place of those that make the tensors ``replaced``."""
    nodes = [
        new
        for node in model.graph.node
        for new in replaced.get(node.output[0] if node.output else "", [node])
    ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _pruned(model: ModelProto) -> ModelProto:
    """Remove from the model the nodes and constants that no output needs; return it."""
    wanted = {output.name for output in model.graph.output}
    kept = []
    for node in reversed(model.graph.node):
        if wanted & set(node.output):
            wanted |= set(node.input)
            kept.append(node)
    constants = [tensor for tensor in model.graph.initializer if tensor.name in wanted]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(reversed(kept))
    model.graph.initializer.extend(constants)
    return model


def _product_nodes(model: ModelProto) -> list[NodeProto]:
    return [node for node in model.graph.node if node.op_type == PRODUCT]


def _constants(model: ModelProto) -> dict[str, NDArray[Any]]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def _replace(tensor: TensorProto, value: NDArray[Any]) -> None:
    tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))


def _copy(model: ModelProto) -> ModelProto:
    copy = ModelProto()
    copy.CopyFrom(model)
    return copy
