"""The printed script: a shell reads from it exactly what would be sent."""

from __future__ import annotations

import json
import shlex

from ce2de_os.connect.models import Present, connector, setting_up
from ce2de_os.connect.steps import SECRET, Step, as_curl

NOTHING = Present(None, None, None, None)


def words(line: str) -> list[str]:
    return shlex.split(line)


def test_a_shell_reads_the_body_as_it_is() -> None:
    body = {"script": 'it\'s "quoted" ${parameters.input} $5 `no` \\ é'}
    comment, line = as_curl([Step("write it", "PUT", "/a/_settings", body)], "http://os:9200", None)
    assert comment == "# write it"
    assert json.loads(words(line)[words(line).index("-d") + 1]) == body


def test_what_a_step_gives_is_a_variable_of_the_next() -> None:
    body = connector("articles", "documents", "http://embed", "m@f", key=False)
    lines = as_curl(setting_up("documents", body, NOTHING, changed=False), "http://os:9200", None)
    script = "\n".join(lines)
    assert "documents_connector=$(curl " in script
    assert '"connector_id": "\'"$documents_connector"\'"' in script
    assert "models/'\"$documents_model\"'/_deploy" in script
    assert "<documents" not in script


def test_secrets_are_variables() -> None:
    body = connector("articles", "documents", "http://embed", "m@f", key=True)
    script = "\n".join(as_curl(setting_up("documents", body, NOTHING, changed=False), "http://os", "me"))
    assert SECRET not in script
    assert "$SERVICE_KEY" in script
    assert '-u me:"$PASSWORD"' in script


def test_a_model_is_stopped_before_its_connector_changes() -> None:
    there = Present("c1", {}, "m1", "DEPLOYED")
    steps = setting_up(
        "documents", connector("a", "documents", "http://embed", "m@f", key=False), there, True
    )
    assert [(step.method, step.path.removeprefix("/_plugins/_ml/")) for step in steps] == [
        ("POST", "models/m1/_undeploy"),
        ("PUT", "connectors/c1"),
        ("POST", "models/m1/_deploy"),
        ("GET", "models/m1"),
    ]
    assert setting_up("documents", {"name": "x"}, there, changed=False) == []
