"""The functions of the package: what they pass on, and that their names stay functions."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest

import ce2de_os
from ce2de_os import EvaluateRequest, JobRequest, TextSpec
from ce2de_os.config import Settings
from ce2de_os.errors import BackendUnavailableError, ConfigError
from ce2de_os.index.vector_field import VectorField
from ce2de_os.recipes import watching
from ce2de_os.recipes.reindex import return_at_once

REQUEST = JobRequest("articles", TextSpec(("title", "body")), alias="articles-search", docs_per_s=5.0)
SETTINGS = Settings(artifact=Path("model"), broker_url="redis://there", threads=3)


@dataclass
class Client:
    """A connection that says whether it was closed."""

    closed: bool = False

    def close(self):
        self.closed = True


@dataclass
class Calls:
    """What the library was called with."""

    client: Client = field(default_factory=Client)
    seen: list = field(default_factory=list)

    def __call__(self, *args, **kwargs):
        self.seen.append((args, kwargs))
        return "done"


@pytest.fixture
def calls(monkeypatch):
    found = Calls()
    model = SimpleNamespace(fingerprint="f" * 64, dim=8, artifact=SimpleNamespace(token_dim=4))
    monkeypatch.setattr("ce2de_os.index.client.connect", lambda settings: found.client)
    monkeypatch.setattr("ce2de_os.model.artifact.Artifact.load", lambda folder: model)
    monkeypatch.setattr("ce2de_os.model.encoder.OnnxEncoder", lambda folder, threads: model)
    return found


@pytest.fixture
def queue(monkeypatch):
    queues = []

    def connected(url, fingerprint):
        queues.append((url, fingerprint))
        return "queue"

    for name in ("reindex", "follow"):
        monkeypatch.setattr(f"ce2de_os.recipes.{name}.task_queue", connected)
    return queues


def test_plan_makes_the_field_for_the_model(calls, monkeypatch):
    monkeypatch.setattr(import_module("ce2de_os.reindex.planning.plan"), "plan", calls)
    request = JobRequest("articles", TextSpec(("title", "body")), mode="copy", token_vectors=True)
    assert ce2de_os.plan(request, workers=2, settings=SETTINGS) == "done"
    ((client, wanted, _, queries), _) = calls.seen[0]
    assert queries is None
    assert wanted.field == VectorField(8, token_dim=4)
    assert wanted.job == request
    assert (wanted.workers, wanted.within_s, wanted.sample) == (2, None, 500)
    assert client.closed


def test_reindex_starts_and_then_watches(calls, queue, monkeypatch):
    monkeypatch.setattr(import_module("ce2de_os.reindex.setup.start"), "start", lambda *args: ("job", args))
    watched = []
    assert ce2de_os.reindex(REQUEST, settings=SETTINGS, watch=lambda *args: watched.append(args)) is None
    assert queue == [("redis://there", "f" * 64)]
    ((client, carried, (name, args)),) = watched
    assert (name, carried, args[1]) == ("job", "queue", REQUEST)
    assert client.closed


def test_follow_stays_in_the_index(calls, queue, monkeypatch):
    monkeypatch.setattr(import_module("ce2de_os.reindex.following.adopt"), "adopt", calls)
    ce2de_os.follow(REQUEST, settings=SETTINGS, watch=lambda *args: None)
    assert calls.seen[0][0][1].mode == "in_place"
    assert calls.seen[0][0][1].docs_per_s == 5.0


def test_waiting_outlives_a_cluster_that_does_not_answer(monkeypatch):
    def answers(states):
        pending = iter(states)

        def status(client, job_id):
            state = next(pending)
            if state is None:
                raise BackendUnavailableError
            return SimpleNamespace(job=SimpleNamespace(state=state), lag=0 if state == "following" else 1)

        monkeypatch.setattr(import_module("ce2de_os.reindex.status"), "status", status)

    monkeypatch.setattr(watching, "POLL_S", 0.0)
    job = SimpleNamespace(job_id="j")
    answers(["running", None, "finishing", "done"])
    assert watching.wait_until_done("client", "queue", job).job.state == "done"
    answers(["paused"])
    assert watching.wait_until_done("client", "queue", job).job.state == "paused"
    answers([None, "following"])
    assert watching.wait_until_fresh("client", "queue", job).lag == 0
    answers(["running"])
    assert return_at_once("client", "queue", job).job.state == "running"


def test_evaluate_reads_the_judgements_and_compares(calls, tmp_path, monkeypatch):
    monkeypatch.setattr("ce2de_os.quality.evaluate.evaluate", calls)
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "a question"}\n')
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\t1\n")
    alone = EvaluateRequest("articles", tmp_path / "queries.jsonl", tmp_path / "qrels.tsv")
    for request in (EvaluateRequest("articles", tmp_path), alone):
        assert ce2de_os.evaluate(request, settings=SETTINGS) == "done"
        (_, index, _, judged), options = calls.seen.pop()
        assert (index, judged.queries) == ("articles", {"q": "a question"})
        assert options["reranker"] is None
        assert calls.client.closed


def test_two_rerankers_contradict_each_other():
    with pytest.raises(ConfigError, match="expected one of them"):
        EvaluateRequest("articles", Path("q"), reranker=Path("r"), late_interaction=True)


@pytest.mark.parametrize(
    "first", ["", "import ce2de_os.connect.request, ce2de_os.distill.config, ce2de_os.reindex.job"]
)
def test_the_functions_can_be_imported_in_any_order_without_torch(first):
    code = f"""{first}
import sys
from ce2de_os import connect, disconnect, distill, evaluate, follow, plan, reindex, serve
assert all(map(callable, (connect, disconnect, distill, evaluate, follow, plan, reindex, serve)))
import ce2de_os
from ce2de_os.reindex.request import JobRequest
from ce2de_os import reindex
for function in (connect, distill, reindex):
    try:
        function()
    except TypeError as error:
        assert "request" in str(error), error
assert JobRequest is ce2de_os.JobRequest
assert not {{"torch", "onnxruntime", "celery"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_function_gives_its_name_to_a_package():
    """Whatever was imported before: each of these names may be a package, too."""
    code = """
import ce2de_os, pkgutil
from importlib import import_module
for module in pkgutil.iter_modules(ce2de_os.__path__):
    if module.ispkg and module.name in ce2de_os.__all__:
        import_module(f"ce2de_os.{module.name}")
        assert callable(getattr(ce2de_os, module.name)), module.name
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_all_that_is_exported_is_there():
    assert all(getattr(ce2de_os, name) is not None for name in ce2de_os.__all__)
