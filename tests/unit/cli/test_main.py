"""What `main` makes of errors."""

import errno
import os
import subprocess
import sys
from pathlib import Path

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


def run(*arguments, stdout=subprocess.PIPE, **variables):
    return subprocess.run(
        [sys.executable, "-m", "ce2de_os", *arguments], stdout=stdout, stderr=subprocess.PIPE, text=True,
        check=False, env={**os.environ, **variables},
    )  # fmt: skip


@pytest.mark.parametrize("arguments", [["--help"], ["local", "status", "--json"], ["local", "status"]])
def test_a_full_disk_behind_the_output_is_one_line(arguments, tmp_path):
    with Path("/dev/full").open("w") as full:
        done = run(*arguments, stdout=full, CE2DE_HOME=str(tmp_path / "home"))
    assert done.returncode == 1
    assert done.stderr == "ce2de: the output cannot be written (No space left on device)\n"


def test_a_reader_that_goes_away_is_no_error_message(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    done = run("local", "status", stdout=writing, CE2DE_HOME=str(tmp_path / "home"))
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
def test_output_that_knows_no_unicode_shows_escapes(encoding, tmp_path):
    home = tmp_path / "Ελληνικά 🎈"
    done = run("local", "status", CE2DE_HOME=str(home), PYTHONIOENCODING=encoding)
    assert "Traceback" not in done.stderr
    assert r"\u0395\u03bb" in done.stdout or "Ελλ" in done.stdout  # click knows a way around ascii


def test_an_error_of_several_lines_is_one_line(monkeypatch, capsys):
    def fails(**_):
        raise ConfigError("first\nforged \x1b[31mred at http://a:Zq7Xw9@h/")

    monkeypatch.setattr(cli, "cli", fails)
    with pytest.raises(SystemExit):
        cli.main()
    assert capsys.readouterr().err == "ce2de: first forged \\x1b[31mred at http://a:***@h/\n"
