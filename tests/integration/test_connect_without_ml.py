"""A cluster without ml-commons: everything that is missing, in one error."""

from __future__ import annotations

import pytest
from opensearchpy import OpenSearch

from ce2de_os.connect import cluster
from ce2de_os.errors import ConfigError
from tests.integration.jobs import Run


def test_what_is_missing_is_listed(client: OpenSearch, ce2de: Run) -> None:
    done = ce2de("connect", "any", "--service", "http://127.0.0.1:8080")
    assert done.returncode == 1
    assert "lacks: the plugin opensearch-ml on local" in done.stderr
    assert "install or grant all of it" in done.stderr
    with pytest.raises(ConfigError, match="the plugin opensearch-ml"):
        cluster.survey(client)
