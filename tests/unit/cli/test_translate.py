"""``ce2de translate`` from the command line."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from ce2de_os.cli import cli
from ce2de_os.errors import ConfigError, DataError
from ce2de_os.records import read_documents
from tests.contract import keys_agree
from tests.unit.distill.tiny_translators import save_nllb, sentence


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_nllb(tmp_path_factory.mktemp("nllb"))


@pytest.fixture
def corpus(tmp_path):
    rng = random.Random(6)
    rows = [
        {"_id": f"d{n}", "title": sentence(rng, 2)[:-1] if n % 2 else "", "text": " ".join(
            sentence(rng, rng.randint(1, 6)) for _ in range(3)
        )} for n in range(12)
    ]  # fmt: skip
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "corpus.jsonl"


def arguments(corpus, model, out):
    languages = ["--from", "en", "--to", "it"]
    return ["translate", "--corpus", str(corpus), "--model", str(model), *languages, "--out", str(out)]


def invoke(*given):
    return CliRunner().invoke(cli, [*map(str, given)])


def test_a_corpus_is_translated_under_its_ids(tmp_path, corpus, model):
    result = invoke(*arguments(corpus, model, tmp_path / "c.it.jsonl.gz"), "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    keys_agree("translate", facts)
    assert (facts["documents"], facts["from_cache"], facts["translated"]) == (12, 0, 12 * 3 + 6)
    assert facts["characters"] == sum(len(doc.title) + len(doc.text) for doc in read_documents(corpus))
    originals, translations = list(read_documents(corpus)), list(read_documents(tmp_path / "c.it.jsonl.gz"))
    assert [doc.doc_id for doc in translations] == [doc.doc_id for doc in originals]
    assert [bool(doc.title) for doc in originals][:2] == [False, True]
    assert not translations[0].title
    assert all(one.text != other.text for one, other in zip(originals, translations, strict=True))
    assert "Translating: 100% 12 of 12" in result.stderr
    assert (tmp_path / "translations" / "translations.sqlite").is_file()
    again = invoke(*arguments(corpus, model, tmp_path / "again.jsonl"))
    assert again.exit_code == 0
    assert "translated:  0\n" in again.stdout
    with gzip.open(tmp_path / "c.it.jsonl.gz", "rb") as file:
        assert file.read() == (tmp_path / "again.jsonl").read_bytes()


def test_queries_are_translated_in_a_call_of_their_own(tmp_path, model):
    (tmp_path / "q.tsv").write_text("7\tBab beg bip?\n9\tBon but\n")
    result = invoke(
        "translate", "--queries", tmp_path / "q.tsv", "--model", model, "--from", "en", "--to", "ita_Latn",
        "--out", tmp_path / "q.it.jsonl", "--cache", tmp_path / "shared", "--beams", 2,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (tmp_path / "q.it.jsonl").read_text().splitlines()]
    assert [(row["_id"], sorted(row)) for row in rows] == [("7", ["_id", "text"]), ("9", ["_id", "text"])]
    assert (tmp_path / "shared" / "translations.sqlite").is_file()


def test_a_killed_command_goes_on_and_gives_the_same_bytes(tmp_path, model):
    rng = random.Random(9)
    texts = [" ".join(sentence(rng, 5) for _ in range(25)) for _ in range(12)]
    rows = [{"_id": f"d{n}", "text": text} for n, text in enumerate(texts)]
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out, whole = tmp_path / "killed" / "c.jsonl.gz", tmp_path / "whole" / "c.jsonl.gz"

    def run(out):
        # Small parts, so that there is something to kill in the middle of.
        code = (
            "from ce2de_os.translate import base as t; t._LARGEST_PART = 800;"
            "from ce2de_os.cli import main; main()"
        )
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", code, *arguments(corpus, model, out)]
        return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)

    assert run(whole).wait() == 0
    database = tmp_path / "killed" / "translations" / "translations.sqlite"
    process = run(out)
    while process.poll() is None and known(database) < 40:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not out.exists()
    kept = known(database)
    assert 40 <= kept < known(tmp_path / "whole" / "translations" / "translations.sqlite")
    result = invoke(*arguments(corpus, model, out), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["from_cache"] >= kept
    assert out.read_bytes() == whole.read_bytes()


def known(database):
    if not database.exists():
        return 0
    rows = sqlite3.connect(database)
    try:
        return rows.execute("SELECT count(*) FROM translations").fetchone()[0]
    except sqlite3.OperationalError:  # not made yet
        return 0
    finally:
        rows.close()


def test_an_import(tmp_path, corpus):
    ids = [doc.doc_id for doc in read_documents(corpus)]
    (tmp_path / "t.tsv").write_text("".join(f"{doc_id}\ttesto {doc_id}\n" for doc_id in ids[2:]))
    given = ["translate", "--corpus", corpus, "--import", tmp_path / "t.tsv", "--out", tmp_path / "out.jsonl"]
    refused = invoke(*given)
    assert isinstance(refused.exception, DataError)
    assert "2 ids (d0, d1) of" in str(refused.exception)
    assert "`missing=skip`" in str(refused.exception)
    result = invoke(*given, "--missing", "skip", "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert (facts["documents"], facts["skipped"]) == (10, 2)
    assert [doc.doc_id for doc in read_documents(tmp_path / "out.jsonl")] == ids[2:]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((), "give one of --corpus FILE, --index NAME and --queries FILE"),
        (("--corpus", "c", "--queries", "q"), "give one of --corpus FILE, --index NAME and --queries FILE"),
        (("--corpus", "c", "--model", "m"), "name the languages, such as --from en --to it"),
        (("--corpus", "c", "--from", "en", "--to", "it"), "give --model ID_OR_FOLDER, except with --backend"),
        (("--corpus", "c", "--from", "en", "--to", "it", "--backend", "apertium", "--model", "m"),
         "give --model ID_OR_FOLDER, except with --backend apertium"),
        (("--corpus", "c", "--import", "t.tsv", "--model", "m"), "either --model or --import"),
        (("--corpus", "c", "--import", "t.tsv", "--missing", "guess"), "'guess' is not one of"),
        (("--corpus", "c", "--model", "m", "--from", "en", "--to", "it", "--beams", "0"), "0 is not in the"),
    ],
)  # fmt: skip
def test_contradictions_are_told(tmp_path, given, message):
    result = invoke("translate", "--out", tmp_path / "out.jsonl", *given)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_there_is_told_before_a_model_is_looked_for(tmp_path):
    result = invoke(
        "translate", "--corpus", tmp_path / "no.jsonl", "--model", tmp_path / "no-model", "--from", "en",
        "--to", "it", "--out", tmp_path / "out.jsonl",
    )  # fmt: skip
    assert isinstance(result.exception, DataError)
    assert "no.jsonl" in str(result.exception)


def test_a_missing_apertium_pair_or_program_is_one_of_our_errors(tmp_path, corpus):
    result = invoke(
        "translate", "--corpus", corpus, "--backend", "apertium", "--from", "en", "--to", "tlh",
        "--out", tmp_path / "out.jsonl",
    )  # fmt: skip
    assert isinstance(result.exception, ConfigError)
    assert "apt" in str(result.exception)
