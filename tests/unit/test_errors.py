"""The command that adds an extra fits the way in which the package was installed."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError

import pytest

from ce2de_os import errors
from ce2de_os.errors import MissingExtraError, install_command


class Installed:
    """A distribution whose ``direct_url.json`` (PEP 610) says where it came from."""

    def __init__(self, origin: dict | None) -> None:
        self._origin = origin

    def read_text(self, name: str) -> str | None:
        return None if self._origin is None else json.dumps(self._origin)


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        ({"url": "file:///a%20b", "dir_info": {"editable": True}}, "pip install --editable '/a b[worker]'"),
        ({"url": "file:///x", "dir_info": {}}, "pip install 'ce2de-os[worker] @ file:///x'"),
        ({"url": "file:///x.whl", "archive_info": {}}, "pip install 'ce2de-os[worker] @ file:///x.whl'"),
        (
            {"url": "https://git.example.org/x", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "pip install 'ce2de-os[worker] @ git+https://git.example.org/x@abc'",
        ),
        (None, "pip install 'ce2de-os[worker]'"),
    ],
)
def test_the_command_names_the_place_of_the_package(monkeypatch, origin, command):
    monkeypatch.setattr(errors, "distribution", lambda name: Installed(origin))
    assert install_command("worker") == command
    text = str(MissingExtraError.for_extra("worker", "celery"))
    assert text == f"celery is not installed; run: {command}"


def test_without_metadata_the_name_has_to_do(monkeypatch):
    def missing(name: str) -> Installed:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(errors, "distribution", missing)
    assert install_command("aws") == "pip install 'ce2de-os[aws]'"
