"""``ce2de demo`` on a small corpus, with servers of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from itertools import islice
from pathlib import Path

import pytest

from ce2de_os.cli.demonstration.corpus import python_documents
from ce2de_os.local.servers import LocalServers
from tests.acceptance.conftest import CE2DE, ROOT, Run
from tests.contract import keys_agree

pytestmark = pytest.mark.servers
DOCUMENTS = 60


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "corpus.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for document in islice(python_documents(), DOCUMENTS):
            row = {"_id": document.doc_id, "title": document.title, "text": document.text}
            file.write(json.dumps(row) + "\n")
    return path


def processes_of(home: Path) -> list[str]:
    """Processes whose command line or environment names the instance's folder: servers, workers, the demo."""
    table = subprocess.run(["ps", "axeww"], capture_output=True, text=True, check=True).stdout
    return [line for line in table.splitlines() if str(home) in line]


def test_from_a_corpus_to_answers_and_on_with_the_kept_servers(ce2de: Run, home: Path, corpus: Path) -> None:
    kept = ce2de("demo", "--corpus", corpus, "--keep", CE2DE_HOME=str(home))
    assert kept.returncode == 0, kept.stderr
    assert f"{DOCUMENTS} documents, no vectors" in kept.stderr
    assert f"{DOCUMENTS} documents embedded" in kept.stderr
    assert kept.stdout.count("hybrid") >= 5
    assert "How long it took" in kept.stdout

    exports = ce2de("local", "env", CE2DE_HOME=str(home)).stdout
    environment = dict(line.removeprefix("export ").split("=", 1) for line in exports.splitlines())
    found = ce2de("search", "demo-corpus-search", "objects", "--json", **environment)
    assert found.returncode == 0, found.stderr

    again = ce2de("demo", "--corpus", corpus, "--question", "objects", "--json", CE2DE_HOME=str(home))
    assert again.returncode == 0, again.stderr
    keys_agree("demo", json.loads(again.stdout))
    (answer,) = json.loads(again.stdout)["answers"]
    assert answer["question"] == "objects"
    assert [hit["rank"] for hit in answer["hybrid"]] == [1, 2, 3]
    assert LocalServers(home).endpoints() is not None, "servers that were up before stay up"
    assert ce2de("local", "down", CE2DE_HOME=str(home)).returncode == 0
    assert processes_of(home) == []


def test_ctrl_c_leaves_no_process(home: Path, corpus: Path) -> None:
    demo = subprocess.Popen(
        [*CE2DE, "demo", "--corpus", corpus],
        env={**os.environ, "CE2DE_HOME": str(home)},
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert demo.stderr is not None
    for line in demo.stderr:
        if "Celery workers" in line:
            break
    time.sleep(1)  # in the middle of the workers' start
    demo.send_signal(signal.SIGINT)
    _, rest = demo.communicate(timeout=90)
    assert demo.returncode == 128 + signal.SIGINT, rest
    assert LocalServers(home).endpoints() is None
    assert processes_of(home) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "holds no document"), ('{"_id": "1"}\n', "corpus.jsonl:1: missing 'text'"), ("text\n", "not JSON")],
    ids=["empty", "no text", "not JSON"],
)
def test_a_bad_corpus(ce2de: Run, tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text(content)
    done = ce2de("demo", "--corpus", path)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_corpus_that_is_not_there(ce2de: Run, tmp_path: Path) -> None:
    done = ce2de("demo", "--corpus", tmp_path / "nothing.jsonl")
    assert done.returncode == 2
    assert "does not exist" in done.stderr


def test_a_damaged_model_is_refused_before_anything_starts(ce2de: Run, damaged_model: Path) -> None:
    done = ce2de("demo", "--artifact", damaged_model)
    assert done.returncode == 1
    assert "damaged or replaced" in done.stderr
    assert "Local servers" not in done.stderr
