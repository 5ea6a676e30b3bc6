"""A whole job on OpenSearch 2.19.1 with its security plugin: TLS, few rights, no secret seen."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection
from opensearchpy import OpenSearch
from redis import Redis

from ce2de_os.config import OpenSearchSettings
from ce2de_os.errors import ConfigError
from ce2de_os.index.client import connect
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.local.servers import LocalServers
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.start import start
from ce2de_os.reindex.standing import standing_id
from tests.conftest import remove, remove_leftovers
from tests.integration.certificates import Authority
from tests.integration.indexes import (
    HashEncoder,
    InlineQueue,
    all_documents,
    articles,
    assert_same_documents,
    create_index,
)
from tests.integration.secured import SecuredServers

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "operator" / "security.md"
SOURCE, DOCUMENTS = "articles", 120
FOLLOWED = f"{SOURCE}-followed"  # in place
START = ("reindex", "start", SOURCE, "--text-fields", "title,body")
LISTED, BARELY, MACHINE = "embedder", "newcomer", "machine"
LIMITS = {
    "few": 'dls: \'{"prefix": {"title": "river"}}\'',
    "parts": 'dls: \'{"bool": {"must_not": {"ids": {"values": ["7"]}}}}\'',
    "blind": "fls: ['~secret', '~inner.secret']",
    "masked": "masked_fields: ['secret', 'title', 'inner.code::/[0-9]/::*']",
}
"""Users with the listed rights of whom something is hidden, and what their role adds to the source."""

pytestmark = pytest.mark.timeout(300)


def listed_role() -> str:
    """The role that the documentation lists, letter by letter."""
    (block,) = re.findall(r"^```yaml\n(ce2de:\n.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return str(block)


def lesser_role() -> str:
    """The same without the right to create an index."""
    return re.sub(r"(?m)^ +- indices:admin/create\b.*\n", "", listed_role()).replace("ce2de:", "lesser:", 1)


def limited_role(name: str, limit: str) -> str:
    """The listed role, in which a part of the source is hidden."""
    begun = listed_role().replace("ce2de:", f"{name}:", 1)
    return re.sub(r"(index_patterns: \[articles\].*\n)", rf"\1      {limit}\n", begun, count=1)


@pytest.fixture(scope="module")
def secured(instances: Path) -> Iterator[SecuredServers]:
    remove_leftovers(instances)
    mapping = {"ce2de": [LISTED, MACHINE], "lesser": [BARELY], **{name: [name] for name in LIMITS}}
    limited = "".join(limited_role(name, limit) for name, limit in LIMITS.items())
    home = instances / f"tests-{os.getpid()}-secured"
    try:
        servers = SecuredServers(home, listed_role() + lesser_role() + limited, mapping)
        with connect(servers.as_admin()) as admin:
            create_index(admin, SOURCE, articles(DOCUMENTS))
        yield servers
    finally:
        remove(LocalServers(home=home))


@pytest.fixture(scope="module")
def passwords(secured: SecuredServers) -> dict[str, str]:
    return {name: secured.add_user(name) for name in (LISTED, BARELY, *LIMITS)}


@pytest.fixture
def admin(secured: SecuredServers) -> Iterator[OpenSearch]:
    """The cluster's owner: sees what the user must not, and leaves nothing but the source behind."""
    with connect(secured.as_admin()) as client:
        yield client
        for name in client.indices.get(index=f"{SOURCE}-*,ce2de-*"):
            client.indices.delete(index=name)


@dataclass
class Shell:
    """Runs commands and workers, and looks for ``secrets`` in everything that others can see of them."""

    environment: dict[str, str]
    secrets: list[str]
    logs: Path
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    command_lines: set[str] = field(default_factory=set)

    def ce2de(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ce2de_os", *arguments]
        environment = {**self.environment, **extra}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=200, check=False
        )
        self.assert_no_secret_in(done.stdout + done.stderr)
        return done

    def start_worker(self) -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "ce2de_os.worker.app",
            "worker",
            "--concurrency",
            "1",
        ]
        with self.log.open("wb") as log:
            worker = subprocess.Popen(
                [*command, "--loglevel", "DEBUG"],
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.workers.append(worker)
        return worker

    @property
    def log(self) -> Path:
        return self.logs / "worker.log"

    def stop(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGKILL)
                worker.wait()

    def assert_no_secret_in(self, text: str) -> None:
        assert not [secret for secret in self.secrets if secret in text], "a secret was shown"

    def watch_processes(self, until: threading.Event) -> None:
        while not until.wait(0.05):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.command_lines.add(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                except OSError:  # it has ended
                    continue


@pytest.fixture
def shell(secured: SecuredServers, passwords: dict[str, str], tmp_path: Path) -> Iterator[Shell]:
    """A shell as the user with the listed rights."""
    environment = {
        **os.environ,
        "CE2DE_OPENSEARCH_URL": secured.url,
        "CE2DE_OPENSEARCH_CA_CERTS": str(secured.authority.certificate),
        "CE2DE_OPENSEARCH_USERNAME": LISTED,
        "CE2DE_OPENSEARCH_PASSWORD": passwords[LISTED],
        "CE2DE_BROKER_URL": secured.broker_url,
    }
    secrets = [*passwords.values(), secured.redis_password]
    # What travels in the header of basic auth is as good as the password.
    basic = [base64.b64encode(f"{name}:{word}".encode()).decode() for name, word in passwords.items()]
    shell = Shell(environment, secrets + basic, tmp_path)
    with Redis.from_url(secured.broker_url) as redis:
        redis.flushdb()
    yield shell
    shell.stop()
    if shell.workers:
        sys.stderr.write(shell.log.read_text()[-3000:])  # shown if the test fails


def test_a_whole_job_with_the_listed_rights_and_no_secret_seen(
    secured: SecuredServers, admin: OpenSearch, shell: Shell
) -> None:
    ended = threading.Event()
    watcher = threading.Thread(target=shell.watch_processes, args=(ended,))
    watcher.start()
    try:
        alias = f"{SOURCE}-search"
        begun = shell.ce2de(*START, "--alias", alias, "--detach", "--json")
        assert begun.returncode == 0, begun.stderr
        assert_only_ids_in_the_messages(secured, shell, json.loads(begun.stdout)["job_id"])
        shell.start_worker()
        done = shell.ce2de(*START, "--alias", alias, "--json")
        assert done.returncode == 0, done.stderr
        found = shell.ce2de("search", alias, "river and engine", "--mode", "all", "--json")
        assert found.returncode == 0, found.stderr
        create_index(admin, FOLLOWED, articles(5), **{"index.knn": True})
        once = shell.ce2de("follow", FOLLOWED, "--text-fields", "title,body", "--once")
        assert once.returncode == 0, once.stderr
        checked = json.loads(shell.ce2de("doctor", "--json").stdout)["checks"]
        shown = shell.ce2de("reindex", "status", json.loads(done.stdout)["job_id"])
        assert shown.returncode == 0, shown.stderr
    finally:
        ended.set()
        watcher.join()
    assert_moved(admin, json.loads(done.stdout), alias)
    assert all("ce2de_vector" in found for found in all_documents(admin, FOLLOWED).values())
    states = {check["name"]: check for check in checked}
    assert states["access"]["finding"] == f"user {LISTED}, roles: ce2de; encrypted"
    assert {
        name for name in ("OpenSearch", "access", "health", "plugins") if states[name]["state"] != "ok"
    } == set()
    assert states["disk"]["finding"].endswith("used on the fullest node")
    shell.assert_no_secret_in(shell.log.read_text())
    shell.assert_no_secret_in(json.dumps(admin.search(index="ce2de-*", body={"size": 1000})))
    for program in ("ce2de_os reindex start", "celery -A ce2de_os.worker.app worker"):
        assert any(program in line for line in shell.command_lines)
    shell.assert_no_secret_in("\n".join(shell.command_lines))


def assert_only_ids_in_the_messages(secured: SecuredServers, shell: Shell, job_id: str) -> None:
    """No worker runs yet, so every message of the job lies in Redis."""
    with Redis.from_url(secured.broker_url) as redis:
        lists = redis.scan_iter("ce2de*", _type="list")  # one for each priority
        messages = [json.loads(raw) for name in lists for raw in redis.lrange(name, 0, -1)]
        everything = [redis.dump(key) for key in redis.keys("*")]
    assert messages
    for message in messages:
        (called_with, named, _) = json.loads(base64.b64decode(message["body"]))
        assert message["content-type"] == "application/json"
        assert (called_with[0], named) == (job_id, {})
        assert [type(value) for value in called_with[1:]] == [int, str]
        assert re.fullmatch("[0-9a-f]{64}", called_with[2])
        shell.assert_no_secret_in(json.dumps([message, called_with]))
    shell.assert_no_secret_in(repr(everything))


def assert_moved(admin: OpenSearch, report: dict[str, Any], alias: str) -> None:
    assert report["state"] == "done"
    assert report["report"]["min_cosine"] >= 0.999
    (target,) = admin.indices.get_alias(name=alias)
    assert_same_documents(admin, SOURCE, target)


def test_a_whole_job_with_a_client_certificate(
    secured: SecuredServers, admin: OpenSearch, shell: Shell
) -> None:
    ours = secured.authority.sign(MACHINE)
    for name in ("USERNAME", "PASSWORD"):
        del shell.environment[f"CE2DE_OPENSEARCH_{name}"]
    shell.environment["CE2DE_OPENSEARCH_CLIENT_CERT"] = str(ours.certificate)
    shell.environment["CE2DE_OPENSEARCH_CLIENT_KEY"] = str(ours.key)
    shell.start_worker()
    done = shell.ce2de(*START, "--alias", f"{SOURCE}-search", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert_moved(admin, report, f"{SOURCE}-search")
    operate(shell, report["job_id"])
    assert f"user {MACHINE}, roles: ce2de; encrypted" in shell.ce2de("doctor").stdout


def operate(shell: Shell, job_id: str) -> None:
    """Every other command about a job, with the listed rights and no more."""
    for command in (
        ("plan", SOURCE, "--text-fields", "title,body", "--sample", "20"),
        ("reindex", "verify", job_id),
        ("reindex", "status", standing_id(f"{SOURCE}-search")),
        ("reindex", "throttle", job_id, "--no-limit"),
        ("reindex", "dlq", "list", job_id),
        ("reindex", "dlq", "retry", job_id),
        ("reindex", "list"),
        ("reindex", "cancel", standing_id(f"{SOURCE}-search"), "--yes"),
        ("reindex", "clean", job_id, "--yes"),
    ):
        done = shell.ce2de(*command)
        assert done.returncode == 0, (command, done.stderr)


def test_connecting_lists_every_right_and_plugin_that_is_missing(shell: Shell) -> None:
    done = shell.ce2de("connect", SOURCE, "--service", "http://127.0.0.1:8080")
    assert done.returncode == 1
    for missing in ("the plugin opensearch-ml", "the right cluster:admin/ingest/pipeline/get"):
        assert missing in done.stderr


def test_every_failed_access_is_one_line_that_says_what_to_do(
    secured: SecuredServers, admin: OpenSearch, shell: Shell, passwords: dict[str, str], tmp_path: Path
) -> None:
    stranger = Authority(tmp_path, "stranger")
    theirs = stranger.sign(LISTED)
    unknown = {"CLIENT_CERT": str(theirs.certificate), "CLIENT_KEY": str(theirs.key)}
    prefix = "CE2DE_OPENSEARCH_"
    cases: list[tuple[dict[str, str], str, str]] = [
        ({"PASSWORD": "not-the-password"}, "HTTP 401", "CE2DE_OPENSEARCH_PASSWORD"),
        ({"USERNAME": "", "PASSWORD": ""}, "HTTP 401", "CE2DE_OPENSEARCH_USERNAME"),
        ({"CA_CERTS": str(stranger.certificate)}, "certificate verify failed", "CE2DE_OPENSEARCH_CA_CERTS"),
        ({"CA_CERTS": ""}, "certificate verify failed", "CE2DE_OPENSEARCH_CA_CERTS"),
        ({"CA_CERTS": "/nowhere.pem"}, "there is no file '/nowhere.pem'", "name a PEM file"),
        (unknown, "TLS failed", "--client-cert"),
        (unknown | {"CLIENT_KEY": str(secured.node.key)}, "TLS failed", "--client-key"),
        ({"URL": secured.url.replace("https", "http")}, "does not answer", "--url"),
    ]
    for change, failure, action in cases:
        changed = {f"{prefix}{name}": value for name, value in change.items()}
        assert_one_line_error(shell.ce2de("reindex", "list", **changed), failure, action)
    lesser = {f"{prefix}USERNAME": BARELY, f"{prefix}PASSWORD": passwords[BARELY]}
    refused = shell.ce2de(*START, "--alias", f"{SOURCE}-search", **lesser)
    assert_one_line_error(
        refused, "no permissions for [indices:admin/create]", "docs/how-to/operator/security.md"
    )


def assert_one_line_error(done: subprocess.CompletedProcess[str], failure: str, action: str) -> None:
    assert done.returncode == 1, done.stdout + done.stderr
    assert failure in done.stderr
    assert action in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "not-the-password" not in done.stderr


def test_what_is_hidden_from_the_user_is_not_left_out_of_the_copy_silently(
    secured: SecuredServers, admin: OpenSearch, passwords: dict[str, str]
) -> None:
    text = {"type": "text"}
    keyword = {"type": "keyword", "normalizer": "lowercase"}
    inner = {"properties": {"secret": text, "code": keyword, "long": {**keyword, "ignore_above": 3}}}
    odd = {"type": "text", "analyzer": "keyword", "search_analyzer": "standard"}
    fields = {"title": text, "body": text, "secret": text, "inner": inner, "odd": odd}
    parts = {"type": "nested", "properties": {"n": {"type": "integer"}, "more": {"type": "nested"}}}
    inside = {"inner": {"code": "NR 7", "long": "long"}, "odd": "Two Words", "secret": "s"}
    documents = [{**one, **inside, "parts": [{"n": 1}, {"n": 2, "more": [{}, {}]}]} for one in articles(9)]
    told = {
        LISTED: None,
        "few": "this user sees",
        "parts": "holds 45 documents, and this user sees 40 of them; give this user a role",
        "blind": r"fields that this user does not see \(inner.secret, secret\); give this user",
        "masked": r"security masks for this user \(inner.code, secret, title\), and a copy would keep",
    }
    admin.indices.delete(index=SOURCE)
    create_index(admin, SOURCE, documents, {"properties": {**fields, "parts": parts}})
    try:
        for name, expected in told.items():
            settings = OpenSearchSettings(
                url=secured.url,
                username=name,
                password=passwords[name],
                ca_certs=str(secured.authority.certificate),
            )
            request = JobRequest(SOURCE, TextSpec(("title", "body")), alias=f"{SOURCE}-search", follow=False)
            with connect(settings) as client:
                if expected is None:
                    start(client, request, HashEncoder(), InlineQueue())
                else:
                    with pytest.raises(ConfigError, match=expected):
                        start(client, request, HashEncoder(), InlineQueue())
    finally:
        admin.indices.delete(index=SOURCE)
        create_index(admin, SOURCE, articles(DOCUMENTS))


class Harmful:
    """Unpickling it makes a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (Path.touch, (self.trace,))


def test_a_worker_refuses_pickled_messages(secured: SecuredServers, shell: Shell, tmp_path: Path) -> None:
    trace = tmp_path / "unpickled"
    headers = {"task": "ce2de.embed_slice", "id": "1", "lang": "py"}
    with Connection(secured.broker_url) as connection, connection.Producer(serializer="pickle") as producer:
        producer.publish(((Harmful(trace),), {}, {}), routing_key="ce2de", headers=headers)
    shell.start_worker()
    deadline = time.monotonic() + 60
    while "Refusing to deserialize" not in shell.log.read_text() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert "Refusing to deserialize" in shell.log.read_text()
    assert not trace.exists()


def scroll(client: OpenSearch) -> None:
    found = client.search(index=SOURCE, scroll="1m", size=1)
    client.scroll(scroll_id=found["_scroll_id"], scroll="1m")
    client.clear_scroll(scroll_id=found["_scroll_id"])


def read_by_id(client: OpenSearch) -> None:
    (found,) = client.mget(index=f"{SOURCE}-x", body={"ids": ["1"]})["docs"]
    assert found["found"], found  # a right that is missing is told in the document


REQUESTS: dict[str, Callable[[OpenSearch], Any]] = {
    "the version": lambda c: c.info(),
    "the cluster's health": lambda c: c.cluster.health(),
    "the cluster's clock": lambda c: c.cat.health(format="json"),
    "the cluster's settings": lambda c: c.cluster.get_settings(include_defaults=True),
    "plugins": lambda c: c.nodes.info(metric="plugins"),
    "memory and disk": lambda c: c.nodes.stats(),
    "memory for vectors": lambda c: c.transport.perform_request("GET", "/_plugins/_knn/stats"),
    "disk by node": lambda c: c.cat.allocation(format="json"),
    "the source's shards": lambda c: c.indices.stats(index=SOURCE, level="shards"),
    "the target's size": lambda c: c.indices.stats(index=f"{SOURCE}-x"),
    "a shard's documents": lambda c: c.search(index=SOURCE, preference="_shards:0", seq_no_primary_term=True),
    "a scroll": scroll,
    "documents by id": read_by_id,
    "a field in place": lambda c: c.indices.put_mapping(
        index=f"{SOURCE}-x", body={"properties": {"hash": {"type": "keyword"}}}
    ),
    "an alias there": lambda c: c.indices.put_alias(index=f"{SOURCE}-x", name=f"{SOURCE}-y"),
    "and back": lambda c: c.indices.delete_alias(index=f"{SOURCE}-x", name=f"{SOURCE}-y"),
    "remove a target": lambda c: c.indices.delete(index=f"{SOURCE}-x"),
}
WRITES = [
    {"index": {"_id": "1"}},
    {"a": "b"},
    {"create": {"_id": "2"}},
    {"a": "b"},
    {"update": {"_id": "1"}},
    {"doc": {"a": "c"}},
    {"delete": {"_id": "2"}},
]


def test_the_listed_rights_are_enough_for_what_commands_send_and_no_more(
    secured: SecuredServers, admin: OpenSearch, passwords: dict[str, str]
) -> None:
    settings = OpenSearchSettings(
        url=secured.url,
        username=LISTED,
        password=passwords[LISTED],
        ca_certs=str(secured.authority.certificate),
    )
    refused: list[str] = []

    def ask(client: OpenSearch, what: str, request: Callable[[OpenSearch], Any]) -> None:
        try:
            request(client)
        except Exception as error:
            refused.append(f"{what}: {error}")

    with connect(settings) as client:
        for name in (f"{SOURCE}-x", "ce2de-dlq"):
            ask(client, f"create {name}", lambda c, n=name: c.indices.create(index=n))
            answer = client.bulk(index=name, body=WRITES)
            refused += [str(item) for item in answer["items"] for done in item.values() if "error" in done]
            ask(client, f"refresh {name}", lambda c, n=name: c.indices.refresh(index=n))
            ask(client, f"search {name}", lambda c, n=name: c.search(index=n))
        for what, request in REQUESTS.items():
            ask(client, what, request)
        assert refused == []
        ask(client, "write to the source", lambda c: c.index(index=SOURCE, body={}))
        ask(client, "delete the source", lambda c: c.indices.delete(index=SOURCE))
        ask(client, "read others", lambda c: c.search(index="letters"))
        ask(
            client,
            "read the users",
            lambda c: c.transport.perform_request("GET", "/.opendistro_security/_search"),
        )
    assert len(refused) == 4
    assert all("403" in line for line in refused), refused
