"""``ce2de distill`` and ``ce2de export`` from the command line."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from ce2de_os.cli import cli
from ce2de_os.errors import Ce2deError
from tests.unit.distill.tiny import save_tiny_teacher, write_texts


def invoke(*arguments):
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    if isinstance(result.exception, Ce2deError):
        raise result.exception
    return result


def test_distil_then_export_with_one_command_each(tmp_path):
    teacher = tmp_path / "teacher"
    teacher.mkdir()
    save_tiny_teacher(teacher)
    first, second = write_texts(tmp_path / "a.txt"), write_texts(tmp_path / "b.txt", seed=6)
    options = ("--teacher", teacher, "--layers", "0,2", "--tokens", 20_000, "--unique-tokens", 10_000)
    run, model = tmp_path / "run", tmp_path / "model"
    result = invoke("distill", "--texts", first, second, "--out", run, *options, "--threads", 1, "--json")
    assert result.exit_code == 0, result.output
    assert set(json.loads(result.stdout)["texts"]) == {"a", "b"}

    result = invoke("export", run, "--out", model, "--name", "tiny", "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert facts["dim"] == 32
    assert facts["mean_cosine"] >= 0.98
    manifest = json.loads((model / "manifest.json").read_text())
    assert manifest["fingerprint"] == facts["fingerprint"]
    assert manifest["source"]["layers"] == [0, 2]
    assert manifest["recipe"]["parity"]["worst_cosine"] == facts["worst_cosine"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--layers", "0,x"), "--layers: got '0,x'"),
        (("--layers", "0,7"), "numbers from 0 to 2"),
        (("--minutes", "0"), "minutes: got 0.0, expected a number above 0"),
        (("--teacher", "/no/such/encoder"), "cannot be loaded"),
    ],
)
def test_wrong_settings_are_one_line(tmp_path, teacher_folder, arguments, message):
    texts = write_texts(tmp_path / "a.txt")
    base = ("distill", "--texts", texts, "--out", tmp_path / "run", "--teacher", teacher_folder)
    with pytest.raises(Ce2deError, match=message) as error:
        invoke(*base, *arguments)
    assert "\n" not in str(error.value)


def test_missing_texts_are_named(tmp_path, teacher_folder):
    base = ("distill", "--out", tmp_path / "run", "--teacher", teacher_folder, "--layers", "0,2")
    with pytest.raises(Ce2deError, match=r"none\.txt: No such file"):
        invoke(*base, "--texts", tmp_path / "none.txt")


def test_exporting_something_else_says_what_to_do(tmp_path):
    with pytest.raises(Ce2deError, match="'ce2de distill' has finished"):
        invoke("export", tmp_path, "--out", tmp_path / "model")
