"""Output that cannot be written as it is: a full disk, a terminal without the characters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

QRELS, RUN = "q1\td1\t1\n", "q1 Q0 d1 1 2.0 t\n"


@pytest.fixture
def compare(tmp_path):
    (tmp_path / "qrels.tsv").write_text(QRELS)
    (tmp_path / "run.trec").write_text(RUN)
    arguments = ["compare", "--qrels", "qrels.tsv", "--run", "é→A=run.trec", "--metric", "nDCG@10"]

    def run(stdout, *more, **extra):
        command = [sys.executable, "-m", "ce2de_os", *arguments, *more]
        environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), **extra}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, stdout=stdout, stderr=subprocess.PIPE, check=False
        )

    return run


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has this device")
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_full_disk_is_one_line(compare, more):
    with Path("/dev/full").open("wb") as full:
        done = compare(full, *more)
    assert done.returncode == 1
    last = done.stderr.decode().strip().splitlines()[-1]
    assert last == "ce2de: the output cannot be written (No space left on device)"
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_characters_that_the_terminal_lacks_are_escaped(compare, encoding):
    shown = compare(subprocess.PIPE, PYTHONIOENCODING=encoding)
    assert (shown.returncode, b"Traceback" in shown.stderr) == (0, False)
    read = compare(subprocess.PIPE, "--json", PYTHONIOENCODING=encoding)
    written = "utf-8" if encoding == "ascii" else encoding  # click takes ASCII for a wrong configuration
    assert "é→A" in str(json.loads(read.stdout.decode(written)))
