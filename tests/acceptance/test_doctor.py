"""``ce2de doctor``: its verdict, its advice and its exit code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ce2de_os.cli.worker_processes import worker_processes
from ce2de_os.config import OpenSearchSettings, Settings
from ce2de_os.local.servers import Endpoints
from tests.acceptance.conftest import Run

NOWHERE = {"CE2DE_OPENSEARCH_URL": "http://127.0.0.1:9", "CE2DE_BROKER_URL": "redis://:secret@127.0.0.1:9/0"}


@pytest.fixture
def environment(endpoints: Endpoints) -> dict[str, str]:
    return {"CE2DE_OPENSEARCH_URL": endpoints.opensearch_url, "CE2DE_BROKER_URL": endpoints.broker_url}


@pytest.fixture
def worker(endpoints: Endpoints, tmp_path: Path) -> Iterator[None]:
    opensearch = OpenSearchSettings(url=endpoints.opensearch_url)
    with worker_processes(1, Settings(opensearch, endpoints.broker_url), tmp_path):
        yield


@pytest.mark.servers
@pytest.mark.usefixtures("worker")
def test_everything_is_there(ce2de: Run, environment: dict[str, str]) -> None:
    done = ce2de("doctor", **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not ok" not in done.stdout
    found = json.loads(ce2de("doctor", "--json", **environment).stdout)["checks"]
    assert {"OpenSearch", "health", "plugins", "Redis", "workers", "model"} <= {c["name"] for c in found}
    assert {check["state"] for check in found} <= {"ok", "warning"}


@pytest.mark.servers
def test_no_worker(ce2de: Run, environment: dict[str, str]) -> None:
    done = ce2de("doctor", **environment)
    assert done.returncode == 1
    assert "celery -A ce2de_os.worker.app worker" in done.stdout
    assert done.stderr == ""


@pytest.mark.servers
def test_a_damaged_model(ce2de: Run, environment: dict[str, str], damaged_model: Path) -> None:
    done = ce2de("doctor", "--artifact", damaged_model, **environment)
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if " model " in line]
    assert "not ok" in line
    assert "damaged or replaced" in line


def test_nothing_is_there(ce2de: Run) -> None:
    done = ce2de("doctor", **NOWHERE)
    assert done.returncode == 1
    assert done.stdout.count("not ok") == 2
    assert "ce2de local up" in done.stdout
    assert "secret" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_setting_of_the_wrong_kind(ce2de: Run) -> None:
    done = ce2de("doctor", CE2DE_OPENSEARCH_TIMEOUT_S="soon")
    assert done.returncode == 1
    assert done.stderr == "ce2de: CE2DE_OPENSEARCH_TIMEOUT_S: got 'soon', expected a number\n"
