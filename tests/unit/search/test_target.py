"""What a cluster says of its plugins."""

import numpy as np
import pytest

from ce2de_os.index.metadata import IndexMetadata
from ce2de_os.search.target import Target, _version_on, query_vector


@pytest.mark.parametrize(
    ("plugins", "version"),
    [
        ({"opensearch-neural-search": "3.6.0.0", "opensearch-knn": "3.6.0.0"}, (3, 6)),
        ({"opensearch-neural-search": "2.19.1.0"}, (2, 19)),
        ({"opensearch-neural-search": "10.0.0.0-SNAPSHOT"}, (10, 0)),
        ({"opensearch-knn": "3.6.0.0"}, None),
        ({}, None),
    ],
)
def test_version_of_neural_search(plugins, version):
    listed = [{"name": name, "version": number} for name, number in plugins.items()]
    assert _version_on({"plugins": listed}) == version


@pytest.mark.parametrize(
    ("bytes_in", "numbers"), [(frozenset(), [0.6, -0.8]), (frozenset(["vector"]), [76, -102])]
)
def test_a_query_s_numbers_are_of_the_field_s_kind(bytes_in, numbers):
    """0.6 * 127 = 76.2 and 0.8 * 127 = 101.6."""
    metadata = IndexMetadata("vector", ("title",), "a" * 64, 2, "m", "articles")
    target = Target("articles", frozenset(), 1, ("title",), (), (metadata,), bytes_in)
    assert query_vector(target, metadata, np.array([0.6, -0.8], dtype=np.float32)) == numbers
