"""Exit codes and keys of ``--json`` of the commands that need no cluster; see `tests.contract`.

The keys of those that train are compared where the tests train anyway.
"""

from __future__ import annotations

import json
import shutil

import pytest

from ce2de_os.model.artifact import DEFAULT_FOLDER
from tests.contract import codes_agree, command_line, keys_agree

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, when it is imported


@pytest.fixture
def ce2de(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    return command_line(monkeypatch, capsys)


@pytest.fixture
def files(tmp_path):
    """A small collection, two rankings of it, and files that are damaged."""
    rows = [{"_id": f"d{number}", "title": "", "text": f"text {number}"} for number in range(4)]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "queries.jsonl").write_text('{"_id": "q1", "text": "text"}\n{"_id": "q2", "text": "text"}\n')
    (tmp_path / "qrels.tsv").write_text("q1\td1\t1\nq2\td2\t1\n")
    (tmp_path / "a.trec").write_text("q1 Q0 d1 1 2 t\nq2 Q0 d2 1 2 t\n")
    (tmp_path / "b.trec").write_text("q1 Q0 d3 1 2 t\nq2 Q0 d2 1 2 t\n")
    (tmp_path / "bad").write_bytes(b"\xff\xfe\x00bad")
    (tmp_path / "wrong.toml").write_text("[student]\nlayrs = 2\n")
    (tmp_path / "empty").mkdir()
    return tmp_path


def test_comparison_of_files(ce2de, files):
    compare = ("compare", "--qrels", "qrels.tsv", "--run", "A=a.trec", "--run", "B=b.trec")
    code, out, messages = ce2de(*compare, "--baseline", "A", "--metric", "MAP", "--json")
    assert code == 0, messages
    keys_agree("compare", json.loads(out))
    cases = {
        "tables": compare,
        "no rankings": compare[:3],
        "a ranking without a name": (*compare[:3], "--run", "a.trec"),
        "two rankings of one name": (*compare, "--run", "A=b.trec"),
        "no such baseline": (*compare, "--baseline", "C"),
        "no such metric": (*compare, "--metric", "nDCG@7"),
        "a file that is not there": (*compare, "--run", "C=c.trec"),
        "a damaged file": (*compare, "--run", "C=bad"),
        "a folder": (*compare, "--run", "C=empty"),
        "a margin that is none": (*compare, "--margin", "0"),
    }
    codes_agree("exit codes of compare", ce2de, cases)


def test_training(ce2de, files):
    teacher = ("train", "teacher", "--out", "t")
    distill = ("distill", "--out", "run")
    translate = ("translate", "--out", "out.jsonl", "--corpus", "corpus.jsonl")
    probe = ("probe", "--cross-encoder", "empty")
    cases = {
        "train: no pairs": teacher,
        "train: a file that is not there": (*teacher, "--pairs", "nope.jsonl"),
        "train: a damaged file": (*teacher, "--pairs", "bad"),
        "train: pairs of another form": (*teacher, "--pairs", "queries.jsonl"),
        "distill: no texts": distill,
        "distill: texts that are not there": (*distill, "--texts", "nope.txt"),
        "distill: no such recipe": (*distill, "--recipe", "nope.toml"),
        "distill: a key that is not known": (*distill, "--recipe", "wrong.toml"),
        "distill: no such step": (*distill, "--until", "tea"),
        "translate: no documents": translate[:3],
        "translate: no languages": (*translate, "--model", "m"),
        "translate: no such file": (*translate[:3], "--corpus", "nope", "--import", "bad"),
        "translate: a damaged import": (*translate, "--import", "bad"),
        "probe: no collection": probe,
        "probe: no such collection": (*probe, "--data", "nope"),
        "probe: no model": (*probe, "--data", "."),
        "export: no folder to write": ("export", "empty"),
        "export: an empty folder": ("export", "empty", "--out", "model"),
        "export: a cross-encoder's option": ("export", "empty", "--out", "model", "--pairs", "bad"),
    }
    codes_agree("exit codes of training", ce2de, cases)
    assert not (files / "model").exists()


def test_demonstration_and_servers(ce2de, files):
    shutil.copytree(DEFAULT_FOLDER, files / "damaged")
    (files / "damaged" / "manifest.json").write_text("{")
    cases = {
        "demo: no such corpus": ("demo", "--corpus", "nope.jsonl", "--home", "home"),
        "demo: a damaged corpus": ("demo", "--corpus", "bad", "--home", "home"),
        "demo: a damaged model": ("demo", "--artifact", "damaged", "--home", "home"),
        "demo: no such option": ("demo", "--nope"),
        "local: a command that is none": ("local", "upp"),
        "local: no servers": ("local", "env", "--home", "home"),
        "local: stopping none": ("local", "down", "--home", "home"),
        "serve: a damaged model": ("serve", "--artifact", "damaged"),
        "serve: a port that is none": ("serve", "--port", "99999"),
    }
    codes_agree("exit codes of demo, local and serve", ce2de, cases)
    assert not (files / "home").exists()
