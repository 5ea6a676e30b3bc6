"""Taking a port."""

from __future__ import annotations

import pytest

from ce2de_os import ServeRequest
from ce2de_os.errors import ConfigError
from ce2de_os.server.run import bind, run_one


@pytest.mark.parametrize("host", ["a..b", "a" * 70, "nowhere.invalid"])
def test_a_host_that_is_none_is_named(host):
    with pytest.raises(ConfigError, match=rf"cannot listen at {host}:0 \(.+\); choose another port or host"):
        bind(host, 0)


def test_of_two_services_that_start_at_once_the_second_says_that_the_port_is_taken():
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with bind("127.0.0.1", port) as second:
            first.listen()
            with pytest.raises(
                ConfigError, match=rf"cannot listen at 127.0.0.1:{port} \(Address already in use\)"
            ):
                run_one(ServeRequest(port=port), None, second, pytest.fail)
