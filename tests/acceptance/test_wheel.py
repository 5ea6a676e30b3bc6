"""The wheel works where it is installed, next to a project that has a package ``workers`` of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from ce2de_os import __version__
from tests.acceptance.pages import ROOT

pytestmark = pytest.mark.skipif(find_spec("hatchling") is None, reason="hatchling builds the wheel")

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
PROGRAM = """
import ce2de_os, workers
from ce2de_os.index.templates import render
from ce2de_os.model.artifact import Artifact
from ce2de_os.worker.app import app

assert workers.OURS, "another package took the project's place"
assert "ce2de_os.worker.tasks" in app.conf.include
assert render("ledger", {})["mappings"]
print(ce2de_os.__file__, Artifact.load().name)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder)]
    subprocess.run([*PIP, "wheel", *options, str(ROOT)], check=True, capture_output=True)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    options = ["--no-deps", "--no-index", "--target", str(folder)]
    subprocess.run([*PIP, "install", *options, str(wheel)], check=True, capture_output=True)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a package ``workers``, as a project of a user may have."""
    (tmp_path / "workers").mkdir()
    (tmp_path / "workers" / "__init__.py").write_text("OURS = True\n", encoding="utf-8")
    return tmp_path


def run(installed: Path, project: Path, *args: str) -> str:
    environment = {**os.environ, "PYTHONPATH": f"{installed}{os.pathsep}{project}"}
    done = subprocess.run(
        [sys.executable, *args], cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_has_the_version_of_the_package_and_no_other_package(wheel: Path, installed: Path) -> None:
    assert wheel.name == f"ce2de_os-{__version__}-py3-none-any.whl"
    assert {entry.name for entry in installed.iterdir()} <= {
        "ce2de_os", f"ce2de_os-{__version__}.dist-info", "bin",
    }  # fmt: skip


def test_the_command_explains_itself(installed: Path, project: Path) -> None:
    assert "Commands:" in run(installed, project, "-m", "ce2de_os", "--help")
    assert run(installed, project, str(installed / "bin" / "ce2de"), "--version").endswith(f"{__version__}\n")


def test_worker_templates_and_model_are_in_it(installed: Path, project: Path) -> None:
    where, model = run(installed, project, "-c", PROGRAM).split()
    assert Path(where).is_relative_to(installed)
    assert model == "student_en"


def test_a_missing_extra_names_the_wheel(installed: Path, project: Path, wheel: Path) -> None:
    program = "from ce2de_os.errors import install_command; print(install_command('worker'))"
    assert run(installed, project, "-c", program) == f"pip install 'ce2de-os[worker] @ {wheel.as_uri()}'\n"
