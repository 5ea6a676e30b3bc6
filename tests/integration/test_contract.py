"""Exit codes and keys of ``--json`` of the commands that ask a cluster; see `tests.contract`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opensearchpy import OpenSearch

from ce2de_os import OnnxEncoder
from ce2de_os.local.servers import Endpoints
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.queue import send_waiting
from ce2de_os.reindex.status import status
from tests.contract import NOWHERE, Command, agree, codes_agree, command_line, key_paths, keys_agree
from tests.integration.indexes import InlineQueue, articles, create_index


@pytest.fixture
def ce2de(
    endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """Run the command line in this process, on the test's servers."""
    monkeypatch.setenv("CE2DE_OPENSEARCH_URL", endpoints.opensearch_url)
    monkeypatch.setenv("CE2DE_BROKER_URL", f"{endpoints.broker_url}?virtual_host=7")
    yield command_line(monkeypatch, capsys)


def work(client: OpenSearch, job_id: str) -> None:
    """Do what workers would do for a job."""
    ledger, queue, encoder = Ledger(client), InlineQueue(), OnnxEncoder()
    send_waiting(ledger, ledger.job(job_id).job, queue)
    queue.run(client, encoder)


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
        paths = (path.replace(index_name, "INDEX") for path in key_paths(known))
        found[name] = sorted(re.sub(r"-ce2de-[0-9a-f]{8}-", "-ce2de-FP8-", path) for path in paths)
        return answer

    show("plan", index_name, "--text-fields", "title,body", "--alias", alias)
    begun = ("--text-fields", "title,body", "--alias", alias, "--hold", "--accept-unreplicated", "--detach")
    job_id = str(show("reindex start", index_name, *begun)["job_id"])
    show("reindex pause", job_id)
    show("reindex resume", job_id)
    show("reindex throttle", job_id, "--docs-per-second", "1000")
    work(client, job_id)
    show("reindex status", job_id)
    show("reindex watch", job_id)
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
    plan = {name: cases.pop(name) for name in ["a plan that does not fit"]}
    codes_agree("exit codes", ce2de, cases)
    ((name, arguments),) = plan.items()  # its table says why, on stdout
    code, out, messages = ce2de(*arguments)
    assert out
    assert "Traceback" not in messages
    agree("exit codes", {name: code})


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
            "watching a failed job": "reindex watch",
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


def test_following(client: OpenSearch, ce2de: Command, index_name: str) -> None:
    plain = f"{index_name}-plain"
    create_index(client, plain, articles(3))
    create_index(client, index_name, articles(20), knn=True)
    follow = ("follow", index_name, "--text-fields", "title")
    code, out, messages = ce2de(*follow, "--detach", "--json")
    assert code == 0, messages
    job_id = json.loads(out)["job_id"]
    queue = InlineQueue()
    queue.standing.append(job_id)
    while status(client, job_id).lag != 0:
        queue.follow(client, OnnxEncoder())
    code, out, messages = ce2de(*follow, "--once", "--json")
    assert code == 0, messages
    answer = json.loads(out)
    assert answer["lag"] == 0
    keys_agree("follow", answer, {index_name: "INDEX"})
    cases = {
        "the same again": (*follow, "--detach"),
        "the status of a standing job": ("reindex", "status", job_id),
        "a cutover of a standing job": ("reindex", "cutover", job_id),
        "a rollback of a standing job": ("reindex", "rollback", job_id, "--yes"),
        "no such index": ("follow", f"{index_name}-nope", "--text-fields", "title"),
        "no such field": ("follow", index_name, "--text-fields", "titel"),
        "an index that cannot have vectors": ("follow", plain, "--text-fields", "title"),
        "OpenSearch is away": ("follow", index_name, "--url", f"http://{NOWHERE}"),
        "Redis is away": (*follow, "--broker-url", f"redis://{NOWHERE}/0"),
        "no index": ("follow",),
        "no such option": (*follow, "--hold"),
        "a standing job is cancelled": ("reindex", "cancel", job_id, "--yes"),
        "watching a cancelled job": ("reindex", "watch", job_id),
        "watching no job": ("reindex", "watch", "nope"),
    }
    codes_agree("exit codes of follow and watch", ce2de, cases)


def test_evaluation(client: OpenSearch, ce2de: Command, index_name: str, tmp_path: Path) -> None:
    plain, alias = f"{index_name}-plain", f"{index_name}-s"
    create_index(client, plain, articles(5))
    create_index(client, index_name, articles(14))
    fields = ("--text-fields", "title,body", "--alias", alias, "--accept-unreplicated", "--no-follow")
    _, started, _ = ce2de("reindex", "start", index_name, *fields, "--detach", "--json")
    work(client, json.loads(started)["job_id"])
    rows = [{"_id": f"q{number}", "text": f"river {number}"} for number in range(4)]
    (tmp_path / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, document in (("qrels", "7"), ("foreign", "none-of-them")):
        judged = "".join(f"{row['_id']}\t{document}\t1\n" for row in rows)
        (tmp_path / f"{name}.tsv").write_text(judged)
    queries = ("--queries", tmp_path / "queries.jsonl")
    files = (*queries, "--qrels", tmp_path / "qrels.tsv", "--latency-queries", "2")
    code, out, messages = ce2de("evaluate", alias, *files, "--tune", "--fusion", "min_max", "--json")
    assert code == 0, messages
    keys_agree("evaluate", json.loads(out), {})
    evaluate = ("evaluate", alias)
    cases = {
        "tables": (*evaluate, *files, "--fusion", "rrf"),
        "no judgments": evaluate,
        "judgments twice": (*evaluate, *files, "--data", tmp_path),
        "a file that is not there": (*evaluate, *queries, "--qrels", tmp_path / "nope.tsv"),
        "judgments of another collection": (*evaluate, *queries, "--qrels", tmp_path / "foreign.tsv"),
        "no such index": ("evaluate", f"{index_name}-nope", *files),
        "an index without vectors": ("evaluate", plain, *files),
        "a field that is not there": (*evaluate, *files, "--field", "titel"),
        "a folder of a plot that is not there": (*evaluate, *files, "--plot", tmp_path / "no" / "a.png"),
        "no such fusion": (*evaluate, *files, "--fusion", "sum"),
        "OpenSearch is away": (*evaluate, *files, "--url", f"http://{NOWHERE}"),
    }
    codes_agree("exit codes of evaluate", ce2de, cases)
