"""Base64 vectors are tried on the cluster itself: 3.6 and 2.19 take none, and jobs there write arrays."""

from __future__ import annotations

import pytest
from opensearchpy import OpenSearch

from ce2de_os.index import base64_vectors
from ce2de_os.index.admin import describe_all
from ce2de_os.index.base64_vectors import takes_base64
from ce2de_os.index.vector_field import VectorField
from tests.integration.indexes import InlineQueue, articles, begin, create_index, run


@pytest.mark.parametrize("field", [VectorField(384), VectorField(384, data_type="byte", passages=True)])
def test_a_cluster_that_takes_none_is_noticed_and_left_clean(cluster, field, monkeypatch):
    assert not takes_base64(cluster, field)
    monkeypatch.setattr(base64_vectors, "SINCE", (2, 0))  # ask in spite of its age
    assert not takes_base64(cluster, field)
    assert left_behind(cluster) == []


def test_what_is_compared_is_right_where_both_forms_are_arrays(client: OpenSearch, monkeypatch):
    """The trial itself works: it fails above for the string alone, not for its mapping or its search."""
    arrays = lambda field, embeddings: field.encode_json(embeddings)  # noqa: E731
    monkeypatch.setattr(base64_vectors, "SINCE", (2, 0))
    monkeypatch.setattr(base64_vectors, "to_base64", arrays)
    assert takes_base64(client, VectorField(384))
    monkeypatch.setattr(base64_vectors, "to_base64", lambda field, rows: arrays(field, -rows))
    assert not takes_base64(client, VectorField(384))
    assert left_behind(client) == []


def test_a_pattern_on_the_source_does_not_show_the_trial(client: OpenSearch, index_name: str, monkeypatch):
    """A standing job on such a pattern would take the trial's index for one of its source."""
    create_index(client, index_name, articles(3))
    seen = []

    def look(field, rows):
        names = [info.name for info in describe_all(client, f"{index_name}*")]
        seen.append((names, left_behind(client)))
        return field.encode_json(rows)

    monkeypatch.setattr(base64_vectors, "SINCE", (2, 0))
    monkeypatch.setattr(base64_vectors, "to_base64", look)
    job = begin(client, index_name, InlineQueue())
    assert job.base64
    assert [sorted(names) for names, _ in seen] == [sorted([index_name, job.target])]
    assert [len(trial) for _, trial in seen] == [1]


def left_behind(client: OpenSearch) -> list[str]:
    rows = client.cat.indices(index="ce2de-probe-*", format="json", expand_wildcards="all")
    return [row["index"] for row in rows]


def test_a_job_writes_arrays_there(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(3))
    job = run(client, index_name, InlineQueue())
    assert job.base64 is False
    hits = client.search(index=job.target, body={"size": 3})["hits"]["hits"]
    assert all(isinstance(hit["_source"]["ce2de_vector"], list) for hit in hits)
