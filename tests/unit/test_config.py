from __future__ import annotations

import math
from pathlib import Path

import pytest

from ce2de_os.config import OpenSearchSettings, Settings
from ce2de_os.errors import ConfigError
from ce2de_os.redaction import mask_url


def test_defaults() -> None:
    settings = Settings.from_env({})
    assert settings.opensearch.client_kwargs()["hosts"] == ["http://127.0.0.1:9200"]
    assert settings.artifact is None
    assert settings.threads == 1
    assert settings.log_format == "text"


def test_environment() -> None:
    settings = Settings.from_env(
        {
            "CE2DE_OPENSEARCH_URL": "https://search.example.org",
            "CE2DE_OPENSEARCH_USERNAME": "me",
            "CE2DE_OPENSEARCH_PASSWORD": "hidden",
            "CE2DE_OPENSEARCH_CA_CERTS": "/ca.pem",
            "CE2DE_OPENSEARCH_VERIFY_CERTS": "no",
            "CE2DE_ARTIFACT": "/model",
            "CE2DE_THREADS": "4",
            "CE2DE_LOG_FORMAT": "JSON",
        }
    )
    kwargs = settings.opensearch.client_kwargs()
    assert kwargs["http_auth"] == ("me", "hidden")
    assert kwargs["verify_certs"] is False
    assert kwargs["ca_certs"] == "/ca.pem"
    assert settings.artifact == Path("/model")
    assert settings.threads == 4
    assert settings.log_format == "json"


def test_certificates_are_checked_unless_told_otherwise() -> None:
    settings = Settings.from_env({"CE2DE_OPENSEARCH_URL": "https://search.example.org"})
    assert settings.opensearch.client_kwargs()["verify_certs"] is True


def test_what_contradicts_itself_is_refused_and_named() -> None:
    prefix = "CE2DE_OPENSEARCH_"
    cases = [
        ({"AWS_SERVICE": "s3"}, "AWS_SERVICE: got 's3', expected es or aoss"),
        ({"AWS_REGION": "eu-central-1", "USERNAME": "me"}, "AWS_REGION and CE2DE_OPENSEARCH_USERNAME"),
        ({"CLIENT_KEY": "/k"}, "set CE2DE_OPENSEARCH_CLIENT_CERT too"),
        ({"CLIENT_CERT": "/c", "VERIFY_CERTS": "no"}, "VERIFY_CERTS: got false with a client certificate"),
    ]
    for variables, message in cases:
        with pytest.raises(ConfigError, match=message):
            Settings.from_env({f"{prefix}{name}": value for name, value in variables.items()})


def test_an_empty_variable_counts_as_unset() -> None:
    names = ("USERNAME", "PASSWORD", "CA_CERTS", "CLIENT_CERT", "CLIENT_KEY", "AWS_REGION", "AWS_SERVICE")
    settings = Settings.from_env({f"CE2DE_OPENSEARCH_{name}": "" for name in names})
    assert settings.opensearch == Settings().opensearch


def test_child_processes_get_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CE2DE_CACHE", "CE2DE_JAVA_OPTIONS"):  # child processes inherit them
        monkeypatch.delenv(name, raising=False)
    settings = Settings.from_env(
        {"CE2DE_OPENSEARCH_PASSWORD": "hidden", "CE2DE_THREADS": "3", "CE2DE_LOG_FORMAT": "json"}
    )
    assert Settings.from_env(settings.environment()) == settings


def test_no_secret_in_repr() -> None:
    settings = Settings.from_env(
        {
            "CE2DE_OPENSEARCH_URL": "https://me:hidden@search.example.org",
            "CE2DE_OPENSEARCH_PASSWORD": "hidden",
            "CE2DE_BROKER_URL": "redis://:hidden@127.0.0.1/0",
        }
    )
    assert "hidden" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CE2DE_THREADS", "many"),
        ("CE2DE_THREADS", "0"),
        ("CE2DE_THREADS", "0.5"),
        ("CE2DE_THREADS", "inf"),
        ("CE2DE_THREADS", "4097"),
        ("CE2DE_THREADS", "nan"),
        ("CE2DE_OPENSEARCH_TIMEOUT_S", "nan"),
        ("CE2DE_OPENSEARCH_TIMEOUT_S", "inf"),
        ("CE2DE_OPENSEARCH_TIMEOUT_S", "-1"),
        ("CE2DE_OPENSEARCH_VERIFY_CERTS", "perhaps"),
        ("CE2DE_LOG_FORMAT", "xml"),
    ],
)
def test_bad_value_names_the_variable(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}: got '{value}'"):
        Settings.from_env({name: value})


@pytest.mark.parametrize("seconds", [0, math.inf, math.nan, 1e300])
def test_a_timeout_that_no_socket_takes_is_refused(seconds: float) -> None:
    with pytest.raises(ConfigError, match=r"CE2DE_OPENSEARCH_TIMEOUT_S: got .*, at most 86,400"):
        OpenSearchSettings(timeout_s=seconds)


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("redis://:pw@host:1/0", "redis://:***@host:1/0"),
        ("redis://user:p@ss@host", "redis://user:***@host"),
        ("redis://host", "redis://host"),
    ],
)
def test_mask_url(url: str, masked: str) -> None:
    assert mask_url(url) == masked
