"""Folders that are run from are our own."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ce2de_os.config import LocalSettings
from ce2de_os.errors import LocalServerError
from ce2de_os.local import redis_server, state
from ce2de_os.local.distribution import exclusive, provide
from ce2de_os.local.lockfile import read
from ce2de_os.local.process import check_owned, make_folder
from ce2de_os.local.servers import LocalServers
from ce2de_os.local.state import State

OTHER = 12_345


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o755)
    State("3.6.0", "1g").save(folder / "state.json")
    return folder


def refuses(home: Path, text: str) -> None:
    servers = LocalServers(home, LocalSettings(cache=home))
    for action in (servers.up, servers.down, servers.status, servers.endpoints, servers.stop_redis):
        with pytest.raises(LocalServerError, match=text):
            action()
    with pytest.raises(LocalServerError, match=text):
        provide(read("3.6.0"), home, lambda *_: None)


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757, 0o722])
def test_a_folder_that_others_may_write_to_is_refused(home: Path, mode: int) -> None:
    home.chmod(mode)
    refuses(home, "other accounts may write to .* chmod go-w")


def test_a_folder_below_one_that_others_may_write_to_is_refused(home: Path) -> None:
    home.parent.chmod(0o777)
    refuses(home, "other accounts may write to")
    home.parent.chmod(0o1777)  # as /tmp is: others cannot rename what is ours
    check_owned(home)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_account_is_refused(home: Path) -> None:
    os.chown(home, OTHER, OTHER)
    refuses(home, "belongs to another account")


def test_a_link_is_judged_by_where_it_leads(home: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(home)
    check_owned(tmp_path / "link")
    home.chmod(0o777)
    with pytest.raises(LocalServerError, match="other accounts"):
        check_owned(tmp_path / "link")


def test_what_we_make_is_good_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_folder(tmp_path / "a" / "b")
        with exclusive(tmp_path / "a" / "b" / "lock"):
            pass
        State("3.6.0", "1g").save(tmp_path / "a" / "b" / "state.json")
    finally:
        os.umask(before)
    check_owned(tmp_path / "a" / "b")
    assert stat.S_IMODE((tmp_path / "a" / "b" / "state.json").stat().st_mode) == 0o600
    assert state.load(tmp_path / "a" / "b" / "state.json") == State("3.6.0", "1g")


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LocalServerError, match="too long for a socket"):
        redis_server.socket_path(tmp_path / ("x" * 100))


def program(folder: Path, name: str, version: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\necho 'Redis server {version} sha=0'\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("versions", "chosen"),
    [
        ({"redis-server": "v=7.2.11"}, "redis-server"),
        ({"redis-server": "v=7.2.11", "valkey-server": "v=8.1.4"}, "valkey-server"),
        ({"redis-server": "v=8.2.2", "valkey-server": "v=8.1.4"}, "redis-server"),
        ({"redis-server": "v=6.0.16"}, None),
        ({"redis-server": "is broken"}, None),
        ({}, None),
    ],
)
def test_a_newer_server_on_the_path_is_preferred(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, versions: dict[str, str], chosen: str | None
) -> None:
    for name, version in versions.items():
        program(tmp_path, name, version)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    if not versions and any(Path(f"/usr/bin/{name}").exists() for name in ("redis-server", "valkey-server")):
        pytest.skip("this machine has one")
    (tmp_path / "home").mkdir()
    found = redis_server.program(tmp_path / "home", None)
    assert found == (tmp_path / chosen if chosen else tmp_path / "home" / "redis-server")
    assert os.access(found, os.X_OK)
