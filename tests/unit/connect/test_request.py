from __future__ import annotations

import pytest

from ce2de_os.connect.request import ConnectRequest
from ce2de_os.errors import ConfigError


@pytest.mark.parametrize("service", ["https://embed.example.org:8080/", "https://embed.example.org:8080"])
def test_the_address_is_kept_without_its_end(service: str) -> None:
    assert ConnectRequest("articles", service).service == "https://embed.example.org:8080"


@pytest.mark.parametrize(
    "service",
    ["embed:8080", "ftp://embed", "http://", "http://user:secret@embed", "http://embed/v1", "http://embed?a"],
)
def test_what_is_no_address_is_refused(service: str) -> None:
    with pytest.raises(ConfigError, match="expected an address"):
        ConnectRequest("articles", service)


@pytest.mark.parametrize("name", ["articles-*", "_all", "a,b", "a b", "", "-a", "<a>"])
def test_patterns_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="not a pattern"):
        ConnectRequest(name, "http://127.0.0.1:8080")


def test_the_key_is_never_printed() -> None:
    assert "secret" not in repr(ConnectRequest("articles", "http://embed", key="secret"))
