"""The vector field's rules against what OpenSearch really takes, and its searches.

`faiss` fields are only ever mapped here: where the native library is missing, a document would kill the node.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from opensearchpy import OpenSearch

from ce2de_os.arrays import l2_normalize
from ce2de_os.errors import ConfigError
from ce2de_os.index.bulk import WriteAction, write_documents
from ce2de_os.index.metadata import IndexMetadata
from ce2de_os.index.target_body import target_body, vector_properties
from ce2de_os.index.vector_field import (
    COMPRESSION_LEVELS,
    DATA_TYPES,
    ENGINES,
    MODES,
    SPACE_TYPES,
    VectorField,
    Version,
)

KNN = {"index.knn": True, "index.number_of_shards": 1, "index.number_of_replicas": 0}


@pytest.fixture
def version(client: OpenSearch) -> Version:
    major, minor, *_ = client.info()["version"]["number"].split(".")
    return int(major), int(minor)


def fields() -> Iterator[VectorField]:
    options = product(ENGINES, (None, *MODES), (None, *COMPRESSION_LEVELS), DATA_TYPES)
    for engine, mode, level, data_type in options:
        yield VectorField(8, engine=engine, mode=mode, compression_level=level, data_type=data_type)
    for engine, space_type, data_type in product(ENGINES, SPACE_TYPES, DATA_TYPES):
        yield VectorField(8, engine=engine, space_type=space_type, data_type=data_type)
    for engine, mode in product(ENGINES, (None, *MODES)):
        yield VectorField(8, engine=engine, mode=mode, encoder="fp16")


def allowed(field: VectorField, version: Version) -> bool:
    try:
        field.validate(version)
    except ConfigError:
        return False
    return True


def taken(client: OpenSearch, index: str, field: VectorField) -> bool:
    mapping = {"properties": {field.name: field.mapping()}}
    answer = client.indices.put_mapping(index=index, body=mapping, params={"ignore": [400]})
    return "error" not in answer


def ours_alone(field: VectorField, version: Version) -> bool:
    """2.19 takes a cosine of bytes in faiss, which later versions refuse as wrong, and so do we."""
    cosine_of_bytes = (field.engine, field.data_type, field.space_type) == ("faiss", "byte", "cosinesimil")
    return cosine_of_bytes and version < (3, 0)


def test_validate_agrees_with_the_server_on_every_combination(
    client: OpenSearch, index_name: str, version: Version
) -> None:
    client.indices.create(index=index_name, body={"settings": KNN})
    wrong, count = [], 0
    for number, field in enumerate(fields()):
        named = replace(field, name=f"v{number}")
        expected = allowed(named, version) or ours_alone(named, version)
        count += 1
        if taken(client, index_name, named) != expected:
            wrong.append((expected, named))
    assert wrong == []
    assert count == 2 * 3 * 7 * 2 + 2 * 3 * 2 + 2 * 3


def near(direction: int, dim: int = 8) -> np.ndarray:
    row = np.full(dim, 0.1, dtype=np.float32)
    row[direction] = 1.0
    return row


ROWS = l2_normalize(np.stack([near(direction) for direction in range(8)]))

SEARCHABLE = [
    VectorField(8),
    VectorField(8, space_type="cosinesimil", m=8, ef_construction=32),
    VectorField(8, compression_level="4x"),
    VectorField(8, compression_level="4x", mode="on_disk"),
    VectorField(8, data_type="byte"),
    VectorField(8, data_type="byte", space_type="cosinesimil"),
]


def create(client: OpenSearch, index: str, field: VectorField) -> None:
    metadata = IndexMetadata(field.name, ("title",), "f" * 64, field.dim, "tiny", "articles")
    titles = {"properties": {"title": {"type": "keyword"}}}
    client.indices.create(index=index, body=target_body({}, titles, metadata, field, "hash"))


@pytest.mark.parametrize("field", SEARCHABLE, ids=str)
def test_encoded_rows_are_stored_and_found(client: OpenSearch, index_name: str, field: VectorField) -> None:
    create(client, index_name, field)
    rows = field.encode(ROWS)
    sources = [{"title": str(row), field.name: values, "hash": "h"} for row, values in enumerate(rows)]
    report = write_documents(
        client, index_name, (WriteAction(source["title"], 1, None, source) for source in sources)
    )
    assert report.written == 8, report.refused
    client.indices.refresh(index=index_name)
    for row, values in enumerate(rows):
        query = {"knn": {field.name: {"vector": values, "k": 3}}}
        hits = client.search(index=index_name, body={"query": query})["hits"]["hits"]
        assert hits[0]["_id"] == str(row)


def test_the_level_1x_changes_no_answer(cluster: OpenSearch, cluster_index: str) -> None:
    """It is what an index without a level has, in all versions that do not compress unasked."""
    field = VectorField(8)
    rows = l2_normalize(np.random.default_rng(5).normal(size=(200, 8)).astype(np.float32))
    actions = [
        WriteAction(str(row), 1, None, {field.name: values}) for row, values in enumerate(field.encode(rows))
    ]
    found = []
    for name, level in ((f"{cluster_index}-with", "1x"), (f"{cluster_index}-without", None)):
        mapping = field.mapping()
        if level is None:
            del mapping["compression_level"]
        settings = {**KNN, "index.refresh_interval": "-1"}
        body = {"settings": settings, "mappings": {"properties": {field.name: mapping}}}
        cluster.indices.create(index=name, body=body)
        assert write_documents(cluster, name, actions).written == 200
        cluster.indices.refresh(index=name)
        stored = cluster.indices.get_mapping(index=name)[name]["mappings"]["properties"][field.name]
        assert stored.get("compression_level") == level
        for values in field.encode(rows[:10]):
            query = {"knn": {field.name: {"vector": values, "k": 5}}}
            hits = cluster.search(index=name, body={"query": query, "size": 5})["hits"]["hits"]
            found.append([(hit["_id"], hit["_score"]) for hit in hits])
    assert found[:10] == found[10:]


@pytest.mark.parametrize("changes", [{}, {"compression_level": "4x"}, {"data_type": "byte"}], ids=str)
def test_the_best_passage_gives_the_score_and_is_named(
    client: OpenSearch, index_name: str, changes: dict[str, str]
) -> None:
    field = VectorField(8, passages=True, **changes)
    create(client, index_name, field)
    rows = field.encode(ROWS)
    passages = {"a": [0, 1], "b": [2, 3, 4], "c": [5]}
    actions = [
        WriteAction(
            doc_id,
            1,
            None,
            {
                "title": doc_id,
                field.name: [
                    {"vector": rows[row], "start": 10 * place, "end": 10 * place + 9}
                    for place, row in enumerate(members)
                ],
            },
        )
        for doc_id, members in passages.items()
    ]
    assert write_documents(client, index_name, actions).written == 3
    client.indices.refresh(index=index_name)
    nested = {
        "path": field.name,
        "score_mode": "max",
        "query": {"knn": {f"{field.name}.vector": {"vector": rows[3], "k": 3}}},
        "inner_hits": {"size": 1, "_source": [f"{field.name}.start", f"{field.name}.end"]},
    }
    hits = client.search(index=index_name, body={"query": {"nested": nested}})["hits"]["hits"]
    assert hits[0]["_id"] == "b"
    assert {hit["_id"] for hit in hits} == {"a", "b", "c"}  # k counts documents, not passages
    best = hits[0]["inner_hits"][field.name]["hits"]["hits"][0]
    assert best["_source"] == {"start": 10, "end": 19}
    assert best["_score"] == hits[0]["_score"]


def test_the_field_can_be_added_to_an_index_with_vectors_in_place(
    client: OpenSearch, index_name: str
) -> None:
    create(client, index_name, VectorField(8))
    second = vector_properties(VectorField(8, "second", compression_level="4x"), "second_hash")
    client.indices.put_mapping(index=index_name, body={"properties": second})
    found = client.indices.get_mapping(index=index_name)[index_name]["mappings"]["properties"]
    assert found["second"]["compression_level"] == "4x"
    assert found["second_hash"] == {"type": "keyword", "index": False, "doc_values": False}
