"""The whole recipe on a tiny teacher: distil, interrupt, go on, export."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ce2de_os.distill.config import DistillConfig
from ce2de_os.distill.recipe import distill, is_finished
from ce2de_os.distill.training.console import ConsoleProgress
from ce2de_os.errors import DataError
from ce2de_os.student import StudentModel
from tests.unit.distill.tiny import write_texts


def config(teacher_folder, **changes):
    settings = {
        "teacher": str(teacher_folder), "layers": (0, 2), "unique_tokens": 8000, "tokens": 4000,
        "batch_tokens": 512, "precision": "fp32", "threads": 1,
    }  # fmt: skip
    return DistillConfig(**{**settings, **changes})


def run(text_file, settings, out):
    with ConsoleProgress() as progress:
        return distill([text_file], settings, out, phase=progress.phase, report=progress.training)


def test_recipe_says_what_the_student_was_made_from(teacher_folder, text_file, tmp_path, capsys):
    recipe = run(text_file, config(teacher_folder), tmp_path / "run")
    assert recipe == json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert recipe["texts"] == {"texts": recipe["passages"]}
    assert recipe["tokens_seen"] >= 4000
    assert recipe["layers"] == [0, 2]
    assert not (tmp_path / "run" / "checkpoint.pt").exists()
    assert "Training: 100%" in capsys.readouterr().err


def test_the_same_settings_make_the_same_student(teacher_folder, text_file, tmp_path):
    for name in ("first", "second"):
        run(text_file, config(teacher_folder), tmp_path / name)
    first, second = (StudentModel.load(tmp_path / name) for name in ("first", "second"))
    for mine, other in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(mine, other, atol=1e-6, rtol=1e-5)


def test_a_finished_student_of_other_texts_is_told(teacher_folder, text_file, tmp_path):
    settings = config(teacher_folder)
    run(text_file, settings, tmp_path / "run")
    assert is_finished(tmp_path / "run", settings, [text_file])
    assert is_finished(tmp_path / "run", settings), "texts of an index are not collected again"
    more = write_texts(tmp_path / "more.txt")
    with pytest.raises(DataError, match=r"finished student with text_files \['\w+'\], not \['more'"):
        is_finished(tmp_path / "run", settings, [more, text_file])


def test_a_finished_student_is_not_overwritten(teacher_folder, text_file, tmp_path):
    run(text_file, config(teacher_folder), tmp_path / "run")
    with pytest.raises(DataError, match="holds a finished student"):
        run(text_file, config(teacher_folder), tmp_path / "run")


SCRIPT = """
import sys
from pathlib import Path
from ce2de_os.distill.training import trainer
from ce2de_os.distill.config import DistillConfig
from ce2de_os.distill.recipe import distill, is_finished

trainer.CHECKPOINT_SECONDS = 0.0
texts, teacher, out = map(Path, sys.argv[1:])
config = DistillConfig(
    teacher=str(teacher), layers=(0, 2), unique_tokens=8000, tokens=40_000, batch_tokens=512,
    precision="fp32", threads=1,
)
report = lambda progress, done: print(progress.steps, flush=True)
distill([texts], config, out, phase=lambda *_: None, report=report)
"""


def test_a_run_killed_with_sigkill_goes_on(teacher_folder, text_file, tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "-c", SCRIPT, str(text_file), str(teacher_folder), str(out)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
    ) as process:
        for line in process.stdout:
            if int(line) == 10:
                process.kill()
    assert process.returncode == -9
    steps = []
    settings = config(teacher_folder, tokens=40_000)
    distill(
        [text_file],
        settings,
        out,
        phase=lambda *_: None,
        report=lambda progress, _: steps.append(progress.steps),
    )
    assert steps[0] >= 8  # from the checkpoint, not from the first step
    assert steps == list(range(steps[0], steps[-1] + 1))
    assert (out / "recipe.json").exists()
