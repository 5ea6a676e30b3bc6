"""The vector field's mapping, rules and values; no server."""

import json
from dataclasses import replace

import numpy as np
import pytest

from ce2de_os.arrays import cosine, l2_normalize
from ce2de_os.errors import ConfigError
from ce2de_os.index.vector_field import VectorField

FIELD = VectorField(4)


def test_the_default_is_a_lucene_field():
    method = {
        "name": "hnsw",
        "engine": "lucene",
        "space_type": "innerproduct",
        "parameters": {"m": 16, "ef_construction": 100},
    }
    assert FIELD.mapping() == {
        "type": "knn_vector",
        "dimension": 4,
        "data_type": "float",
        "method": method,
        "compression_level": "1x",
    }


def test_options_appear_under_opensearchs_names():
    mapping = replace(FIELD, engine="faiss", mode="on_disk", compression_level="16x").mapping()
    assert (mapping["mode"], mapping["compression_level"]) == ("on_disk", "16x")
    assert replace(FIELD, engine="faiss", encoder="fp16").mapping()["compression_level"] == "2x"


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({}, "1x"),
        ({"engine": "faiss"}, "1x"),
        ({"mode": "in_memory"}, "1x"),
        ({"mode": "in_memory", "compression_level": "4x"}, "4x"),
        ({"mode": "on_disk"}, None),
        ({"data_type": "byte"}, None),
    ],
)
def test_no_version_may_choose_a_compression_that_was_not_asked_for(changes, level):
    """Newer versions compress 32-fold where neither level nor mode is written, and deprecate the mode."""
    mapping = replace(FIELD, **changes).mapping()
    assert mapping.get("compression_level") == level
    assert ("mode" in mapping) == (changes.get("mode") == "on_disk")


def test_passages_are_nested():
    field = replace(FIELD, name="v", passages=True)
    mapping = field.mapping()
    assert mapping["type"] == "nested"
    assert mapping["properties"]["vector"] == FIELD.mapping()
    assert {mapping["properties"][name]["type"] for name in ("start", "end")} == {"integer"}


def test_token_vectors_stand_in_a_field_of_their_own():
    field = replace(FIELD, token_dim=2)
    assert (FIELD.token_field, field.token_field) == (None, "ce2de_vector_tokens")
    assert FIELD.value_fields == ("ce2de_vector",)
    assert field.value_fields == ("ce2de_vector", "ce2de_vector_tokens")
    assert field.mapping() == FIELD.mapping()


def test_jobs_without_token_vectors_keep_their_names():
    """A job's name is made of the field's `repr`."""
    assert repr(replace(FIELD, token_dim=2)) == repr(FIELD)
    assert "token" not in repr(FIELD)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"passages": True, "token_dim": 2}, "token vectors with passages"),
        ({"name": "a.b"}, "expected a name without dots"),
        ({"name": ""}, "got ''"),
        ({"engine": "nmslib"}, "engine: got 'nmslib', expected one of lucene, faiss"),
        ({"space_type": "l1"}, "space_type: got 'l1'"),
        ({"dim": 0}, "dim: got 0, expected 1 to 16000"),
        ({"m": 513}, "m: got 513, expected 1 to 512"),
        ({"ef_construction": 0}, "ef_construction: got 0"),
        ({"compression_level": "64x"}, "compression_level: got '64x'"),
        ({"compression_level": "8x"}, "lucene has 1x, 4x, 32x"),
        ({"engine": "faiss", "compression_level": "4x"}, "faiss has 1x, 2x, 8x, 16x, 32x"),
        ({"mode": "on_disk", "compression_level": "1x"}, "lucene compresses on disk"),
        ({"encoder": "fp16"}, "only faiss has it"),
        ({"engine": "faiss", "encoder": "fp16", "compression_level": "2x"}, "use one of them"),
        ({"data_type": "byte", "mode": "on_disk"}, "only float has it"),
        ({"data_type": "byte", "compression_level": "1x"}, "only float has it"),
        ({"data_type": "byte", "engine": "faiss", "space_type": "cosinesimil"}, "faiss cannot"),
    ],
)
def test_what_opensearch_refuses_is_refused(changes, told):
    with pytest.raises(ConfigError) as raised:
        replace(FIELD, **changes).validate()
    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "version"),
    [
        ({"compression_level": "32x"}, (3, 5)),
        ({"engine": "faiss", "mode": "on_disk", "compression_level": "1x"}, (2, 19)),
    ],
)
def test_what_only_newer_versions_take(changes, version):
    field = replace(FIELD, **changes)
    field.validate()
    with pytest.raises(ConfigError, match=f"this cluster is {version[0]}.{version[1]}; use"):
        field.validate(version)


def test_a_cluster_without_levels_is_too_old():
    with pytest.raises(ConfigError, match=r"this cluster is 2.16, vector fields need 2.17 or newer"):
        FIELD.validate((2, 16))
    FIELD.validate((2, 17))


def test_what_is_written_to_the_ledger_is_read():
    field = replace(FIELD, engine="faiss", encoder="fp16", passages=True)
    assert VectorField.from_source(json.loads(json.dumps(field.to_source()))) == field
    assert VectorField.from_source({"dim": 4}) == FIELD
    with pytest.raises(ConfigError, match="use the version of ce2de that wrote it"):
        VectorField.from_source({"dim": 4, "colour": "red"})


def test_floats_have_six_decimals():
    values = FIELD.encode(np.array([[0.123456789, -1.0, 0.0, 1e-9]], dtype=np.float32))
    assert values == [[0.123457, -1.0, 0.0, 0.0]]


def test_bytes_are_whole_numbers_in_range():
    rows = np.array([[1.0, -1.0, 0.5, 0.0], [1.00001, -1.1, 0.004, -0.004]], dtype=np.float32)
    values = replace(FIELD, data_type="byte").encode(rows)
    assert values == [[127, -127, 64, 0], [127, -127, 1, -1]]  # 0.5 * 127 = 63.5 and 0.004 * 127 = 0.508
    assert all(isinstance(value, int) for row in values for value in row)


def test_bytes_cost_little():
    """Rounding errs by 1/sqrt(12) of a step on average: 1 - cosine = 384 / (2 * 12 * 127**2) = 0.00099."""
    rows = l2_normalize(np.random.default_rng(3).normal(size=(200, 384)).astype(np.float32))
    stored = np.array(VectorField(384, data_type="byte").encode(rows), dtype=np.float32)
    lost = 1 - cosine(rows, stored)
    assert lost.mean() == pytest.approx(384 / (2 * 12 * 127**2), rel=0.05)
    assert lost.max() < 0.0015


def test_no_embeddings_give_no_values():
    assert FIELD.encode(np.zeros((0, 4), dtype=np.float32)) == []


@pytest.mark.parametrize(
    "row",
    [
        [0.123456789, -1.0, 0.0, 1e-9],
        [-1e-9, 0.0000005, -0.9999995, 8.999],
        [100.5, -9.9999999, 1e6, 0.1],
    ],
)
@pytest.mark.parametrize("field", [FIELD, replace(FIELD, data_type="byte")])
def test_json_text_says_the_same_numbers(field, row):
    rows = np.array([row, row[::-1]], dtype=np.float32)
    read = [json.loads(text) for text in field.encode_json(rows)]
    np.testing.assert_array_equal(read, field.encode(rows))


def test_json_text_of_what_is_no_number():
    rows = np.array([[float("nan"), float("inf"), 0.5, -float("inf")]], dtype=np.float32)
    np.testing.assert_array_equal([json.loads(text) for text in FIELD.encode_json(rows)], rows)


def test_json_text_of_many_and_of_no_vectors():
    rows = l2_normalize(np.random.default_rng(7).normal(size=(50, 384)).astype(np.float32))
    field = VectorField(384)
    assert [json.loads(text) for text in field.encode_json(rows)] == field.encode(rows)
    assert field.encode_json(rows[:0]) == []
