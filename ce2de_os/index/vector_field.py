"""The field that holds the vectors: its mapping, its valid options, and its values.

The rules in `VectorField.validate` were found by creating every combination in OpenSearch 2.19.1 and 3.6.0.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ce2de_os.arrays import Embeddings
from ce2de_os.errors import ConfigError
from ce2de_os.index.json_text import JsonText, fits, six_decimals
from ce2de_os.index.templates import render
from ce2de_os.index.token_field import TOKENS_SUFFIX

ENGINES = ("lucene", "faiss")
SPACE_TYPES = ("innerproduct", "cosinesimil", "l2")
MODES = ("in_memory", "on_disk")
LEVELS = {"lucene": ("1x", "4x", "32x"), "faiss": ("1x", "2x", "8x", "16x", "32x")}
"""The ``compression_level`` values of each engine."""

COMPRESSION_LEVELS = ("1x", "2x", "4x", "8x", "16x", "32x")
DATA_TYPES = ("float", "byte")
ENCODERS = ("fp16",)

OLDEST = (2, 17)
"""The first OpenSearch that knows ``compression_level``, which every field of floats has."""

MOST_DIMENSIONS = 16_000
MOST_M, MOST_EF_CONSTRUCTION = 512, 3200
"""Most dimensions in Lucene; a mapping with more is accepted, but then every document is rejected."""

ORIGIN_SUFFIX = "_origin"
"""Suffix of the field with the source version that a document was copied from."""

_BYTE_SCALE = 127
_FP16_LEVEL = "2x"

Version = tuple[int, int]


def options_of(mapping: Mapping[str, Any]) -> dict[str, str]:
    """Return the options that a field's mapping was created with, by the names of `VectorField`.

    One that it does not name has OpenSearch's default; those of a field that names no method are unknown.
    """
    vector = mapping.get("properties", {}).get("vector", mapping)
    method, mode = vector.get("method", {}), vector.get("mode", MODES[0])
    known = {**method, **method.get("parameters", {})}
    found = {name: known[name] for name in ("engine", "space_type", "m", "ef_construction") if name in known}
    level = vector.get("compression_level", LEVELS["lucene"][0] if mode == MODES[0] else "that of the mode")
    found |= {"mode": mode, "compression_level": level, "data_type": vector.get("data_type", DATA_TYPES[0])}
    return {name: str(value).lower() for name, value in found.items()}


@dataclass(frozen=True)
class VectorField:
    """A ``knn_vector`` field; names and values are OpenSearch's own.

    Attributes:
        dim: length of one vector.
        name: the field, at the top level of the mapping.
        engine: ``lucene``, or ``faiss``, which needs its native library on every data node.
        space_type: ``innerproduct``, ``cosinesimil`` or ``l2``: for unit vectors all three rank alike.
        m: links of each vector in the graph: more find better and take 8.8 bytes each.
        ef_construction: candidates looked at for each link while indexing.
        mode: ``in_memory`` or ``on_disk`` (small in memory, slower); ``None``: ``in_memory``.
        compression_level: how much smaller vectors are in memory, ``1x`` to ``32x``; ``None``: ``1x``, and
            ``on_disk`` what OpenSearch has for it.
        data_type: ``float``, or ``byte`` (see `encode`).
        encoder: ``fp16`` halves the memory of ``faiss``; ``None``: as ``compression_level`` says.
        passages: the field is nested and holds a vector, and its place in the text, for each passage.
        token_dim: length of the token vectors, see `ce2de_os.index.token_field`;
            ``None``: there are none.
    """

    dim: int
    name: str = "ce2de_vector"
    engine: str = "lucene"
    space_type: str = "innerproduct"
    m: int = 16
    ef_construction: int = 100
    mode: str | None = None
    compression_level: str | None = None
    data_type: str = "float"
    encoder: str | None = None
    passages: bool = False
    # Not in `repr`, which names jobs: those without token vectors keep the names that they have.
    token_dim: int | None = field(default=None, repr=False)

    @property
    def hash_field(self) -> str:
        """The field with a hash of the embedded text and the model."""
        return f"{self.name}_hash"

    @property
    def origin_field(self) -> str:
        """The field of a copy with the origin of each document: shard and ``_seq_no``."""
        return f"{self.name}{ORIGIN_SUFFIX}"

    @property
    def token_field(self) -> str | None:
        """The field of the token vectors; ``None``: there are none."""
        return f"{self.name}{TOKENS_SUFFIX}" if self.token_dim is not None else None

    @property
    def value_fields(self) -> tuple[str, ...]:
        """The fields that the model fills: the vector's, and that of the token vectors."""
        return (self.name, self.token_field) if self.token_field else (self.name,)

    def mapping(self) -> dict[str, Any]:
        """Return the field's mapping.

        ``fp16`` is written as compression level 2x, which is the same encoder: naming the encoder takes
        a parameter that 3.6 requires and 2.19 rejects. ``in_memory`` is written as its level alone: newer
        versions deprecate the mode, and compress 32-fold where no level is written.
        """
        vector = render("vector_field", asdict(self))
        level = _FP16_LEVEL if self.encoder == "fp16" else self.compression_level
        if self.mode == "on_disk":  # only the mode looks the best up in full
            vector["mode"] = self.mode
        elif level is None and self.data_type == "float":
            level = "1x"
        if level is not None:
            vector["compression_level"] = level
        return render("passages_field", {"vector": vector}) if self.passages else vector

    def validate(self, version: Version | None = None) -> None:
        """Reject what OpenSearch would reject.

        ``version`` is the cluster's, ``(2, 19)``; ``None``: accept what 3.6 accepts.

        Raises:
            ConfigError: a combination is not possible; the message has the option, its value, and the valid
                ones.
        """
        problem = next(self._problems(version or (3, 6)), None)
        if problem is not None:
            raise ConfigError(problem)

    def encode(self, embeddings: Embeddings) -> list[list[float]]:
        """Turn ``(B, D)`` float32 unit vectors into JSON numbers, for documents and queries alike.

        ``float``: six decimals, half the characters of the full ones and the same ranking. ``byte``: times
        127 and rounded, as OpenSearch takes whole numbers from -128 to 127 only. That costs some precision:
        with 384 dimensions the cosine between a vector and its bytes is about 0.999. So compare stored bytes
        with the bytes of a new embedding, not with the embedding.
        """
        if self.data_type == "byte":
            whole: list[list[float]] = self.as_bytes(embeddings).tolist()
            return whole
        rounded: list[list[float]] = np.round(embeddings.astype(np.float64), 6).tolist()
        return rounded

    @staticmethod
    def as_bytes(embeddings: Embeddings) -> NDArray[np.int8]:
        """Convert ``(B, D)`` float32 unit vectors to the whole numbers of a byte vector."""
        return np.rint(np.clip(embeddings, -1.0, 1.0) * _BYTE_SCALE).astype(np.int8)

    def encode_json(self, embeddings: Embeddings) -> list[JsonText]:
        """Encode embeddings as `encode` does, but as JSON text: 30 times as fast."""
        if self.data_type == "float" and fits(embeddings):
            return six_decimals(embeddings)
        return [JsonText(json.dumps(row)) for row in self.encode(embeddings)]

    def to_source(self) -> dict[str, Any]:
        """Return the field as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_source(cls, source: Mapping[str, Any]) -> VectorField:
        """Parse the result of `to_source`; missing keys have their defaults.

        Raises:
            ConfigError: a key is unknown, or ``dim`` is missing.
        """
        try:
            return cls(**source)
        except TypeError as error:
            raise ConfigError(f"vector field: {error}; use the version of ce2de that wrote it") from error

    def _problems(self, version: Version) -> Iterator[str]:
        if version < OLDEST:
            yield f"this cluster is {_told(version)}, vector fields need {_told(OLDEST)} or newer; upgrade it"
        yield from self._wrong_values()
        if self.passages and self.token_dim is not None:
            yield "token vectors with passages: a document has them for its whole text; drop one of them"
        yield from self._wrong_encoder()
        yield from self._wrong_byte()
        yield from self._wrong_level(version)

    def _wrong_values(self) -> Iterator[str]:
        if not self.name or "." in self.name or self.name.startswith("_"):
            yield f"vector field: got '{self.name}', expected a name without dots that does not start with _"
        choices = {
            "engine": ENGINES, "space_type": SPACE_TYPES, "mode": (None, *MODES), "data_type": DATA_TYPES,
            "compression_level": (None, *COMPRESSION_LEVELS), "encoder": (None, *ENCODERS),
        }  # fmt: skip
        for name, values in choices.items():
            if getattr(self, name) not in values:
                expected = ", ".join(value for value in values if value)
                yield f"{name}: got '{getattr(self, name)}', expected one of {expected}"
        most = {"dim": MOST_DIMENSIONS, "m": MOST_M, "ef_construction": MOST_EF_CONSTRUCTION}
        for name, largest in most.items():
            if not 1 <= getattr(self, name) <= largest:
                yield f"{name}: got {getattr(self, name)}, expected 1 to {largest}"

    def _wrong_encoder(self) -> Iterator[str]:
        if self.encoder is None:
            return
        if self.engine != "faiss":
            yield f"encoder {self.encoder}: only faiss has it; use that engine, or compression_level 4x"
        if self.compression_level is not None:
            yield (
                f"encoder {self.encoder} with compression_level {self.compression_level}: use one of them; "
                "fp16 is the same as 2x"
            )

    def _wrong_byte(self) -> Iterator[str]:
        if self.data_type != "byte":
            return
        for name in ("mode", "compression_level", "encoder"):
            if getattr(self, name) not in (None, "in_memory"):
                yield f"data_type byte with {name} {getattr(self, name)}: only float has it; drop one of them"
        if (self.engine, self.space_type) == ("faiss", "cosinesimil"):
            yield "data_type byte with cosinesimil: faiss cannot; use space_type innerproduct"

    def _wrong_level(self, version: Version) -> Iterator[str]:
        engine, level, told = (
            self.engine,
            self.compression_level,
            f"compression_level {self.compression_level}",
        )
        if level is None:
            return
        if level not in LEVELS[engine]:
            yield f"{told}: {engine} has {', '.join(LEVELS[engine])}; use one of these, or another engine"
        if (engine, level) == ("lucene", "32x") and version < (3, 6):
            yield f"{told}: lucene has it from 3.6 on, this cluster is {_told(version)}; use 4x"
        if (self.mode, level) == ("on_disk", "1x"):
            if engine == "lucene":
                yield f"mode on_disk with {told}: lucene compresses on disk; use 4x, or mode in_memory"
            elif version < (3, 1):
                yield f"mode on_disk with {told}: needs 3.1, this cluster is {_told(version)}; use 2x"


def _told(version: Version) -> str:
    return ".".join(map(str, version))
