from pathlib import Path

import pytest

from ce2de_os.cli import checks
from ce2de_os.cli.checks import KNN, NEURAL, NOT_OK, OK, WARNING
from ce2de_os.config import OpenSearchSettings, Settings
from ce2de_os.model.artifact import Artifact


def node(name: str, *plugins: str, roles: tuple[str, ...] = ("data",)) -> dict[str, object]:
    return {"name": name, "roles": list(roles), "plugins": [{"name": plugin} for plugin in plugins]}


def test_a_plugin_must_be_on_every_data_node() -> None:
    nodes = [
        node("a", KNN, NEURAL),
        node("b", KNN),
        node("c", NEURAL),
        node("boss", roles=("cluster_manager",)),
    ]
    assert checks.missing_plugins(nodes) == {KNN: "c", NEURAL: "b"}
    assert checks.missing_plugins(nodes[:1]) == {}


@pytest.mark.parametrize(
    ("version", "state"),
    [("2.16.0", NOT_OK), ("2.17.1", OK), ("3.5.0", WARNING), ("3.6.0", OK), ("3.10.0-SNAPSHOT", OK)],
)
def test_versions_that_lack_something_are_named(version: str, state: str) -> None:
    check = checks.server(version, "opensearch", "here")
    assert (check.state, bool(check.action), version in check.finding) == (state, state != OK, True)
    assert checks.server(version, "elasticsearch", "here").state == NOT_OK


@pytest.mark.parametrize(
    ("found", "state"),
    [({}, NOT_OK), ({"w1": "same"}, OK), ({"w1": "same", "w2": "other"}, NOT_OK)],
    ids=["none", "same model", "another model"],
)
def test_workers_must_answer_and_embed_with_this_machine_s_model(found: dict[str, str], state: str) -> None:
    fingerprint = Artifact.load().fingerprint
    found = {name: fingerprint if value == "same" else "0" * 64 for name, value in found.items()}
    assert checks.workers(found, Settings()).state == state


def test_nothing_there_is_told_with_what_to_do(tmp_path: Path) -> None:
    settings = Settings(
        opensearch=OpenSearchSettings(url="http://127.0.0.1:9"),
        broker_url="redis://127.0.0.1:9/0",
        artifact=tmp_path / "nothing",
    )
    found = {check.name: check for check in checks.run(settings)}
    assert {found[name].state for name in ("OpenSearch", "Redis", "model")} == {NOT_OK}
    assert all(found[name].action for name in ("OpenSearch", "Redis", "model"))
    assert "health" not in found
    assert "workers" not in found


def test_no_java_is_only_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks.java, "find", lambda java_home: [])
    check = checks.java_runtime(Settings())
    assert check.state == WARNING
    assert "apt-get install" in check.action
