"""A teacher in an ONNX file: a folder with ``model.onnx`` and ``tokenizer.json`` and no PyTorch weights.

fastembed, LangChain4j, Vespa and Optimum use such folders. Of a BERT in float32 the weights are taken out,
checked against ONNX Runtime, and used as those of any other teacher. Any other sentence encoder is
run by ONNX Runtime: it gives embeddings, but no layers to copy.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor

from ce2de_os.arrays import TokenIds, cosine
from ce2de_os.distill.models.hub import locate
from ce2de_os.distill.models.onnx_weights import bert_candidates
from ce2de_os.errors import ArtifactError, ConfigError, extra_needed
from ce2de_os.model.runtime import load_session
from ce2de_os.reading import read_object

ONNX_FILES = ("model.onnx", "onnx/model.onnx")
_WEIGHTS = (
    "model.safetensors",
    "pytorch_model.bin",
    "model.safetensors.index.json",
    "pytorch_model.bin.index.json",
)
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_STATES = ("last_hidden_state", "token_embeddings")
LEAST_COSINE = 0.99999
POOLING_FILE = "1_Pooling/config.json"


def onnx_file(place: str) -> Path | None:
    """Return the ONNX file of a folder that has no PyTorch weights; ``None`` for any other place."""
    folder = Path(place)
    if not folder.is_dir() or any((folder / name).exists() for name in _WEIGHTS):
        return None
    return next((folder / name for name in ONNX_FILES if (folder / name).is_file()), None)


def load_onnx(path: Path) -> tuple[Any, str | None]:
    """Load the model in an ONNX file; without weights, also return the file's digest, which identifies it.

    Raises:
        ConfigError: the file is not a sentence encoder, or ONNX Runtime cannot read it.
        MissingExtraError: onnx is not installed.
    """
    _check_external(path)
    reader = OnnxBody(path)
    body, reader.reason = _body(path, reader)
    if body is not None:
        return body, None
    with path.open("rb") as stream:
        return reader, hashlib.file_digest(stream, "sha256").hexdigest()


def has_layers(name: str) -> bool:
    """Return whether a teacher has layers that can be read: all but ONNX files without weights have."""
    graph = onnx_file(locate(name))
    return graph is None or load_onnx(graph)[1] is None


def says_no_pooling(name: str) -> ConfigError:
    """Create the error for a folder without a pooling file."""
    return ConfigError(
        f"teacher '{name}': its pooling is unknown; write {POOLING_FILE} into the folder, "
        '{"pooling_mode_cls_token": true} for the first token (BGE), {"pooling_mode_mean_tokens": true} for '
        "the mean (MiniLM, E5, GTE)"
    )


class OnnxBody(torch.nn.Module):
    """An encoder that ONNX Runtime runs on the CPU, with the interface of a model of transformers.

    Attributes:
        config: ``model_type`` ``"onnx"``, width, and rows of the token table.
        reason: the reason why no layers can be copied from it.
        pools: whether the graph gives one embedding per text instead of one state per token.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            self._session = load_session(path, torch.get_num_threads())
        except ArtifactError as error:
            raise ConfigError(
                f"{error.parts[0]}; expected a whole file with operators that ONNX Runtime "
                f"{onnxruntime.__version__} knows: fetch it again, export the model again with a lower "
                "opset, or update onnxruntime"
            ) from error
        self.reason = ""
        self._inputs = [one.name for one in self._session.get_inputs()]
        self._output, self.pools = _output(self._session, path)
        unknown = sorted(set(self._inputs) - set(_INPUTS))
        if unknown or "input_ids" not in self._inputs:
            raise _no_encoder(path, f"the inputs {', '.join(self._inputs)}", ", ".join(_INPUTS))
        states = self._read(path)
        rows = _table_rows(path)
        if states.ndim != (2 if self.pools else 3) or states.shape[-1] == rows:
            raise _no_encoder(path, f"numbers of shape {states.shape} for 2 x 3 tokens", "one state a token")
        self.config = SimpleNamespace(model_type="onnx", hidden_size=states.shape[-1], vocab_size=rows)

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return torch.device("cpu")

    def to(self, *args: Any, **kwargs: Any) -> OnnxBody:  # noqa: ANN401 - as torch has it
        """Stay on the CPU."""
        return self

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        """Convert ``(B, L)`` ids and mask to ``last_hidden_state``; if the graph pools, ``(B, 1, H)``."""
        states = torch.from_numpy(self.states(input_ids.numpy(), attention_mask.numpy()))
        return SimpleNamespace(last_hidden_state=states[:, None] if self.pools else states)

    def states(self, ids: TokenIds, mask: TokenIds) -> NDArray[np.float32]:
        """Run the graph, and return its output, float32."""
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        (found,) = self._session.run([self._output], {name: given[name] for name in self._inputs})
        return np.asarray(found, dtype=np.float32)

    def _read(self, path: Path) -> NDArray[np.float32]:
        one, two = np.arange(4, dtype=np.int64)[None], np.arange(6, dtype=np.int64).reshape(2, 3)
        try:
            self.states(one, np.ones_like(one))
            return self.states(two, np.ones_like(two))
        except Exception as error:  # onnxruntime's exception classes share no public base
            raise _no_encoder(
                path, " ".join(str(error).split())[:300], "a graph that reads int64 token ids of any number"
            ) from error


def _output(session: onnxruntime.InferenceSession, path: Path) -> tuple[str, bool]:
    """Choose the output to read; return whether it is already one embedding per text."""
    outputs = {one.name: len(one.shape) for one in session.get_outputs()}
    named = [name for name in (*_STATES, *outputs) if outputs.get(name) == 3 and "logits" not in name]
    if named:
        return named[0], False
    whole = [name for name, axes in outputs.items() if axes == 2 and "embedding" in name]
    if whole:
        return whole[0], True
    raise _no_encoder(path, f"the outputs {', '.join(outputs)}", "last_hidden_state or sentence_embedding")


def _no_encoder(path: Path, got: str, expected: str) -> ConfigError:
    return ConfigError(
        f"{path}: is not a sentence encoder: got {got}, expected {expected}; "
        "export it with the task feature-extraction"
    )


def _body(path: Path, reader: OnnxBody) -> tuple[Any, str]:
    """Build the BERT whose states equal the graph's; else ``None``, and why there is none."""
    import onnx

    if reader.pools:
        return None, "its graph pools the states; use the file that gives last_hidden_state"
    config = path.parent / "config.json"
    says = read_object(config) if config.is_file() else {}
    try:
        for body in bert_candidates(onnx.load(path), says.get("num_attention_heads")):
            if _agrees(body, reader):
                return body, ""
    except ConfigError as error:
        return None, str(error)
    return None, "the states of a BERT with its weights are not those of the graph"


def _agrees(body: Any, reader: OnnxBody) -> bool:  # noqa: ANN401 - transformers has no types
    """Return whether all states of three texts of different lengths reach the cosine `LEAST_COSINE`."""
    longest = min(48, body.config.max_position_embeddings)
    ids = np.random.default_rng(0).integers(0, body.config.vocab_size, (3, longest))
    mask = (np.arange(longest) < np.array([[longest], [longest // 2], [2]])).astype(np.int64)
    with torch.inference_mode():
        own = body(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).last_hidden_state
    equal = cosine(own.numpy()[mask == 1], reader.states(ids, mask)[mask == 1])
    return bool(equal.min() >= LEAST_COSINE)


def _table_rows(path: Path) -> int:
    """Return the number of rows of the table that ``input_ids`` are looked up in."""
    graph = _structure(path).graph
    rows = {tensor.name: tensor.dims[0] for tensor in graph.initializer if len(tensor.dims) == 2}
    makers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if "EmbedLayerNormalization" in node.op_type and node.input[2] in rows:
            return int(rows[node.input[2]])
        asked = node.input[1] if node.op_type.startswith("Gather") and len(node.input) > 1 else ""
        if asked in makers and makers[asked].op_type == "Cast":
            asked = makers[asked].input[0]
        if asked == "input_ids" and node.input[0] in rows:
            return int(rows[node.input[0]])
    raise _no_encoder(path, "no table that input_ids are looked up in", "token embeddings")


def _check_external(path: Path) -> None:
    """Raise `ConfigError` if a file of weights that the graph needs is missing or cut off."""
    for tensor in _structure(path).graph.initializer:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        if "location" not in entries:
            continue
        keeps = f"{path}: keeps its weights in '{entries['location']}'"
        file = path.parent / entries["location"]
        if not file.is_file():
            raise ConfigError(f"{keeps}, which is not in its folder; copy it there")
        end = int(entries.get("offset", 0)) + int(entries.get("length", 0))
        if file.stat().st_size < end:
            raise ConfigError(
                f"{keeps}, which has {file.stat().st_size:,} bytes, expected at least {end:,}; copy it again"
            )


def _structure(path: Path) -> Any:  # noqa: ANN401 - onnx has no types
    """Load the graph without the weights that are in other files."""
    with extra_needed("distill,export"):
        import onnx
    try:
        return onnx.load(path, load_external_data=False)
    except Exception as error:  # that of protobuf is not public
        raise ConfigError(f"{path}: is not an ONNX file ({type(error).__name__}); fetch it again") from error
