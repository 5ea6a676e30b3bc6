"""The Helm chart and docker-compose.yml: rendered by their own tools, valid, and as safe as they claim."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import kubernetes_validate
import pytest
import yaml

from ce2de_os import __version__
from ce2de_os.cli import cli
from scripts import docs_reference
from tests.acceptance.pages import ROOT

CHART = ROOT / "charts" / "ce2de"
SCHEMAS = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
OLDEST, NEWEST = "1.25.0", "1.37.0"
KINDS = ("_definitions", "deployment-apps-v1", "job-batch-v1", "networkpolicy-networking-v1", "service-v1")
COMPONENTS = ("worker", "follow", "metrics", "serve", "ui")

Manifest = dict[str, Any]


def tool(name: str) -> str:
    """The path of a tool, or the end of the test."""
    found = shutil.which(name) or shutil.which(name, path=str(ROOT / ".tools"))
    if found is None:
        pytest.skip(f"needs {name}, on PATH or in .tools; build it with: make helm")
    return found


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([tool("helm"), *arguments], capture_output=True, text=True, check=False)


def values(name: str) -> str:
    return str(CHART / "ci" / f"{name}-values.yaml")


@cache
def rendered(name: str) -> str:
    version = ("--kube-version", NEWEST, "--namespace", "search")
    done = helm("template", "rel", str(CHART), *version, "--values", values(name))
    assert done.returncode == 0, done.stderr
    return done.stdout


def manifests(name: str) -> list[Manifest]:
    return [one for one in yaml.safe_load_all(rendered(name)) if one]


def pods(name: str) -> Iterator[tuple[str, Manifest, Manifest]]:
    """The component, the template of its pods and their only container."""
    for one in manifests(name):
        if one["kind"] in ("Deployment", "Job"):
            template = one["spec"]["template"]
            (container,) = template["spec"]["containers"]
            yield template["metadata"]["labels"]["app.kubernetes.io/component"], template, container


@pytest.mark.parametrize("name", ["all", "least"])
def test_helm_finds_no_fault(name: str) -> None:
    done = helm("lint", "--strict", "--kube-version", OLDEST, str(CHART), "--values", values(name))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", ["all", "least"])
def test_kubernetes_takes_every_manifest(name: str, version: str) -> None:
    own = [one for one in manifests(name) if one["kind"] != "ScaledObject"]  # KEDA's, not Kubernetes'
    assert len(own) >= 3
    for one in own:
        kubernetes_validate.validate(one, version, strict=True)


@pytest.fixture(scope="session")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where kubeconform finds the schemas of kubernetes-validate, without addresses of the network."""
    folder = tmp_path_factory.mktemp("schemas")
    for path in (SCHEMAS / f"v{NEWEST}-local-strict").glob("*.json"):
        if path.stem in KINDS:
            text = path.read_text(encoding="utf-8").replace('"/api/_definitions.json', '"_definitions.json')
            content = json.loads(text)
            del content["$id"]
            (folder / path.name).write_text(json.dumps(content), encoding="utf-8")
    return f"{folder}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"


def test_kubeconform_takes_every_manifest(schemas: str) -> None:
    command = [tool("kubeconform"), "-strict", "-skip", "ScaledObject", "-kubernetes-version", NEWEST]
    command += ["-schema-location", schemas, "-summary", "-output", "json"]
    done = subprocess.run(command, input=rendered("all"), capture_output=True, text=True, check=False)
    assert json.loads(done.stdout)["summary"] == {"valid": 14, "invalid": 0, "errors": 0, "skipped": 1}
    wrong = rendered("all").replace("containerPort: 8080", "containerPort: http")
    done = subprocess.run(command, input=wrong, capture_output=True, text=True, check=False)
    assert json.loads(done.stdout)["summary"]["invalid"] == 1


def test_every_container_runs_without_rights() -> None:
    found = list(pods("all"))
    assert {component for component, _, _ in found} == set(COMPONENTS)
    for _, template, container in found:
        spec, own = template["spec"], container["securityContext"]
        assert spec["automountServiceAccountToken"] is False
        assert (spec["securityContext"]["runAsNonRoot"], spec["securityContext"]["runAsUser"]) == (
            True,
            10001,
        )
        assert own == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"requests", "limits"} <= set(container["resources"])
        writable = [mount for mount in container["volumeMounts"] if not mount.get("readOnly")]
        assert [mount["mountPath"] for mount in writable] == ["/tmp"]


def test_every_lasting_pod_is_probed() -> None:
    for component, _, container in pods("all"):
        if component != "follow":
            assert "livenessProbe" in container, component
        if component in ("serve", "metrics", "ui"):
            assert "readinessProbe" in container, component


def test_passwords_and_keys_are_only_named() -> None:
    for _, _, container in pods("all"):
        by_name = {one["name"]: one for one in container["env"]}
        secret = {name for name, one in by_name.items() if "secretKeyRef" in one.get("valueFrom", {})}
        assert {"CE2DE_OPENSEARCH_USERNAME", "CE2DE_OPENSEARCH_PASSWORD"} <= secret
        assert ("CE2DE_BROKER_URL" in by_name) == ("CE2DE_BROKER_URL" in secret)
    assert all(one["kind"] != "Secret" for one in manifests("all"))


def test_every_pod_has_a_network_policy_of_its_own() -> None:
    policies = {
        one["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"]: one["spec"]
        for one in manifests("all")
        if one["kind"] == "NetworkPolicy"
    }
    for component, template, _ in pods("all"):
        selected = policies[component]["podSelector"]["matchLabels"]
        assert selected.items() <= template["metadata"]["labels"].items()
    ports = {
        component: {port["port"] for rule in policy["egress"] for port in rule["ports"]}
        for component, policy in policies.items()
    }
    assert ports == {
        "worker": {53, 9200, 6379},
        "follow": {53, 9200, 6379},
        "metrics": {53, 9200},
        "serve": {53, 9200},
        "ui": {53, 9200, 6379},
    }
    entered = {component for component, policy in policies.items() if policy["ingress"]}
    assert entered == {"metrics", "serve", "ui"}


def test_services_lead_to_their_pods() -> None:
    labels = {component: template["metadata"]["labels"] for component, template, _ in pods("all")}
    for one in manifests("all"):
        if one["kind"] == "Service":
            selector = one["spec"]["selector"]
            assert selector.items() <= labels[selector["app.kubernetes.io/component"]].items()


def test_every_command_exists_with_its_options() -> None:
    own = [words for _, _, container in pods("all") if (words := container["command"])[0] == "ce2de"]
    assert {words[1] for words in own} == {"follow", "serve", "metrics", "ui"}
    for words in own:
        command = cli.get_command(click.Context(cli), words[1])
        assert command is not None
        with command.make_context(words[1], list(words[2:])) as context:  # raises for an unknown option
            assert context.params


def test_workers_are_scaled_only_where_it_is_asked_for() -> None:
    def of(name: str, kind: str) -> list[Manifest]:
        return [
            one
            for one in manifests(name)
            if one["kind"] == kind and one["metadata"]["name"].endswith("worker")
        ]

    assert of("least", "ScaledObject") == []
    assert of("least", "Deployment")[0]["spec"]["replicas"] == 2
    (scaled,), (deployment,) = of("all", "ScaledObject"), of("all", "Deployment")
    assert scaled["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"], "each upgrade would undo what KEDA chose"
    query = scaled["spec"]["triggers"][0]["metadata"]["query"]
    for metric in ("ce2de_backlog_documents", "ce2de_lag_operations", "ce2de_job_state"):
        assert metric in query
        assert metric in docs_reference.metrics()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("opensearch.url=", "/opensearch/url"),
        ("opensearch.url=http://admin:secret@host", "/opensearch/url"),
        ("broker.secret=", "/broker/secret"),
        ("serve.keysSecret=", "/serve/keysSecret"),
        ("autoscaling.prometheus=", "/autoscaling/prometheus"),
        ("workers.replica=3", "replica"),
    ],
)
def test_a_value_that_cannot_be_is_named(change: str, named: str) -> None:
    done = helm("template", "rel", str(CHART), "--values", values("all"), "--set", change)
    assert done.returncode != 0
    assert named in done.stderr


def test_the_chart_has_the_version_of_the_package() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


def test_docker_compose_takes_the_file() -> None:
    command = compose()
    passwords = ("OPENSEARCH_INITIAL_ADMIN_PASSWORD", "REDIS_PASSWORD", "FLOWER_PASSWORD")
    options = ["--profile", "flower", "--profile", "metrics", "--profile", "serve", "config"]
    done = subprocess.run(
        [*command, "--file", str(ROOT / "docker-compose.yml"), *options],
        capture_output=True, text=True, check=False, env={**os.environ, **dict.fromkeys(passwords, "x")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    assert set(services) == {"opensearch", "redis", "worker", "flower", "metrics", "serve"}
    for service in services.values():
        for port in service.get("ports", []):
            assert "127.0.0.1" in str(port), "each port is open to this machine only"


def compose() -> list[str]:
    """Docker Compose: a plugin of docker, or a program of its own."""
    for command in (["docker", "compose"], ["docker-compose"]):
        try:
            if subprocess.run([*command, "version"], capture_output=True, check=False).returncode == 0:
                return command
        except FileNotFoundError:
            continue
    pytest.skip("needs Docker Compose; no engine needs to run")
