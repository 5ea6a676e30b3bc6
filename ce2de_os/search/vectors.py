"""A cache of query vectors, for repeated questions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ce2de_os.arrays import Embeddings
from ce2de_os.errors import ConfigError
from ce2de_os.forks import renew_after_fork

Vector = NDArray[np.float32]
"""``(D,)``, as the encoder returned it."""

CACHED_QUERIES = 1024
"""Vectors that a searcher keeps: 1.5 MB at 384 dimensions."""


class QueryEncoder(Protocol):
    """The encoder that a searcher needs; `ce2de_os.OnnxEncoder` is one."""

    @property
    def space(self) -> str:
        """Names the vector space, see `ce2de_os.model.artifact`."""

    def encode_queries(self, texts: Sequence[str], /) -> Embeddings:
        """Encode ``texts`` to ``(B, D)`` float32."""


def model_of(encoder: QueryEncoder) -> str | None:
    """Return the encoder's fingerprint; ``None`` if it has none: then only its space is compared."""
    found: str | None = getattr(encoder, "fingerprint", None)
    return found


class QueryVectors:
    """Encodes questions, and keeps the last ``size`` (0: no) different vectors; safe from threads.

    Raises:
        ConfigError: ``size`` is below 0.
    """

    def __init__(self, encoder: QueryEncoder, size: int = CACHED_QUERIES) -> None:
        if size < 0:
            raise ConfigError(f"cached_queries: got {size}, expected at least 0")
        self._encoder = encoder
        self._size = size
        self._known: OrderedDict[str, Vector] = OrderedDict()
        self._lock = Lock()
        renew_after_fork(self, QueryVectors._unlock)

    @property
    def space(self) -> str:
        """The encoder's vector space."""
        return self._encoder.space

    @property
    def model(self) -> str | None:
        """The encoder's fingerprint, see `model_of`."""
        return model_of(self._encoder)

    def __len__(self) -> int:
        """Return how many vectors are in the cache."""
        return len(self._known)

    def known(self, text: str) -> Vector | None:
        """Return the cached vector of ``text``, and mark it as recently used; ``None`` if there is none."""
        with self._lock:
            if text in self._known:
                self._known.move_to_end(text)
            return self._known.get(text)

    def encode(self, texts: Sequence[str]) -> list[Vector]:
        """Return the vector of each text; texts not in the cache are encoded together, and cached."""
        vectors = {text: self.known(text) for text in texts}
        missing = [text for text, vector in vectors.items() if vector is None]
        if missing:
            # Outside the lock: two threads may encode the same text, which is right and rare.
            encoded = dict(zip(missing, self._encoder.encode_queries(missing), strict=True))
            vectors |= encoded
            self._keep(encoded)
        return [vector for text in texts if (vector := vectors[text]) is not None]

    def _unlock(self) -> None:
        self._lock = Lock()  # a thread of the parent may have held it

    def _keep(self, vectors: dict[str, Vector]) -> None:
        with self._lock:
            self._known |= vectors
            while len(self._known) > self._size:
                self._known.popitem(last=False)
