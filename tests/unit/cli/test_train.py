"""``ce2de train teacher`` from the command line."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from ce2de_os.cli import cli
from tests.contract import keys_agree
from tests.unit.distill.tiny import WORDS, save_tiny_teacher


def invoke(*arguments):
    return CliRunner().invoke(cli, ["train", "teacher", *map(str, arguments)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "either --pairs FILE or --index NAME"),
        (("--pairs", "p.jsonl", "--index", "i"), "either --pairs FILE or --index NAME"),
        (("--index", "i", "--query-field", "title"), "--index needs --query-field and --passage-field"),
        (("--pairs", "p.jsonl", "--query-field", "title"), "go with --index"),
        (("--pairs", "p.jsonl", "--layers", "0;2"), "got '0;2', expected numbers from 0 separated by commas"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, arguments, message):
    result = invoke("--out", tmp_path / "t", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "t").exists()


def test_pairs_of_a_file(tmp_path):
    (tmp_path / "base").mkdir()
    base = save_tiny_teacher(tmp_path / "base")
    rows = [{"query": word, "positive": f"{word} {WORDS[-row]}"} for row, word in enumerate(WORDS[:30])]
    rows += [rows[0], {"query": "bab", "positive": " "}, {"query": "bab", "positive": "Bab"}]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    result = invoke(
        "--pairs", tmp_path / "p.jsonl", "--out", tmp_path / "t", "--base", base, "--steps", 1,
        "--negatives", 2, "--max-length", 16, "--threads", 1, "--layers", "0,1", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert facts["layers"] == [0, 1]
    assert json.loads((tmp_path / "t" / "config.json").read_text())["num_hidden_layers"] == 2
    keys_agree("train teacher", facts)
    counts = {"read": 33, "empty": 1, "equal": 1, "repeated": 1, "used": 30, "trained": 27, "held_out": 3}
    assert facts["counts"] == counts
    assert (tmp_path / "t" / "teacher.json").exists()
