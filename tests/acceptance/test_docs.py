"""The documentation is complete: errors, settings, commands, metrics; it is built without a warning."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml

from ce2de_os import __all__ as public
from ce2de_os.cli import COMMANDS
from ce2de_os.cli.flags import with_flags
from scripts import docs_reference
from tests.acceptance.pages import BLOCK, PAGES, ROOT, SITE, name_of, prose
from tests.plain_words import FOREIGN

ERRORS = SITE / "how-to" / "operator" / "troubleshooting.md"
HAND_WRITTEN = "## The most likely messages"
VARIABLE = re.compile(r"\bCE2DE_[A-Z_]+\b")


def plain(markdown: str) -> str:
    """A text without what Markdown and HTML add, for comparison."""
    for written, meant in (("&#42;", "*"), ("&#95;", "_"), ("&#123;", "{"), ("&#91;", "["), ("&#96;", "`")):
        markdown = markdown.replace(written, meant)
    for written, meant in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"), ("\\|", "|")):
        markdown = markdown.replace(written, meant)
    return " ".join(markdown.split())


@cache
def page_of_errors() -> str:
    return plain(docs_reference.filled(ERRORS.read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", docs_reference.CLASSES)
def test_every_class_of_errors_has_a_heading_and_says_what_to_do(name: str) -> None:
    section = re.search(rf"^### {name}$(.*?)(?=^##|\Z)", ERRORS.read_text(), re.MULTILINE | re.DOTALL)
    assert section is not None, f"docs: {name} has no heading in {name_of(ERRORS)}"
    assert "**What to do:**" in section[1]


@pytest.mark.parametrize(
    "package", ["reindex", "index", "worker", "search", "model", "local", "cli", "connect", "server", "ui"]
)
def test_every_message_is_found_on_the_page(package: str) -> None:
    found = docs_reference.messages(package)
    assert found
    page = page_of_errors()
    assert [message for message in found if message.piece not in page] == []


def hand_written() -> list[str]:
    """The first cell of each row of the table of likely messages: its parts in backticks."""
    section = ERRORS.read_text(encoding="utf-8").partition(HAND_WRITTEN)[2].partition("\n## ")[0]
    rows = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| `")]
    return [span for row in rows for span in re.findall(r"`([^`]+)`", row)]


@cache
def texts() -> str:
    """Every string in the package, with a hole for each value."""
    found = []
    for path in sorted((ROOT / "ce2de_os").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant | ast.JoinedStr):
                found.append(with_flags("".join(docs_reference._pieces(node))))
    return "\n".join(found)


@pytest.mark.parametrize("text", hand_written())
def test_a_likely_message_is_still_one_that_the_code_has(text: str) -> None:
    parts = [part for part in re.split(r"…|\b4\d\d\b", text) if len(part.strip()) > 1]
    assert [part for part in parts if part.strip() not in texts()] == []


def test_enough_messages_have_a_cause_and_an_action() -> None:
    assert len(hand_written()) >= 25


def test_every_setting_has_a_text_and_every_variable_exists() -> None:
    known = {setting.variable for setting in docs_reference.SETTINGS} | {"CE2DE_TEST_ML"}  # of the tests
    named = {(name_of(page), name) for page in PAGES for name in VARIABLE.findall(page.read_text())}
    assert {pair for pair in named if pair[1] not in known and not pair[1].endswith("_")} == set()
    table = docs_reference.configuration()
    read = set(VARIABLE.findall((ROOT / "ce2de_os" / "config.py").read_text()))
    assert {name for name in read if name not in table and not name.endswith("_")} == set()


def test_every_command_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"reference/cli/{name}.md" not in navigation] == []
    pages = [str(page.relative_to(SITE)) for page in SITE.rglob("*.md")]
    assert [page for page in pages if page not in navigation] == []


def test_a_page_of_a_command_has_its_subcommands() -> None:
    page = docs_reference.command_page("reindex")
    assert "## ce2de reindex dlq retry" in page
    assert "--accept-unreplicated" in page


def test_every_public_name_is_in_the_reference() -> None:
    page = docs_reference.filled((SITE / "reference" / "python.md").read_text(encoding="utf-8"))
    assert [name for name in public if not re.search(rf"\b{name}\b", page)] == []


def test_the_metrics_are_those_of_the_exporter() -> None:
    table = docs_reference.metrics()
    named = {
        name
        for page in PAGES
        for name in re.findall(
            r"\bce2de_[a-z_]+_(?:total|seconds|documents|readable|state)\b", page.read_text()
        )
    }
    assert {name for name in named if f"`{name}" not in table} <= {"ce2de_stage_seconds"}


def test_the_alerts_are_yaml_that_prometheus_reads() -> None:
    page = (SITE / "how-to" / "operator" / "metrics.md").read_text(encoding="utf-8")
    (rules,) = [yaml.safe_load(block[1]) for block in BLOCK.findall(page) if block[0] == "yaml"]
    assert all({"alert", "expr"} <= set(rule) for rule in rules["groups"][0]["rules"])


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pages_use_plain_words(page: Path) -> None:
    assert FOREIGN.findall(re.sub(r"`[^`]*`", "", prose(page))) == []


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "--site-dir",
        tmp_path / "site",
    ]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    built = tmp_path / "site" / "how-to" / "operator" / "troubleshooting.html"
    html = built.read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="https?://', html)  # nothing comes from another host
