"""The layer probe: measure how well the states of each layer of a cross-encoder (CE) find documents.

After "Can Cross Encoders Produce Useful Sentence Embeddings?" (arXiv 2502.03552), whose finding is that early
layers of a CE are useful for retrieval, more than the same layers of a dual encoder (DE) of the same base.
Choices that the paper leaves open are options here, see `Reading`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ce2de_os.arrays import l2_normalize
from ce2de_os.distill.models.layers import POOLINGS, LayeredModel, embed_layers
from ce2de_os.errors import ConfigError, DataError
from ce2de_os.evaluation import (
    Collection,
    Scores,
    confidence_interval,
    exact_search,
    mean,
    measure,
    paired_t_test,
)
from ce2de_os.progress import Phase
from ce2de_os.writing import replacing

METRICS = ("Hits@10", "MRR@10", "nDCG@10")
CHOSEN_BY = "nDCG@10"
"""The metric that names the best layer and the best reading."""

MAX_TOKENS = 128


@dataclass(frozen=True)
class Reading:
    """The way to turn a layer's states into one embedding.

    Attributes:
        input: ``"pair"``, each text together with itself, as in the paper; or ``"alone"``. Of a pair the
            first copy is averaged. A dual encoder always reads a text alone.
        pooling: ``"mean"`` of the text's own tokens, as in the paper, or ``"cls"``, the first token.
        centred: subtract the mean embedding of the collection's documents.
    """

    input: str = "pair"
    pooling: str = "mean"
    centred: bool = False  # the spelling of the files that a probe writes

    def __str__(self) -> str:
        return f"{self.input}, {self.pooling}{', centered' if self.centred else ''}"


READINGS = tuple(Reading(*parts) for parts in product(("pair", "alone"), POOLINGS, (False, True)))


@dataclass(frozen=True)
class Curve:
    """One model read one way: ``scores[collection][layer][metric]`` by query; layer 0 is the embeddings."""

    reading: Reading
    scores: dict[str, list[dict[str, Scores]]]

    def values(self, metric: str, collection: str | None = None) -> list[float]:
        """Return each layer's mean over queries; without a ``collection``, the mean over collections."""
        names = [collection] if collection is not None else list(self.scores)
        by_name = [[mean(layer[metric]) for layer in self.scores[name]] for name in names]
        return [float(value) for value in np.mean(by_name, axis=0)]

    def best_layer(self, metric: str = CHOSEN_BY, collection: str | None = None) -> int:
        """Return the layer of the highest value, the lowest of equal ones."""
        return int(np.argmax(self.values(metric, collection)))


@dataclass(frozen=True)
class ProbedModel:
    """A model's curves; `best` is the one shown."""

    role: str
    name: str
    digest: str
    precision: str
    curves: list[Curve]

    @property
    def best(self) -> Curve:
        """The reading whose best layer is highest, the first of equal ones."""
        return max(self.curves, key=lambda curve: max(curve.values(CHOSEN_BY)))


@dataclass(frozen=True)
class Probe:
    """The results of `probe`: the cross-encoder first, then the dual encoder, if there was one."""

    collections: list[Collection]
    max_tokens: int
    models: list[ProbedModel]

    def p_value(self, collection: str, layer: int) -> float | None:
        """Compute a paired t-test of CE and DE at a layer; ``None`` if one of them lacks the layer."""
        curves = [model.best.scores[collection] for model in self.models]
        if len(curves) < 2 or layer >= min(map(len, curves)):
            return None
        return paired_t_test(*(curve[layer][CHOSEN_BY] for curve in curves))

    def save(self, path: Path) -> None:
        """Write `to_json` as a file, completely or not at all."""
        with replacing(path) as file:
            file.write(json.dumps(self.to_json(), indent=1) + "\n")

    def to_json(self) -> dict[str, Any]:
        """Return all measurements, with 95% bootstrap intervals over queries."""
        return {
            "max_tokens": self.max_tokens,
            "chosen_by": CHOSEN_BY,
            "collections": [
                {"name": c.name, "documents": len(c.documents), "queries": len(c.queries)}
                for c in self.collections
            ],
            "models": [
                {
                    "role": model.role, "name": model.name, "digest": model.digest,
                    "precision": model.precision, "best": asdict(model.best.reading),
                    "curves": [_curve_json(curve) for curve in model.curves],
                }
                for model in self.models
            ],
        }  # fmt: skip


def probe(
    models: Sequence[LayeredModel], collections: Sequence[Collection], readings: Sequence[Reading],
    max_tokens: int = MAX_TOKENS, cache: Path | None = None,
    phase: Phase = lambda name, done, total: None,
) -> Probe:  # fmt: skip
    """Search each collection with the embeddings of every layer of each model.

    Args:
        models: the cross-encoder, and the dual encoder to compare it with.
        collections: of different names.
        readings: ways to read the cross-encoder; the dual encoder is read in the same way, but always alone.
        max_tokens: most tokens of a text, the same for every model: fewer if one cannot read that number.
        cache: see `embed_layers`.
        phase: receives how many of the texts the models have read.

    Raises:
        ConfigError: ``max_tokens`` is not positive.
        DataError: a query has no text, or a model gives numbers that are not finite.
    """
    if max_tokens < 1:
        raise ConfigError(f"max_tokens: got {max_tokens}, expected a number above 0")
    for collection in collections:
        _check(collection)
    by_model = [(model, readings_of(model, readings)) for model in models]
    room = min(model.room(r.input == "pair") for model, found in by_model for r in found)
    max_tokens = min(max_tokens, room)
    total, read = _texts_to_read(models, collections, readings), 0

    def report(more: int) -> None:
        nonlocal read
        read += more
        phase("probe", read, total)

    probed = []
    for model, asked in by_model:
        curves = {reading: Curve(reading, {}) for reading in asked}
        for collection, paired in product(collections, (True, False)):
            group = [reading for reading in asked if (reading.input == "pair") == paired]
            if not group:
                continue
            poolings = sorted({reading.pooling for reading in group})
            embeddings = embed_layers(
                model, [*collection.documents, *collection.queries], paired, max_tokens, poolings, cache,
                report,
            )  # fmt: skip
            for reading in group:
                layers = embeddings[poolings.index(reading.pooling)]
                curves[reading].scores[collection.name] = [
                    _measure(collection, layer, reading.centred) for layer in layers
                ]
        probed.append(
            ProbedModel(model.role, model.name, model.digest, model.precision, list(curves.values()))
        )
    return Probe(list(collections), max_tokens, probed)


def readings_of(model: LayeredModel, readings: Sequence[Reading]) -> list[Reading]:
    """Return the readings that ``model`` supports: a dual encoder reads every text alone."""
    if model.role == "CE":
        return list(readings)
    return list(dict.fromkeys(replace(reading, input="alone") for reading in readings))


def _texts_to_read(
    models: Sequence[LayeredModel], collections: Sequence[Collection], readings: Sequence[Reading]
) -> int:
    """Count the texts of all collections, once for each model and input."""
    texts = sum(len(collection.documents) + len(collection.queries) for collection in collections)
    return texts * sum(len({reading.input for reading in readings_of(model, readings)}) for model in models)


def limit_documents(collection: Collection, documents: int, seed: int = 0) -> Collection:
    """Reduce a collection to at most ``documents``: the relevant ones, and a random sample of others.

    Raises:
        ConfigError: more documents than that are relevant to a query.
    """
    relevant = {doc for judged in collection.qrels.values() for doc, value in judged.items() if value > 0}
    if documents >= len(collection.documents):
        return collection
    if documents < len(relevant):
        raise ConfigError(
            f"limit: got {documents:,} documents, but {len(relevant):,} of '{collection.name}' "
            "are relevant to a query; give at least that number"
        )
    others = [doc for doc in collection.doc_ids if doc not in relevant]
    kept = relevant.union(random.Random(seed).sample(others, documents - len(relevant)))  # noqa: S311
    rows = [row for row, doc in enumerate(collection.doc_ids) if doc in kept]
    return replace(
        collection, doc_ids=[collection.doc_ids[row] for row in rows],
        documents=[collection.documents[row] for row in rows],
    )  # fmt: skip


def _check(collection: Collection) -> None:
    for query_id, text in zip(collection.query_ids, collection.queries, strict=True):
        if not text.strip():
            raise DataError(f"'{collection.name}': query '{query_id}' has no text")


def _measure(collection: Collection, layer: NDArray[np.float32], centred: bool) -> dict[str, Scores]:
    """Compute the metrics of one layer's embeddings ``(documents + queries, D)``, documents first."""
    count = len(collection.documents)
    if centred:
        layer = _center(layer, count)
    normal = l2_normalize(layer)
    runs = exact_search(collection, normal[:count], normal[count:], top_k=10)
    return {metric: measure(collection.qrels, runs, metric) for metric in METRICS}


def _center(layer: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Subtract the mean of the first ``count`` rows, the documents; a text without tokens stays zero."""
    full = (layer != 0).any(axis=1)
    average = layer[:count].sum(axis=0, dtype=np.float64) / max(int(full[:count].sum()), 1)
    return np.where(full[:, None], layer - average, 0).astype(np.float32)


def _curve_json(curve: Curve) -> dict[str, Any]:
    return {
        **asdict(curve.reading),
        "best_layer": curve.best_layer(),
        "collections": {
            name: [{metric: _value_json(scores) for metric, scores in layer.items()} for layer in layers]
            for name, layers in curve.scores.items()
        },
    }


def _value_json(scores: Scores) -> dict[str, float]:
    low, high = confidence_interval(scores)
    return {"mean": round(mean(scores), 6), "low": round(low, 6), "high": round(high, 6)}
