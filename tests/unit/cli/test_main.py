"""What `main` makes of errors."""

import errno

import pytest

from ce2de_os import cli
from ce2de_os.errors import ConfigError


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConfigError("top_k: got 0"), "ce2de: top_k: got 0\n"),
        (OSError(errno.EROFS, "Read-only file system", "runs/p"), "ce2de: runs/p: Read-only file system\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "a.png"),
            "ce2de: a.png: No space left on device\n",
        ),
    ],
)
def test_errors_of_ours_and_of_files_are_one_line(monkeypatch, capsys, error, told):
    def fails(**_):
        raise error

    monkeypatch.setattr(cli, "cli", fails)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == told


def test_an_error_of_no_file_keeps_its_traceback(monkeypatch):
    def fails(**_):
        raise OSError("something else")

    monkeypatch.setattr(cli, "cli", fails)
    with pytest.raises(OSError, match="something else"):
        cli.main()
