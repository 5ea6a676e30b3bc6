"""The CLI as a user meets it: a process with arguments, an environment, two streams and an exit code."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ce2de_os.local.servers import LocalServers
from ce2de_os.model.artifact import DEFAULT_FOLDER
from ce2de_os.model.manifest import MODEL_FILE

ROOT = Path(__file__).parents[2]
CE2DE = [sys.executable, "-m", "ce2de_os"]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def ce2de(clean_environment: None) -> Run:
    """Run ``ce2de`` with arguments; keyword arguments are environment variables."""

    def run(*args: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*CE2DE, *args],
            env={**os.environ, **environment},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    return run


@pytest.fixture(scope="module")
def home(instances: Path) -> Iterator[Path]:
    """A folder for an instance of the test's own, stopped and removed afterwards."""
    folder = instances / f"acceptance-{os.getpid()}"
    yield folder
    LocalServers(folder).down()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def damaged_model(tmp_path: Path) -> Path:
    """A copy of the packaged model whose graph was cut off in the middle."""
    folder = tmp_path / "model"
    shutil.copytree(DEFAULT_FOLDER, folder)
    graph = folder / MODEL_FILE
    graph.write_bytes(graph.read_bytes()[: graph.stat().st_size // 2])
    return folder
