"""What programs rely on: the keys of ``--json`` and the exit codes, as they are written in ``contract.json``.

A key that goes away, or a code that changes, breaks the scripts of others. After a change on purpose:
``CE2DE_WRITE_CONTRACT=1 pytest tests/integration/test_contract.py``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opensearchpy import OpenSearch

from ce2de_os import OnnxEncoder
from ce2de_os.cli import main
from ce2de_os.local.servers import Endpoints
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.queue import send_waiting
from tests.integration.indexes import InlineQueue, articles, create_index

CONTRACT = Path(__file__).with_name("contract.json")
WRITE = bool(os.environ.get("CE2DE_WRITE_CONTRACT"))
NOWHERE = "127.0.0.1:9"

Outcome = tuple[int, str, str]
Command = Callable[..., Outcome]


@pytest.fixture
def ce2de(
    endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """Run the command line in this process; return exit code, output and messages."""
    monkeypatch.setenv("CE2DE_OPENSEARCH_URL", endpoints.opensearch_url)
    monkeypatch.setenv("CE2DE_BROKER_URL", f"{endpoints.broker_url}?virtual_host=7")

    def run(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["ce2de", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
            raise SystemExit(0)  # click ends by itself with a code of 0
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    yield run


def key_paths(value: Any, path: str = "") -> set[str]:
    """Return the dotted paths of a JSON value's keys; ``[]`` stands for each element of a list."""
    if isinstance(value, dict):
        inner = ((f"{path}.{key}" if path else key, each) for key, each in value.items())
        return {found for place, each in inner for found in {place, *key_paths(each, place)}}
    if isinstance(value, list):
        return {found for each in value for found in key_paths(each, f"{path}[]")}
    return set()


def work(client: OpenSearch, job_id: str) -> None:
    """Do what workers would do for a job."""
    ledger, queue, encoder = Ledger(client), InlineQueue(), OnnxEncoder()
    send_waiting(ledger, ledger.job(job_id).job, queue)
    queue.run(client, encoder)


def agree(kind: str, found: dict[str, Any]) -> None:
    """Compare with the part of the contract, or write it."""
    contract = json.loads(CONTRACT.read_text()) if CONTRACT.exists() else {}
    if WRITE:
        contract[kind] = found
        CONTRACT.write_text(f"{json.dumps(contract, indent=1, sort_keys=True)}\n")
    assert contract[kind] == found


def test_keys_of_json(client: OpenSearch, ce2de: Command, index_name: str, tmp_path: Path) -> None:
    create_index(client, index_name, articles(40))
    alias = f"{index_name}-search"
    client.indices.put_alias(index=index_name, name=alias)
    found: dict[str, list[str]] = {}

    def show(name: str, *arguments: str, code: int = 0) -> Any:
        ended, out, messages = ce2de(*name.split(), *arguments, "--json")
        assert ended == code, (name, messages)
        answer = json.loads(out)
        known = answer[0] if name == "reindex list" else answer
        found[name] = sorted(path.replace(index_name, "INDEX") for path in key_paths(known))
        return answer

    show("plan", index_name, "--text-fields", "title,body", "--alias", alias)
    begun = ("--text-fields", "title,body", "--alias", alias, "--hold", "--accept-unreplicated", "--detach")
    job_id = str(show("reindex start", index_name, *begun)["job_id"])
    show("reindex pause", job_id)
    show("reindex resume", job_id)
    show("reindex throttle", job_id, "--docs-per-second", "1000")
    work(client, job_id)
    show("reindex status", job_id)
    show("reindex list")
    show("reindex verify", job_id)
    show("reindex dlq list", job_id)
    show("reindex dlq retry", job_id)
    show("reindex cutover", job_id)
    show("search", alias, "river", "--mode", "bm25")
    show("search", alias, "river and engine", "--mode", "hybrid")
    show("reindex rollback", job_id, "--yes")
    standing = [one["job_id"] for one in json.loads(ce2de("reindex", "list", "--json")[1])]
    for follower in standing:
        if index_name in follower and follower != job_id:
            ce2de("reindex", "cancel", follower, "--yes")
    show("reindex clean", job_id, "--yes")
    show("doctor", code=1)  # no worker runs
    show("local status", "--home", str(tmp_path / "nothing"), code=1)
    agree("json", found)


def test_exit_codes_and_where_messages_go(client: OpenSearch, ce2de: Command, index_name: str) -> None:
    create_index(client, index_name, articles(5))
    start = ("reindex", "start", index_name, "--text-fields", "title", "--alias", f"{index_name}-s")
    cases: dict[str, tuple[str, ...]] = {
        "help": ("reindex", "--help"),
        "version": ("--version",),
        "no such command": ("reindx",),
        "no such option": ("reindex", "list", "--nope"),
        "an argument is missing": ("reindex", "status"),
        "a value that is none": ("reindex", "throttle", "x", "--docs-per-second", "fast"),
        "no such job": ("reindex", "status", "nope"),
        "no such index": ("plan", f"{index_name}-nope", "--text-fields", "title"),
        "no such field": ("plan", index_name, "--text-fields", "titel"),
        "a plan that does not fit": ("plan", index_name, "--text-fields", "title", "--alias", "Bad"),
        "a job that is refused": (*start[:-1], "Bad Alias"),
        "OpenSearch is away": ("reindex", "list", "--url", f"http://{NOWHERE}"),
        "Redis is away": (*start, "--detach", "--broker-url", f"redis://{NOWHERE}/0"),
        "a search without an index": ("search", f"{index_name}-nope", "x", "--mode", "bm25"),
        "a search with hits": ("search", index_name, "river", "--mode", "bm25"),
        "a search without hits": ("search", index_name, "zzzz", "--mode", "bm25"),
        "the list of jobs": ("reindex", "list"),
    }
    found = {}
    for name, arguments in cases.items():
        code, out, messages = ce2de(*arguments)
        found[name] = code
        assert "Traceback" not in messages, (name, messages)
        if code == 1 and name != "a plan that does not fit":
            assert out == "", (name, out)
            assert messages.startswith("ce2de: ")
            assert messages.count("\n") == 1, (name, messages)
        if code == 2:
            assert "Usage: ce2de" in messages, (name, messages)
    agree("exit codes", found)


def test_a_job_that_failed_is_told_by_the_exit_code(
    client: OpenSearch, ce2de: Command, index_name: str
) -> None:
    create_index(client, index_name, articles(5))
    refuse = {"processors": [{"fail": {"if": "ctx.title.contains('river')", "message": "no rivers"}}]}
    client.ingest.put_pipeline(id=index_name, body=refuse)
    start = ("reindex", "start", index_name, "--text-fields", "title", "--alias", f"{index_name}-s")
    begun = ce2de(*start, "--pipeline", index_name, "--accept-unreplicated", "--detach", "--json")
    job_id = json.loads(begun[1])["job_id"]
    work(client, job_id)
    found = {
        name: ce2de(*command.split(), job_id)[0]
        for name, command in {
            "status of a failed job": "reindex status",
            "verification with problems": "reindex verify",
            "a retry that is refused again": "reindex dlq retry",
            "the dead letters": "reindex dlq list",
            "a cutover that is refused": "reindex cutover",
        }.items()
    }
    _, letters, _ = ce2de("reindex", "dlq", "list", job_id, "--json")
    keys = sorted(key_paths(json.loads(letters)))
    client.ingest.delete_pipeline(id=index_name)
    agree("a failed job", {"exit codes": found, "reindex dlq list": keys})
