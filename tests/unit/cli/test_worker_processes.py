from pathlib import Path

import pytest

from ce2de_os.config import OpenSearchSettings, Settings


def test_a_child_process_reads_the_settings_that_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CE2DE_CACHE", "CE2DE_JAVA_OPTIONS"):  # the tests' own
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CE2DE_OPENSEARCH_USERNAME", "somebody")
    opensearch = OpenSearchSettings(url="http://127.0.0.1:1234", verify_certs=False, timeout_s=7.0)
    settings = Settings(opensearch, "redis://127.0.0.1:5678/0", Path("model"), threads=2)
    environment = settings.environment()
    assert Settings.from_env(environment) == settings
    assert "PATH" in environment
    assert "CE2DE_OPENSEARCH_USERNAME" not in environment
