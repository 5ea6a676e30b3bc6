"""What programs rely on: the keys of ``--json`` and the exit codes, as they are written in ``contract.json``.

A key that goes away, or a code that changes, breaks the scripts of others. After a change on purpose:
``CE2DE_WRITE_CONTRACT=1 pytest -n 0`` with the tests that fail.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ce2de_os.cli import main

CONTRACT = Path(__file__).with_name("contract.json")
WRITE = bool(os.environ.get("CE2DE_WRITE_CONTRACT"))
NOWHERE = "127.0.0.1:9"

Outcome = tuple[int, str, str]
Command = Callable[..., Outcome]


def command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs the command line in this process: exit code, output and messages."""

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["ce2de", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
            raise SystemExit(0)  # click ends by itself with a code of 0
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    return run


def key_paths(value: Any, path: str = "") -> set[str]:
    """Return the dotted paths of a JSON value's keys; ``[]`` stands for each element of a list."""
    if isinstance(value, dict):
        inner = ((f"{path}.{key}" if path else key, each) for key, each in value.items())
        return {found for place, each in inner for found in {place, *key_paths(each, place)}}
    if isinstance(value, list):
        return {found for each in value for found in key_paths(each, f"{path}[]")}
    return set()


def keys_agree(name: str, answer: Any, names: Mapping[str, str] | None = None) -> None:
    """Compare the keys of a command's ``--json``; ``names`` gives the user's own names another spelling."""
    found = key_paths(answer)
    for own, written in (names or {}).items():
        found = {path.replace(own, written) for path in found}
    agree("json", {name: sorted(found)})


def codes_agree(kind: str, ce2de: Command, cases: Mapping[str, tuple[object, ...]]) -> None:
    """Run commands, and compare their exit codes; an error is one line, wrong usage shows the usage."""
    found = {}
    for name, arguments in cases.items():
        found[name], out, messages = ce2de(*arguments)
        assert "Traceback" not in messages, (name, messages)
        errors = [line for line in messages.splitlines() if line.startswith("ce2de: ")]
        if found[name] == 1:
            assert out == "", (name, out)
            assert messages.endswith(f"{errors[-1]}\n"), (name, messages)
        assert len(errors) == (found[name] == 1), (name, messages)
        if found[name] == 2:
            assert "Usage: ce2de" in messages, (name, messages)
    agree(kind, found)


def agree(kind: str, found: dict[str, Any]) -> None:
    """Compare with a part of the contract, or write it."""
    contract = json.loads(CONTRACT.read_text()) if CONTRACT.exists() else {}
    if WRITE:
        contract[kind] = contract.get(kind, {}) | found
        CONTRACT.write_text(f"{json.dumps(contract, indent=1, sort_keys=True)}\n")
    assert {name: contract[kind].get(name) for name in found} == found
