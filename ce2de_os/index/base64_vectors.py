"""Vectors as base64 text, where the cluster takes them instead of JSON arrays: shorter to send and to parse.

OpenSearch's k-NN reads the little-endian bytes of the float32 numbers, or the bytes of a byte vector (its
pull request 3350, in 3.8). No version that does was available to try: the cluster is asked each time.
"""

from __future__ import annotations

import base64
import logging
import uuid
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from opensearchpy import OpenSearch

from ce2de_os.arrays import Embeddings
from ce2de_os.index import admin
from ce2de_os.index.client import WHOLE, backend_errors
from ce2de_os.index.json_text import JsonText, dumps
from ce2de_os.index.vector_field import VectorField

logger = logging.getLogger(__name__)

SINCE = (3, 8)
"""The first version that may take base64; older ones are not asked."""

_DIM = 8  # of the vectors that are tried


def to_base64(field: VectorField, embeddings: Embeddings) -> list[JsonText]:
    """Format each row of ``(B, D)`` as a JSON string."""
    numbers = field.as_bytes(embeddings) if field.data_type == "byte" else embeddings.astype("<f4")
    return [JsonText(f'"{base64.b64encode(row.tobytes()).decode("ascii")}"') for row in numbers]


def numbers_of(field: VectorField, stored: str | Sequence[float]) -> NDArray[np.float32]:
    """Read a stored vector, base64 or an array, to ``(D,)`` float32."""
    if not isinstance(stored, str):
        return np.asarray(stored, dtype=np.float32)
    content = base64.b64decode(stored)
    kind = np.dtype(np.int8) if field.data_type == "byte" else np.dtype("<f4")
    return np.frombuffer(content, dtype=kind).astype(np.float32)


def takes_base64(client: OpenSearch, field: VectorField) -> bool:
    """Return whether the cluster takes base64 for such a field, and understands it as we do.

    Tries it in an index of its own, and deletes that index. Whatever fails, a missing right too, means that
    JSON arrays are written.
    """
    return admin.version(client) >= SINCE and _tried(client, field)


def _tried(client: OpenSearch, field: VectorField) -> bool:
    # Not named after the target: a standing job on a pattern would take it for an index of its source.
    index = f"ce2de-probe-{uuid.uuid4().hex}"
    try:
        try:
            return _understands(client, index, replace(field, dim=_DIM, passages=False, token_dim=None))
        finally:
            client.indices.delete(index=index, params={"ignore": [404]})
    except Exception as error:  # arrays always work, so that no answer is a reason to stop
        logger.info("Vectors are written as arrays: %s", error, extra={"action": "try_base64"})
        return False


def _understands(client: OpenSearch, index: str, field: VectorField) -> bool:
    """Write one vector in both forms; compare the scores that a search gives them, and what is stored."""
    vectors = np.random.default_rng(0).normal(size=(2, _DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    settings = {"index": {"knn": True, "number_of_shards": 1, "number_of_replicas": 0}}
    mappings = {"properties": {field.name: field.mapping()}}
    admin.create(client, index, {"settings": settings, "mappings": mappings})
    forms = {"array": field.encode_json(vectors[:1])[0], "base64": to_base64(field, vectors[:1])[0]}
    (asked,) = field.encode(vectors[1:])
    query = {"knn": {field.name: {"vector": asked, "k": len(forms)}}}
    with backend_errors(f"try base64 in '{index}'"):
        for name, text in forms.items():
            client.index(index=index, id=name, body=dumps({field.name: text}), params={"refresh": "true"})
        answer = client.search(index=index, body={"query": query, "size": len(forms)}, params=WHOLE)
    found = {hit["_id"]: hit for hit in answer["hits"]["hits"]}
    if found.keys() != forms.keys():
        return False
    first, second = (
        np.append(numbers_of(field, hit["_source"][field.name]), hit["_score"]) for hit in found.values()
    )
    return np.allclose(first, second, atol=1e-5)
