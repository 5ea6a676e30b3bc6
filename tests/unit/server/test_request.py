"""What a service may be started with."""

from __future__ import annotations

from pathlib import Path

import pytest

from ce2de_os import ServeRequest
from ce2de_os.errors import ConfigError


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_this_machine_needs_no_keys(host):
    assert ServeRequest(host=host).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "example.org", ""])
def test_other_machines_need_keys(host):
    with pytest.raises(ConfigError, match="which other machines reach, and no file of keys"):
        ServeRequest(host=host)
    assert ServeRequest(host=host, keys=Path("keys")).host == host


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"processes": 0}, "processes: got 0, expected at least 1"),
        ({"timeout_s": 0}, "timeout_s: got 0, expected a number above 0"),
        ({"grace_s": float("nan")}, "grace_s: got nan, expected a number above 0"),
        ({"grace_s": float("inf")}, "grace_s: got inf, expected a number above 0, at most 86,400"),
        ({"timeout_s": 1e300}, r"timeout_s: got 1e\+300, expected a number above 0, at most 86,400"),
        ({"requests_per_minute": 0}, "requests_per_minute: got 0, expected at least 1"),
        ({"requests_per_minute": 60}, "counts the requests of each key; name a file with keys"),
        ({"port": 70_000}, "port: got 70000, expected 0 to 65535"),
        ({"tls_key": Path("key")}, "got a TLS key without a certificate"),
    ],
)
def test_what_is_out_of_bounds(wrong, message):
    with pytest.raises(ConfigError, match=message):
        ServeRequest(**wrong)
