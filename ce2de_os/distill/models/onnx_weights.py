"""Read the weights of a BERT from an ONNX file into a `BertModel`.

Exporters keep the names of tables, biases and norms, and lose those of the matrices, which they transpose. A
matrix is found through the named bias that is added to its product. Graphs that were fused for ONNX Runtime,
quantized or cast to float16 no longer hold these weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import BertConfig, BertModel

from ce2de_os.errors import ConfigError

if TYPE_CHECKING:
    import onnx

Constants = dict[str, NDArray[Any]]

_WORDS, _POSITIONS, _TYPES = (
    f"embeddings.{kind}_embeddings.weight" for kind in ("word", "position", "token_type")
)
_HEAD_WIDTHS = (64, 32)  # head sizes of most encoders; the others are tried after them
_QUANTIZED = ("Quantize", "MatMulInteger", "QLinear", "MatMulNBits")


def bert_candidates(model: onnx.ModelProto, heads: object = None) -> Iterator[BertModel]:
    """Yield BERTs with the graph's weights, without pooler or dropout, for each number of heads.

    A graph does not contain that number: the caller compares the states. ``heads`` is the number in a
    ``config.json``, and the only one tried; ``None`` means that there is none.

    Raises:
        ConfigError: the weights are not those of a BERT in float32, with the reason as its message.
    """
    constants = _constants(model.graph)
    weights = _bert_weights(model.graph, constants)
    width = weights[_WORDS].shape[1]
    if heads is not None and (not isinstance(heads, int) or heads < 1 or width % heads):
        raise ConfigError(
            f"its config.json has num_attention_heads {heads!r:.40}, expected a divisor of {width}"
        )
    for number in _head_counts(width) if heads is None else [heads]:
        config = _config(model.graph, constants, weights, number)
        body = BertModel(config, add_pooling_layer=False)
        missing = body.load_state_dict(
            {name: torch.from_numpy(np.array(value, dtype=np.float32)) for name, value in weights.items()},
            strict=False,
        ).missing_keys
        if missing:
            raise ConfigError(f"it has no {missing[0]}: it is not a BERT, or lost its names")
        yield body.eval()


def unreadable(graph: onnx.GraphProto) -> str | None:
    """Return why the graph's weights cannot be read; ``None`` if no reason is known."""
    kinds = {node.op_type for node in graph.node}
    if any(kind.startswith(_QUANTIZED) or "QuantizeLinear" in kind for kind in kinds):
        return "it is quantized; use the float32 file of the same model"
    matrices = [tensor for tensor in graph.initializer if len(tensor.dims) == 2]
    if any(tensor.data_type in (10, 16) for tensor in matrices):  # onnx.TensorProto.FLOAT16 and BFLOAT16
        return "it is in 16 bits; use the float32 file of the same model"
    fused = sorted({node.op_type for node in graph.node if node.domain not in ("", "ai.onnx")})
    if fused:
        return f"its operators are fused for ONNX Runtime ({fused[0]}); use the file before optimization"
    if not kinds & {"Erf", "Gelu"}:
        return "its activation is not gelu"
    return None


def _constants(graph: onnx.GraphProto) -> Constants:
    """Return constants by name; equal ones that the exporter merged are found under each of their names."""
    from onnx import numpy_helper

    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            found[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        elif node.op_type == "Identity" and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
    return found


def _bert_weights(graph: onnx.GraphProto, constants: Constants) -> dict[str, NDArray[Any]]:
    reason = unreadable(graph)
    if reason:
        raise ConfigError(reason)
    tables = [name for name in constants if name.endswith(_WORDS)]
    if len(tables) != 1:
        raise ConfigError(f"it has no {_WORDS}: it is not a BERT, or lost its names")
    prefix = tables[0].removesuffix(_WORDS)
    named = {name: value for name, value in constants.items() if name.startswith(prefix)}
    named |= _matrices(graph, constants)
    kept = ("embeddings.", "encoder.layer.")
    found = {name.removeprefix(prefix): value for name, value in named.items()}
    return {
        name: value for name, value in found.items()
        if name.startswith(kept) and name.endswith((".weight", ".bias"))
    }  # fmt: skip


def _matrices(graph: onnx.GraphProto, constants: Constants) -> Constants:
    """Return the matrices, in PyTorch's form, under the names of the biases added to their products."""
    products: dict[str, NDArray[Any]] = {}
    found: Constants = {}
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in constants:
            products[node.output[0]] = constants[node.input[1]].T
        elif node.op_type == "Gemm" and len(node.input) == 3 and node.input[1] in constants:
            turned = any(one.name == "transB" and one.i for one in node.attribute)
            matrix = constants[node.input[1]]
            found[_weight_name(node.input[2])] = matrix if turned else matrix.T
        elif node.op_type == "Add":
            for one, other in (tuple(node.input), tuple(reversed(node.input))):
                if one in products and other.endswith(".bias"):
                    found[_weight_name(other)] = products[one]
    return found


def _weight_name(bias: str) -> str:
    return bias.removesuffix(".bias") + ".weight"


def _head_counts(width: int) -> list[int]:
    fitting = [number for number in range(1, width + 1) if width % number == 0]
    likely = [width // size for size in _HEAD_WIDTHS if width % size == 0]
    return list(dict.fromkeys([*likely, *fitting[: len(fitting) // 2 + 1]]))


def _config(
    graph: onnx.GraphProto, constants: Constants, weights: dict[str, NDArray[Any]], heads: int
) -> BertConfig:
    layers = {name.split(".")[2] for name in weights if name.startswith("encoder.layer.")}
    inner = weights.get("encoder.layer.0.intermediate.dense.weight")
    if inner is None or _POSITIONS not in weights or _TYPES not in weights:
        raise ConfigError("it has not all of BERT's tables and layers: it is not a BERT, or lost its names")
    words, width = weights[_WORDS].shape
    return BertConfig(
        vocab_size=words, hidden_size=width, num_hidden_layers=len(layers), num_attention_heads=heads,
        intermediate_size=len(inner), max_position_embeddings=len(weights[_POSITIONS]),
        type_vocab_size=len(weights[_TYPES]), layer_norm_eps=_epsilon(graph, constants),
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip


def _epsilon(graph: onnx.GraphProto, constants: Constants) -> float:
    """Return the epsilon of the first norm; 1e-12 if it is not found."""
    makers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type == "LayerNormalization":
            return float(next((one.f for one in node.attribute if one.name == "epsilon"), 1e-5))
        if node.op_type == "Sqrt" and makers.get(node.input[0], node).op_type == "Add":
            added = [constants[name] for name in makers[node.input[0]].input if name in constants]
            if added and added[0].size == 1:
                return float(added[0].item())
    return 1e-12
