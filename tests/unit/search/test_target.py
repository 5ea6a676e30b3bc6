"""What a cluster says of its plugins."""

import pytest

from ce2de_os.search.target import _version_on


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
