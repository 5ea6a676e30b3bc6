"""What the README and the documentation say can be typed, run and followed."""

from __future__ import annotations

import ast
import builtins
import io
import re
import shlex
import tomllib
from contextlib import redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from ce2de_os import __version__
from ce2de_os.cli import COMMANDS, cli
from tests.acceptance.pages import INLINE, PAGES, ROOT, SITE, Block, blocks, name_of, prose, typed

LINES = [(name_of(page), line) for page in PAGES if page.name != "CHANGELOG.md" for line in typed(page)]
PYTHON = [block for page in PAGES for block in blocks(page) if block.language == "python"]
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


# --- commands -------------------------------------------------------------------------------------------


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def flags_of(command: click.Command) -> set[str]:
    return {flag for option in command.params for flag in option.opts} | {"-h", "--help", "--version"}


def check_ce2de(words: list[str]) -> None:
    command: click.Command = cli
    while words and isinstance(command, click.Group):
        if words[0] == "--log-format":
            words = words[2:]
            continue
        if words[0].startswith("-") or words[0] == "…":
            break
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, f"there is no command '{words[0]}'"
        command, words = found, words[1:]
    used = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert used <= flags_of(command), f"unknown: {used - flags_of(command)}"


def check_module(words: list[str]) -> None:
    """``python -m benchmarks.encode --data DATA``; a benchmark may start another one."""
    name, *rest = words
    assert find_spec(name) is not None, name
    source = (ROOT / Path(*name.split("."))).with_suffix(".py").read_text(encoding="utf-8")
    if "-m" in rest:
        check_module(rest[rest.index("-m") + 1 :])
    else:
        used = {word for word in rest if word.startswith("--")}
        assert {flag for flag in used if f'"{flag}"' not in source} == set()


@pytest.mark.parametrize(("page", "line"), LINES, ids=lambda value: str(value)[:80])
def test_every_command_exists_with_its_options(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    words = words[: min([words.index(end) for end in ("|", "&&", ">", ";") if end in words], default=None)]
    if words[0] == "ce2de":
        check_ce2de(words[1:])
    elif words[0] == "make":
        assert {word for word in words[1:] if "=" not in word} <= targets()
    elif words[0] == "celery":
        assert find_spec(words[words.index("-A") + 1]) is not None
    elif words[:2] == ["python", "-m"] and words[2].startswith("benchmarks."):
        check_module([word for word in words[2:] if word != "…"])


def every_flag(command: click.Command = cli) -> set[str]:
    found = flags_of(command)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None, name
            found |= every_flag(below)
    return found


OTHERS = {"--profile", "--loglevel", "--concurrency", "--constraint", "--preload", "--sources"}
"""Flags of docker compose, Celery, pip, gunicorn and `scripts/collect_texts.py`."""


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_flag_in_a_text_is_one_of_some_command(page: Path) -> None:
    spans = [span for span in INLINE.findall(prose(page)) if not span.startswith(("-m ", "… "))]
    used = {flag for span in spans for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]+", span)}
    if page.name != "CHANGELOG.md":
        assert used - every_flag() - OTHERS == set()


BENCHMARKS = [
    (name_of(page), span)
    for page in PAGES
    for span in re.findall(r"`(-m benchmarks\.[^`]+)`", prose(page).replace("\n", " "))
]


@pytest.mark.parametrize(("page", "span"), BENCHMARKS, ids=lambda value: str(value)[:80])
def test_every_benchmark_exists_with_its_options(page: str, span: str) -> None:
    check_module([word for word in shlex.split(span)[1:] if word != "…"])


def test_the_list_of_commands_shows_every_verb() -> None:
    shown = "\n".join(typed(SITE / "reference" / "cli.md"))
    assert [name for name in COMMANDS if f"ce2de {name}" not in shown] == []


def test_the_ci_script_runs_targets_that_exist() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert {"test", "demo"} <= targets()
    assert re.findall(r"^make (\w+)$", script, re.MULTILINE) == ["test", "demo"]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_wheels_are_of_this_version_and_extras_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r"ce2de_os-([\d.]+)-py3", text)) <= {__version__}
    named = re.findall(r"(?:\.whl|ce2de-os|'\.)\[([a-z0-9,-]+)\]", text)
    assert {extra for extras in named for extra in extras.split(",")} <= set(PROJECT["optional-dependencies"])
    # A plain `ce2de-os` is on no index, so this fails for whoever types it.
    assert not re.search(r"pip install '?ce2de-os(\[[a-z,-]+\])?'?$", text, re.MULTILINE)


# --- Python ---------------------------------------------------------------------------------------------


def imported(block: Block) -> list[tuple[str, str]]:
    """The names that a block imports, with their modules."""
    return [
        (node.module, alias.name)
        for node in ast.walk(ast.parse(block.text))
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    ]


def needs_more(block: Block) -> bool:
    """Whether a block needs a server, a framework, or names that its page does not define."""
    names = [node for node in ast.walk(ast.parse(block.text)) if isinstance(node, ast.Name)]
    known = {name for _, name in imported(block)} | set(dir(builtins))
    known |= {node.id for node in names if isinstance(node.ctx, ast.Store)}
    free = {node.id for node in names if isinstance(node.ctx, ast.Load)} - known
    return bool(free) or any(not module.startswith("ce2de_os") for module, _ in imported(block))


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_every_python_block_compiles_and_imports_real_names(block: Block) -> None:
    compile(block.text, block.page, "exec")
    for module, name in imported(block):
        assert hasattr(import_module(module), name), f"{module} has no {name}"


@pytest.mark.parametrize("block", [block for block in PYTHON if not needs_more(block)], ids=str)
def test_python_blocks_without_a_server_give_their_output(block: Block) -> None:
    shown = io.StringIO()
    with redirect_stdout(shown):
        exec(compile(block.text, block.page, "exec"), {})
    if block.output is not None:
        assert shown.getvalue() == block.output


def test_the_readme_has_a_block_that_runs_and_is_short() -> None:
    assert [block for block in PYTHON if block.page == "README.md" and not needs_more(block) and block.output]
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


# --- links ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    generated = {SITE / "reference" / "cli" / f"{name}.md" for name in COMMANDS}
    links = {(page.parent / link).resolve() for link in LINK.findall(prose(page)) if "://" not in link}
    assert {link for link in links if not link.exists()} <= generated
