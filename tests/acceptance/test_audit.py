"""``make audit`` says whether it found a vulnerability, or could not look; no other target needs it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.conftest import ROOT

NOT_ASKED = "did not answer for every package"
# What pip-audit 2.10 prints, and its exit code.
ANSWERS = {
    "nothing found": ("No known vulnerabilities found", 0, False),
    "a vulnerability": ("Found 1 known vulnerability in 1 package\nurllib3 1.26.0 PYSEC-2021-108", 1, False),
    "no network": (
        "ERROR:pip_audit._cli:accelerate: Dependency not found on PyPI and could not be audited", 1, True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_a_database_that_does_not_answer_is_named(tmp_path: Path, name: str) -> None:
    text, code, not_asked = ANSWERS[name]
    shutil.copy(ROOT / "Makefile", tmp_path)
    program = tmp_path / ".venv-tools" / "bin" / "pip-audit"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {code}\n")
    program.chmod(0o755)
    (tmp_path / ".venv-tools" / ".stamp").touch()
    done = subprocess.run(["make", "audit"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert bool(done.returncode) == bool(code)
    assert text in done.stdout
    assert (NOT_ASKED in done.stderr) == not_asked


def test_continuous_integration_does_not_depend_on_it() -> None:
    places = [ROOT / ".ci" / "run", *(ROOT / ".github" / "workflows").glob("*.yml")]
    assert len(places) > 2
    assert [path for path in places if "audit" in path.read_text(encoding="utf-8")] == []
