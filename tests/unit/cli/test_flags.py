"""An error of the library names settings; the CLI prints them as flags."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ce2de_os
from ce2de_os.cli.flags import SETTING, flags, with_flags

ROOT = Path(ce2de_os.__file__).parent
FLAG = re.compile(r"(?<![\w-])--[a-z]\S*")
# Other programs have flags too, and a report shows whole commands, for its reader to repeat.
OTHERS = {
    "errors.py": {"--editable"},
    "local/redis_server.py": {"--version"},
    "local/java.py": {"--install"},
    "local/opensearch_server.py": {
        "--add-modules=jdk.incubator.vector",
        "--enable-native-access=ALL-UNNAMED",
    },
    "translate/ctranslate2_model.py": {"--model", "--output_dir", "--copy_files"},
    "distill/report/recipe_part.py": {"--texts", "--out", "--set"},
    "distill/report/write.py": {"--out"},
}


def library_strings(*, docstrings: bool) -> Iterator[tuple[str, str]]:
    """Give each string outside of ``cli/`` with the name of its file."""
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith("cli/"):
            nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
            alone = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
            texts = [node for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
            yield from ((name, str(node.value)) for node in texts if docstrings or id(node) not in alone)


def test_no_string_of_the_library_names_a_flag() -> None:
    found = {(name, flag) for name, text in library_strings(docstrings=True) for flag in FLAG.findall(text)}
    assert {(name, flag) for name, flag in found if flag not in OTHERS.get(name, ())} == set()


def test_every_setting_that_an_error_names_has_a_flag() -> None:
    named = {
        (file, setting[0])
        for file, text in library_strings(docstrings=False)
        for setting in SETTING.finditer(text)
    }
    assert len(named) > 30
    assert {pair for pair in named if with_flags(pair[1]) == pair[1]} == set()


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("choose another `target`", "choose another --target"),
        ("use `mode=copy` `alias=NAME`", "use --mode copy --alias NAME"),
        ("`template={title}. {body}`", "--template '{title}. {body}'"),
        ("`block=False` with `pipeline`", "--no-block with --pipeline"),
        ("allow more with `max_block_s`", "allow more with --max-block"),
        ("got `no_setting`", "got `no_setting`"),
    ],
)
def test_a_setting_is_printed_as_its_flag(text: str, printed: str) -> None:
    assert with_flags(text) == printed


def test_the_table_comes_from_the_options() -> None:
    assert flags()["docs_per_s"] == "--docs-per-second"
    assert flags()["target"] == "--target"  # a translation's --to has the same parameter


def test_the_command_prints_the_flag_that_the_operator_types() -> None:
    command = [sys.executable, "-m", "ce2de_os", "reindex", "start", "articles", "--alias", "a"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("ce2de: name the fields to embed: --text-fields title,body or --template")
