"""Bearer keys in a file that changes."""

from __future__ import annotations

import os

import pytest

from ce2de_os.errors import ConfigError
from ce2de_os.server.keys import Keys

FIRST, SECOND = "first-key-of-the-test", "second-key-of-the-test"


def write(path, text, mode=0o600):
    new = path.with_suffix(".new")
    new.write_text(text)
    new.chmod(mode)
    new.rename(path)
    return path


def test_every_key_of_the_file_is_good(tmp_path):
    keys = Keys(write(tmp_path / "keys", f"# of the shop\n{FIRST}\n\n  {SECOND}\n"))
    assert keys.accept(FIRST)
    assert keys.accept(SECOND)
    assert not any(map(keys.accept, ("", "# of the shop", FIRST[:-1], FIRST + "x", "ключ", "\ud800")))


def test_a_changed_file_counts_at_once(tmp_path):
    path = write(tmp_path / "keys", FIRST)
    keys = Keys(path)
    write(path, SECOND)
    assert (keys.accept(FIRST), keys.accept(SECOND)) == (False, True)


@pytest.mark.parametrize("text", ["", "short", "\udcff".encode("utf-8", "surrogateescape")])
def test_a_file_that_becomes_unusable_changes_nothing(tmp_path, caplog, text):
    path = write(tmp_path / "keys", FIRST)
    keys = Keys(path)
    path.write_bytes(text) if isinstance(text, bytes) else path.write_text(text)
    assert keys.accept(FIRST)
    assert keys.accept(FIRST)
    assert [record.action for record in caplog.records] == ["keys_unreadable"]
    path.unlink()
    assert keys.accept(FIRST)


REFUSED = "other users of this machine can read the keys; run: chmod 600"


@pytest.mark.parametrize("mode", [0o604, 0o660, 0o644])
def test_a_file_that_others_can_read_is_refused(tmp_path, mode):
    with pytest.raises(ConfigError, match=REFUSED):
        Keys(write(tmp_path / "keys", FIRST, mode))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_group_may_read_only_what_root_owns(tmp_path):
    """As Kubernetes mounts a secret for a user who is not root."""
    path = write(tmp_path / "keys", FIRST, 0o440)
    assert Keys(path).accept(FIRST)
    os.chown(path, 10001, 10001)
    with pytest.raises(ConfigError, match=REFUSED):
        Keys(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="the keys cannot be read"):
        Keys(tmp_path / "keys")
