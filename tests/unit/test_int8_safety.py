"""The packaged int8 file: its integers are exact, and a text's vector does not depend on its neighbours.

What another kind of CPU makes of it is measured by ``python -m benchmarks.int8_safety``.
"""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from benchmarks.int8_safety import MAX_BATCH_EFFECT, batch_effect
from benchmarks.integer_evidence import activations, expected, integers, toy
from benchmarks.onnx_graphs import SAFE, full_range, integer_graph, products
from ce2de_os.export.canary import TEXTS
from ce2de_os.model.artifact import Artifact
from ce2de_os.model.encoder import OnnxEncoder


@pytest.fixture(scope="module")
def artifact():
    return Artifact.load()


@pytest.fixture(scope="module")
def model(artifact):
    return onnx.load(artifact.model_path)


@pytest.fixture(scope="module")
def ids(artifact):
    return OnnxEncoder(artifact).token_ids(TEXTS)


def test_a_vector_does_not_depend_on_batch_or_padding(artifact, ids):
    assert max(map(len, ids)) > 100
    assert min(map(len, ids)) < 5
    for difference in batch_effect(artifact, ids * 2).values():
        assert difference.max_delta <= MAX_BATCH_EFFECT


def test_weights_are_signed_and_have_seven_bits(model):
    found = products(model)
    assert found
    for product in found:
        assert product.weight.dtype == np.int8
        assert np.abs(product.weight.astype(int)).max() <= SAFE
        assert not product.weight_zero.any()  # a zero point would add to the weight


def test_doubled_weights_leave_the_safe_range(model):
    assert max(np.abs(product.weight.astype(int)).max() for product in products(full_range(model))) == 127


def test_integer_sums_are_numpys(model, ids):
    fed = activations(model, ids)
    assert all(rows.dtype == np.uint8 and np.ptp(rows) > 100 for rows in fed.values())
    exact = expected(products(model), fed, "safe")
    seen = integers(integer_graph(products(model)).SerializeToString(), fed, "safe")
    assert set(seen) == set(exact)
    for name, sums in exact.items():
        assert np.abs(sums).max() < 2**24  # float32, in which the fused kernel returns them, is exact
        np.testing.assert_array_equal(seen[name], sums)


def test_the_greatest_sum_of_two_products_fits():
    assert toy(SAFE).tolist() == [[510 * SAFE, 0], [255 * SAFE, -255 * SAFE]]
