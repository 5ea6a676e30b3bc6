"""Export a cross-encoder to a reranker's artifact folder: ONNX through Optimum, int8, and a parity report."""

from __future__ import annotations

import copy
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from optimum.exporters.tasks import TasksManager
from tokenizers import Tokenizer

from ce2de_os.errors import ConfigError, ParityError
from ce2de_os.export.activations import Feeds, fix_scales
from ce2de_os.export.canary import TEXTS
from ce2de_os.export.folder import new_folder
from ce2de_os.export.onnx_model import export_model, quantize
from ce2de_os.export.pair_graph import PairGraph, PairOnnxConfig
from ce2de_os.model.artifact import Artifact
from ce2de_os.model.manifest import CANARY_FILE, MODEL_FILE, RERANKER, TOKENIZER_FILE
from ce2de_os.model.reranker import OnnxReranker

MIN_SPEARMAN = 0.97
QUERIES = (
    "compressed file",
    "configuration library",
    "How does the pressure on a wing change with its angle of attack?",
    "library catalogue",
    "sauce with flour",
    "books after 1990",
    "scurvy symptoms",
    "railway along the river",
)
"""Questions that some of the canary texts answer: with the texts they are the sample if no other is given."""

_MOST_PAIRS = 2000
_SCALE_PAIRS = 200

Group = tuple[str, Sequence[str]]
"""A query and documents to rank for it."""


class LoadedCrossEncoder(Protocol):
    """The part of a cross-encoder that the export needs, as `distill.models.cross_encoder` loads it."""

    @property
    def name(self) -> str:
        """Name of the model, as the user gave it."""

    @property
    def model(self) -> Any:  # noqa: ANN401 - transformers has no types
        """The sequence-classification model."""

    @property
    def tokenizer(self) -> Any:  # noqa: ANN401
        """Its fast tokenizer."""

    @property
    def max_length(self) -> int:
        """Tokens read of a pair."""

    @property
    def digest(self) -> str:
        """Fingerprint of the weights."""

    def encode_pairs(self, pairs: Sequence[tuple[str, str]]) -> list[dict[str, list[int]]]:
        """Tokenize each pair."""

    def logits(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Compute the float32 model's logits, ``(B,)``."""


@dataclass(frozen=True)
class LogitParity:
    """The differences of the quantized graph's logits from the float32 model's.

    Attributes:
        pairs: pairs compared.
        mean_change: mean absolute difference of the logits.
        max_change: the largest one.
        deviation: standard deviation of the model's logits, to judge the differences by.
        spearman: rank correlation over all pairs.
        kendall: agreement on the order of two documents, mean over queries; 1 for no order changed.
    """

    pairs: int
    mean_change: float
    max_change: float
    deviation: float
    spearman: float
    kendall: float

    @property
    def passed(self) -> bool:
        """Return whether the artifact may be used; NaN fails."""
        return self.spearman >= MIN_SPEARMAN


def export_cross_encoder(
    encoder: LoadedCrossEncoder,
    out: Path,
    *,
    groups: Sequence[Group] = (),
    name: str | None = None,
    threads: int = 1,
) -> tuple[Artifact, LogitParity]:
    """Export and quantize a cross-encoder, check it, and write the artifact folder ``out``.

    Args:
        encoder: the model, in float32.
        out: the folder to write; it appears when it is complete.
        groups: queries with documents, to measure activations and parity on; none means built-in ones.
        name: the model's name for people; ``None`` means the encoder's.
        threads: cores for the check.

    Raises:
        ConfigError: Optimum cannot export models of this type.
        DataError: ``out`` is not empty and no artifact, or cannot be written.
        ParityError: the quantized model orders pairs differently; ``out`` is not written.
    """
    groups = _sample(groups)
    with new_folder(out) as folder, tempfile.TemporaryDirectory() as scratch:
        _write_model(encoder, groups, folder, Path(scratch))
        settings = _settings(encoder, name or Path(encoder.name).name)
        parity = _check(encoder, groups, folder, settings, threads)
        settings["recipe"] = {**settings["recipe"], "parity": asdict(parity)}
        Artifact.create(folder, **settings)
    return Artifact.load(out, kind=RERANKER), parity


def compare_logits(
    reference: NDArray[np.float32], quantized: NDArray[np.float32], sizes: Sequence[int]
) -> LogitParity:
    """Compare two ``(B,)`` arrays; ``sizes`` are the numbers of documents of each query, in their order."""
    change = np.abs(reference - quantized)
    ends = np.cumsum(sizes)[:-1]
    orders = [
        _kendall(a, b)
        for a, b in zip(np.split(reference, ends), np.split(quantized, ends), strict=True)
        if len(a) > 1
    ]
    return LogitParity(
        pairs=len(reference),
        mean_change=round(float(change.mean()), 4),
        max_change=round(float(change.max()), 4),
        deviation=round(float(reference.std()), 4),
        spearman=round(float(np.corrcoef(_ranks(reference), _ranks(quantized))[0, 1]), 4),
        kendall=round(float(np.mean(orders)) if orders else 1.0, 4),
    )


def _kendall(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Compute Kendall's tau-a of two ``(B,)`` arrays: concordant minus discordant pairs, over all pairs."""
    upper = np.triu_indices(len(first), k=1)
    signs = [np.sign(values[:, None] - values[None, :])[upper] for values in (first, second)]
    return float(np.mean(signs[0] * signs[1]))


def _ranks(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Rank of each value, equal values sharing the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    means = ends - (counts - 1) / 2
    return np.asarray(means[inverse], dtype=np.float64)


def _sample(groups: Sequence[Group]) -> list[Group]:
    chosen: list[Group] = []
    pairs = 0
    for group in groups or [(query, TEXTS) for query in QUERIES]:
        if pairs + len(group[1]) > _MOST_PAIRS:
            break
        chosen.append(group)
        pairs += len(group[1])
    return chosen


def _pairs(groups: Sequence[Group]) -> list[tuple[str, str]]:
    return [(query, document) for query, documents in groups for document in documents]


def _write_model(encoder: LoadedCrossEncoder, groups: Sequence[Group], folder: Path, scratch: Path) -> None:
    float_path = _export_float(encoder, scratch)
    quantize(float_path, scratch, encoder.model.config).replace(scratch / MODEL_FILE)
    backend = Tokenizer.from_str(encoder.tokenizer.backend_tokenizer.to_str())
    backend.no_truncation()
    backend.no_padding()
    backend.save(str(folder / TOKENIZER_FILE))
    pairs = _pairs(groups)
    step = -(-len(pairs) // _SCALE_PAIRS)
    fix_scales(scratch / MODEL_FILE, [_feeds(row) for row in encoder.encode_pairs(pairs[::step])])
    shutil.move(scratch / MODEL_FILE, folder / MODEL_FILE)


def _export_float(encoder: LoadedCrossEncoder, scratch: Path) -> Path:
    model = encoder.model.cpu().float().eval()
    config = model.config
    positions = getattr(config, "position_embedding_type", "absolute")
    activation = getattr(config, "hidden_act", None)
    if (config.model_type, activation, positions) == ("bert", "gelu", "absolute"):
        graph = PairGraph(model, encoder.max_length)
        return export_model(graph, PairOnnxConfig(config, task="text-classification"), scratch)
    try:
        make_config = TasksManager.get_exporter_config_constructor(
            "onnx", model=model, task="text-classification", library_name="transformers"
        )
    except (KeyError, ValueError) as error:
        raise ConfigError(
            f"cross-encoder '{encoder.name}': models of type '{config.model_type}' cannot be exported; "
            "use one of type bert, distilbert, roberta, xlm-roberta or modernbert"
        ) from error
    # PyTorch's fused attention becomes many small nodes in the graph; runtimes know the plain one. DistilBERT
    # chooses between them when it is made.
    plain = type(model)._from_config(copy.deepcopy(config), attn_implementation="eager").eval()
    plain.load_state_dict(model.state_dict())
    return export_model(plain, make_config(plain.config, task="text-classification"), scratch)


def _feeds(row: dict[str, list[int]]) -> Feeds:
    return {name: np.array([values], dtype=np.int64) for name, values in row.items()}


def _check(
    encoder: LoadedCrossEncoder,
    groups: Sequence[Group],
    folder: Path,
    settings: dict[str, Any],
    threads: int,
) -> LogitParity:
    """Write the canaries, with the exported graph's own logits, and measure the parity."""
    canaries = [(QUERIES[row % len(QUERIES)], text) for row, text in enumerate(TEXTS)]
    # A folder with canaries is needed to compute the canaries: the float32 model's logits are placeholders.
    _write_canaries(folder, canaries, encoder.logits(canaries))
    Artifact.create(folder, **settings)
    reranker = OnnxReranker(folder, threads=threads, check=False)
    _write_canaries(folder, canaries, reranker.score_pairs(canaries))
    pairs = _pairs(groups)
    parity = compare_logits(
        encoder.logits(pairs), reranker.score_pairs(pairs), [len(documents) for _, documents in groups]
    )
    if not parity.passed:
        raise ParityError(
            f"{encoder.name}: the int8 model orders pairs differently (rank correlation {parity.spearman}, "
            f"expected {MIN_SPEARMAN}); give pairs of your own domain in `pairs`, or train it longer"
        )
    return parity


def _write_canaries(folder: Path, pairs: Sequence[tuple[str, str]], logits: NDArray[np.float32]) -> None:
    with (folder / CANARY_FILE).open("w", encoding="utf-8") as file:
        for (query, document), logit in zip(pairs, logits, strict=True):
            row = {"query": query, "document": document, "logit": round(float(logit), 6)}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _settings(encoder: LoadedCrossEncoder, name: str) -> dict[str, Any]:
    packages = ("onnx", "onnxruntime", "optimum", "optimum-onnx")
    return {
        "kind": RERANKER,
        "name": name,
        "dim": 1,
        "max_length": encoder.max_length,
        "pooling": "",
        "source": {"cross_encoder": encoder.name, "weights": encoder.digest},
        "recipe": {
            "export": {
                "quantization": "int8: signed per-channel weights, reduced range, fixed activation scales",
                "versions": {package: version(package) for package in packages},
            },
        },
    }
