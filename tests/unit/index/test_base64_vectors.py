"""Vectors as base64 text: written and read as k-NN 3.8 documents it, and by a job that was told to."""

from __future__ import annotations

import json
import struct
from base64 import b64decode
from dataclasses import replace

import numpy as np
import pytest

from ce2de_os.arrays import l2_normalize
from ce2de_os.index.base64_vectors import numbers_of, to_base64
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.index.vector_field import VectorField
from ce2de_os.reindex.job import Job, Part
from ce2de_os.reindex.slices.embedding import _encode
from ce2de_os.reindex.verify.vectors import _least_cosine
from tests.integration.indexes import HashEncoder

FIELD = VectorField(8)
ROWS = l2_normalize(np.random.default_rng(7).normal(size=(50, 8)).astype(np.float32))


def test_numbers_are_little_endian_and_of_four_bytes():
    (text,) = to_base64(VectorField(3), np.array([[1.0, -0.5, 0.1]], dtype=np.float32))
    assert b64decode(json.loads(text)) == struct.pack("<fff", 1.0, -0.5, np.float32(0.1))


def test_whole_numbers_are_bytes():
    (text,) = to_base64(VectorField(3, data_type="byte"), np.array([[1.0, -1.0, 0.0]], dtype=np.float32))
    assert b64decode(json.loads(text)) == struct.pack("bbb", 127, -127, 0)


@pytest.mark.parametrize("field", [FIELD, replace(FIELD, data_type="byte")])
def test_both_forms_are_read_as_the_same_numbers(field):
    text = [numbers_of(field, json.loads(one)) for one in to_base64(field, ROWS)]
    arrays = [numbers_of(field, row) for row in field.encode(ROWS)]
    np.testing.assert_allclose(text, arrays, atol=1e-6)
    assert to_base64(field, ROWS[:0]) == []


JOB = Job(
    job_id="j", source="articles", mode="copy", parts=(Part("articles", "uuid", "articles-copy", 3),),
    alias="a", text=TextSpec(("title",)), vector=FIELD, fingerprint="f" * 64, model="tiny", space="s" * 64,
    ranges=(), created_at_s=1.5,
)  # fmt: skip


@pytest.mark.parametrize("base64", [True, False])
def test_a_job_writes_one_form_and_its_verification_reads_it(base64):
    encoder, texts = HashEncoder(), ["red shoes", "blue sky", "a boat"]
    kept = replace(JOB, base64=base64, vector=VectorField(encoder.dim))
    written = [
        json.loads(values["ce2de_vector"]) for values in _encode(encoder, kept, texts, lambda *_: None)
    ]
    assert all(isinstance(vector, str) == base64 for vector in written)
    sources = [{"title": text, "ce2de_vector": vector} for text, vector in zip(texts, written, strict=True)]
    assert _least_cosine(encoder, kept, sources) == pytest.approx(1.0, abs=1e-5)
    sources[1]["ce2de_vector"] = sources[0]["ce2de_vector"]
    assert _least_cosine(encoder, kept, sources) < 0.9


def test_passages_hold_the_same_form():
    encoder = HashEncoder()
    spec = TextSpec(("title",), passages=(4, 2))
    kept = replace(JOB, base64=True, text=spec, vector=VectorField(encoder.dim, passages=True))
    (values,) = _encode(encoder, kept, ["one two three four five six"], lambda *_: None)
    passages = json.loads(values["ce2de_vector"])
    assert passages
    assert all(len(b64decode(one["vector"])) == 4 * encoder.dim for one in passages)


def test_the_ledger_keeps_the_form():
    kept = replace(JOB, base64=True)
    assert Job.from_source(json.loads(json.dumps(kept.to_source()))) == kept
    old = {key: value for key, value in kept.to_source().items() if key != "base64"}
    assert Job.from_source(json.loads(json.dumps(old))).base64 is False
