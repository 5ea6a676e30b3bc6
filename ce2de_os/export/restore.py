"""Convert an artifact folder back to a student that can be trained further.

The exported graph folds and quantizes (see `ce2de_os.export.graph`); here its weights are taken out of the
ONNX file and unfolded. The int8 ones come back rounded; the first steps of training repair that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from ce2de_os.errors import ArtifactError
from ce2de_os.model.artifact import Artifact
from ce2de_os.model.manifest import MODEL_FILE, TOKENIZER_FILE
from ce2de_os.student import StudentModel

Weights = dict[str, NDArray[Any]]

_BODY = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
    "type_vocab_size", "layer_norm_eps", "pad_token_id",
)  # fmt: skip

# A layer's parts under the same name in `StudentGraph`, and where BERT has them.
_SAME = {
    "attention_output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "intermediate": "intermediate.dense",
    "output": "output.dense",
    "output_norm": "output.LayerNorm",
}


def restore_student(artifact: Artifact) -> StudentModel:
    """Rebuild the student whose graph the artifact holds; its int8 weights come back rounded.

    Raises:
        ArtifactError: the manifest lacks the architecture of the student (an older version wrote it),
            or the graph is not that of such a student.
    """
    built = artifact.source.get("student")
    if not isinstance(built, dict):
        raise ArtifactError(
            f"{artifact.folder}: its manifest does not have the architecture of the student; export it "
            "again from "
            "the folder of its training, or start from that folder"
        )
    try:
        weights = _read(onnx.load_from_string(artifact.read(MODEL_FILE)))
        config = _config(built["body"], positions=len(weights["positions"]))
        pooled = int(built["pooled"])
        body = BertModel(config, add_pooling_layer=False)
        body.load_state_dict(_body(weights, config, config.num_hidden_layers - pooled))
        student = StudentModel(
            body, artifact.dim, built["readout"], pooled=pooled, pooling=built.get("pooling", "mean")
        )
        student.head.load_state_dict(_linear(weights, "head", ""))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise ArtifactError(f"{artifact.model_path}: not the graph of a student ({reason})") from error
    return student.eval()


def restore_tokenizer(artifact: Artifact) -> PreTrainedTokenizerFast:
    """Convert the artifact's tokenizer to transformers' form; of its special tokens only padding is known."""
    bare = Tokenizer.from_buffer(artifact.read(TOKENIZER_FILE))
    padding = bare.id_to_token(artifact.source["student"]["body"]["pad_token_id"])
    return PreTrainedTokenizerFast(
        tokenizer_object=bare, pad_token=padding, model_max_length=artifact.max_length,
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


def describe(student: StudentModel) -> dict[str, Any]:
    """Describe the student's architecture for the manifest, as `restore_student` needs it."""
    body = {name: getattr(student.body.config, name) for name in _BODY}
    return {
        "body": body, "readout": student.readout, "pooled": student.pooled, "pooling": student.pooling
    }  # fmt: skip


def _config(body: Mapping[str, Any], positions: int) -> BertConfig:
    """Build the configuration; ``positions`` is the number that the graph kept."""
    config = BertConfig(
        **{name: body[name] for name in _BODY},
        max_position_embeddings=positions,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    config._attn_implementation = "eager"  # its backward pass is the fast one on CPUs
    return config


def _read(model: onnx.ModelProto) -> Weights:
    """Read the graph's constants under the names of `StudentGraph`, matrices as PyTorch has them."""
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "MatMulIntegerToFloat" and len(node.input) > 6:  # the seventh input is the bias
            name = node.input[6].removesuffix(".bias") + ".weight"
            weights[name] = _dequantized(weights, node.input[1].removesuffix("_quantized")).T
        elif node.op_type == "MatMul" and node.input[1].endswith(".weight"):
            weights[node.input[1]] = weights[node.input[1]].T
    weights["words.weight"] = _dequantized(weights, "words.weight")
    return weights


def _dequantized(weights: Weights, name: str) -> NDArray[np.float32]:
    """Invert QuantizeLinear; the scale is one number, or one for each column."""
    values, zero, scale = (
        weights[f"{name}_{part}"].astype(np.float32) for part in ("quantized", "zero_point", "scale")
    )
    return np.asarray((values - zero) * scale, dtype=np.float32)


def _body(weights: Weights, config: BertConfig, on_tokens: int) -> dict[str, torch.Tensor]:
    """Return names and values of a BERT; parts folded into others are 0, such as token types."""
    types = np.zeros((config.type_vocab_size, config.hidden_size))
    tables = {"word": weights["words.weight"], "position": weights["positions"], "token_type": types}
    found = {f"embeddings.{name}_embeddings.weight": _tensor(table) for name, table in tables.items()}
    found |= _linear(weights, "norm", "embeddings.LayerNorm.")
    for layer in range(config.num_hidden_layers):
        ours = f"layers.{layer}" if layer < on_tokens else f"pooled.{layer - on_tokens}"
        theirs = f"encoder.layer.{layer}"
        for part, name in _SAME.items():
            found |= _linear(weights, f"{ours}.{part}", f"{theirs}.{name}.")
        projections = _projections if layer < on_tokens else _pooled_projections
        for name, (weight, bias) in projections(weights, ours, config).items():
            found[f"{theirs}.attention.self.{name}.weight"] = _tensor(weight)
            found[f"{theirs}.attention.self.{name}.bias"] = _tensor(bias)
    return found


Projections = dict[str, tuple[NDArray[Any], NDArray[Any]]]


def _projections(weights: Weights, layer: str, config: BertConfig) -> Projections:
    matrices = np.split(weights[f"{layer}.qkv.weight"], 3)
    biases = np.split(weights[f"{layer}.qkv.bias"], 3)
    found = dict(zip(("query", "key", "value"), zip(matrices, biases, strict=True), strict=True))
    return found | {"query": _unscaled(*found["query"], config)}


def _pooled_projections(weights: Weights, layer: str, config: BertConfig) -> Projections:
    width = config.hidden_size
    query = weights[f"{layer}.query.weight"], weights[f"{layer}.query.bias"]
    keys = weights[f"{layer}.keys"].reshape(width, width)
    values = weights[f"{layer}.values"].transpose(0, 2, 1).reshape(width, width)
    return {
        "query": _unscaled(*query, config),
        "key": (keys, np.zeros(width)),  # a key's bias adds the same to all logits of a query
        "value": (values, weights[f"{layer}.value_bias"]),
    }


def _unscaled(
    weight: NDArray[Any], bias: NDArray[Any], config: BertConfig
) -> tuple[NDArray[Any], NDArray[Any]]:
    scale = math.sqrt(config.hidden_size // config.num_attention_heads)
    return weight * scale, bias * scale


def _linear(weights: Weights, ours: str, theirs: str) -> dict[str, torch.Tensor]:
    return {f"{theirs}{name}": _tensor(weights[f"{ours}.{name}"]) for name in ("weight", "bias")}


def _tensor(values: NDArray[Any]) -> torch.Tensor:
    return torch.tensor(np.ascontiguousarray(values), dtype=torch.float32)
