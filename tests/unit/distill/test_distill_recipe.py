"""A recipe file: read, overridden by flags, checked, and written back."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import ce2de_os
from ce2de_os.cli import cli
from ce2de_os.cli.training.distill import command
from ce2de_os.cli.training.distill_flags import given_tables, merged
from ce2de_os.distill.tables import (
    DocumentsTable,
    EvaluateTable,
    LanguagesTable,
    RankingsTable,
    StudentTable,
    TeacherTable,
    TextsTable,
    TrainingTable,
)
from ce2de_os.errors import ConfigError
from ce2de_os.recipes.distill_config import completed, config_of
from ce2de_os.recipes.distill_request import DistillRequest
from ce2de_os.recipes.distill_toml import TABLES, read_tables, request_of, toml_text
from tests.unit.distill.test_distill_command import invoke, ok
from tests.unit.distill.tiny import sets, write_texts

ROOT = Path(__file__).parents[3]
OUT = Path("run")
FULL = DistillRequest(
    OUT,
    teacher=TeacherTable("m", 'a "q" ', "d\\ ", "é", Path("c")),
    student=StudentTable(
        init="ce", layers=(0, None), pooled=1, readout="last", max_length=99, extend_vocabulary=5,
        new_language_texts=(Path("n"),), trim_vocabulary=2,
    ),
    documents=DocumentsTable(corpus=Path("c.jsonl"), text_fields=("a", "b")),
    texts=TextsTable((Path("a.txt"), Path("b.txt")), 77),
    rankings=RankingsTable(
        ("x", "y"), ("yes", "no"), query_log=Path("log"), log_field="q", max_queries=9, candidates=8,
        compared_candidates=3, dense_candidates=True, candidates_file=Path("f"), scores=(Path("s"),),
    ),
    languages=LanguagesTable(
        "en", {"it": Path("it.jsonl")}, {"it": Path("q.it")}, {"de": Path("p")}, "it-it", "other", "en-it",
        "en-it,en", "round-robin", "skip",
    ),
    training=TrainingTable(
        {"l2": 1.0, "margin-mse": 0.5}, 0.1, tokens=1000, lr=1e-5, warmup=0.1, decay=0.2, accumulate=2,
        batch_tokens=64, batch_texts=4, batch_queries=2, train_embeddings=False, precision="fp32", seed=1,
        threads=2,
    ),
    evaluate=EvaluateTable((Path("j"),), Path("dev"), {"it": Path("dev.it")}),
)  # fmt: skip


def parse(text: str, tmp_path: Path) -> DistillRequest:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    return request_of(read_tables(path), OUT)


@pytest.mark.parametrize(
    "request_", [FULL, DistillRequest(OUT), DistillRequest(OUT, student=StudentTable(start="packaged"))],
    ids=["full", "defaults", "start"],
)  # fmt: skip
def test_what_is_written_reads_back_equal(request_, tmp_path):
    assert parse(toml_text(request_), tmp_path) == request_


def test_the_written_recipe_holds_every_key_that_has_a_value():
    tables = tomllib.loads(toml_text(FULL))
    absent = {"start", "index", "queries", "query_field", "minutes"}
    assert {(name, key) for name, keys in TABLES.items() for key in keys if key not in absent} == {
        (name, key) for name, values in tables.items() for key in values
    }


def test_every_setting_of_the_training_comes_from_the_request():
    config = config_of(FULL)
    assert (config.teacher, config.cross_encoder, config.layers) == ("m", "x", (0, None))
    assert (config.candidates, config.unique_tokens, config.max_length) == (3, 77, 99)
    assert dict(config.losses) == {"l2": 1.0, "margin-mse": 0.5}
    assert str(config.languages.student) == "en-it,en"


def test_losses_follow_from_queries_and_are_completed():
    queries = RankingsTable(("x",), queries=Path("q"))
    ranked = DistillRequest(OUT, rankings=queries, documents=DocumentsTable("index"))
    for request_, losses in ((DistillRequest(OUT), {"l2": 1.0}), (ranked, {"l2": 1.0, "kl": 0.2})):
        assert completed(request_, config_of(request_)).training.losses == losses


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[student\n", r"recipe\.toml: got text that is not TOML"),
        ("layers = [0]\n", r"got 'layers' outside of a table; write it under \[student\]"),
        ("[trainign]\n", r"unknown table \[trainign\]; did you mean \[training\]\?"),
        ("[xyz]\n", r"unknown table \[xyz\]; expected \[teacher\], "),
        ("[training]\nlearning = 1\n", r"training\.learning: got an unknown key, .*takes losses"),
        ("[training]\ntoken = 1\n", r"training\.token: .*did you mean training\.tokens\?"),
        ("[training]\ntokens = 1.5\n", r"training\.tokens: got 1\.5, expected a whole number"),
        ("[training]\ntokens = true\n", r"training\.tokens: got true, expected a whole number"),
        ('[training]\nlr = "fast"\n', r'training\.lr: got "fast", expected a number'),
        ('[training]\nprecision = "fp8"\n', "expected one of auto, bf16, fp32"),
        ("[training]\nlosses = [1]\n", r"training\.losses: got \[1\], expected a weight for each"),
        ("[training]\nlosses = { magic = 1 }\n", "losses: got 'magic'"),
        ("[training]\nminutes = 1\ntokens = 1\n", r"got training\.minutes and training\.tokens"),
        ("[teacher]\nmodel = 3\n", r"teacher\.model: got 3, expected text in quotes"),
        ('[texts]\nfiles = "a.txt"\n', r'texts\.files: got "a\.txt", expected a list of texts'),
        ('[texts]\nfiles = ["none-*.txt"]\n', r"got 'none-\*\.txt', expected files of this name"),
        ('[texts]\nfiles = ["a\\u0000b"]\n', r"texts\.files: got .*, expected text in quotes, without zero"),
        ('[evaluate]\ndev = "a\\u0000b"\n', r"evaluate\.dev: got .*, expected text in quotes, without zero"),
        ('[languages]\ntranslations = { it = "a\\u0000b" }\n', r"languages\.translations: .* zero bytes"),
        ("[training]\nlr = inf\n", "lr: got inf, expected a number above 0"),
        ("[rankings]\ndense_candidates = 1\n", "got 1, expected true or false"),
        ("[languages]\ntranslations = { en-US = 'a' }\n", "got language 'en-US', expected a code such as it"),
        ("[student]\nlayers = [true]\n", 'expected a list of numbers or "new"'),
        ('[student]\nstart = "a"\nlayers = [0, 5]\n', r"got student\.layers and student\.start"),
    ],
)  # fmt: skip
def test_mistakes_in_a_recipe_are_one_line(text, message, tmp_path):
    with pytest.raises(ConfigError, match=message) as error:
        config_of(parse(text, tmp_path))
    assert "\n" not in str(error.value)


def test_stars_stand_for_files_in_the_order_of_their_names(tmp_path):
    for name in ("b.txt", "a.txt", "c.md"):
        (tmp_path / name).touch()
    found = parse(f'[texts]\nfiles = ["{tmp_path}/*.txt"]\n', tmp_path).texts.files
    assert [path.name for path in found] == ["a.txt", "b.txt"]


def test_the_command_line_overrides_the_file():
    file = {
        "training": {"tokens": 5, "seed": 1},
        "documents": {"corpus": "c"},
        "languages": {"translations": {"it": "a", "de": "b"}},
    }
    flags = [("training", "minutes", 2.0), ("documents", "index", "i"), ("texts", "files", [])]
    words = ["training.seed=7", "languages.translations.it=new.jsonl", "student.layers=[0, 2]"]
    assert merged(file, given_tables(flags, words)) == {
        "training": {"minutes": 2.0, "seed": 7},
        "documents": {"index": "i"},
        "languages": {"translations": {"it": "new.jsonl", "de": "b"}},
        "student": {"layers": [0, 2]},
    }
    assert file["training"] == {"tokens": 5, "seed": 1}


def test_both_of_two_alternatives_on_the_command_line_contradict_each_other():
    both = given_tables([("training", "minutes", 2.0)], ["training.tokens=3"])
    with pytest.raises(ConfigError, match="expected one of them"):
        request_of(merged({}, both), OUT)


@pytest.mark.parametrize("text", ["tokens=3", "nothing.tokens=3", "training.tokens", "a.b.c.d=3"])
def test_a_wrong_set_says_its_form(text):
    with pytest.raises(ConfigError, match=r"expected TABLE\.KEY=VALUE"):
        given_tables([], [text])


@pytest.mark.parametrize(
    ("flag", "place"),
    [("--layers", "student.layers"), ("--ways", "rankings.compared_candidates"),
     ("--depth", "rankings.candidates"), ("--candidates", "rankings.candidates_file"),
     ("--unique-tokens", "texts.unique_tokens")],
)  # fmt: skip
def test_a_former_flag_names_its_key(flag, place):
    result = CliRunner().invoke(cli, ["distill", "--out", "run", flag, "3"])
    assert result.exit_code == 2
    assert f"--set {place}=VALUE" in " ".join(result.output.split())


def test_the_command_has_few_flags():
    flags = [option for option in command.params if isinstance(option, click.Option) and not option.hidden]
    assert len(flags) <= 26  # with those of the connection, --json and --verbose


@pytest.mark.parametrize(
    "path", sorted((ROOT / "examples" / "recipes").glob("*.toml")), ids=lambda path: path.stem
)
def test_the_examples_are_recipes(path, tmp_path, monkeypatch):
    (tmp_path / "runs" / "texts").mkdir(parents=True)
    (tmp_path / "runs" / "texts" / "a.txt.gz").touch()
    monkeypatch.chdir(tmp_path)
    config_of(request_of(read_tables(path), OUT))


def test_a_run_keeps_its_recipe_and_is_repeated_by_it(tmp_path, teacher_folder):
    texts, first, again = write_texts(tmp_path / "a.txt"), tmp_path / "run", tmp_path / "again"
    base = ("--texts", texts, "--teacher", teacher_folder, "--until", "student", "--out", first)
    ok("distill", *base, *sets(layers=[0, 2], tokens=3000, unique_tokens=5000, threads=1))
    recipe = (first / "recipe.toml").read_text()
    assert tomllib.loads(recipe)["training"]["losses"] == {"l2": 1.0}
    ok("distill", "--recipe", first / "recipe.toml", "--out", again, "--until", "student")
    assert (again / "recipe.toml").read_text() == recipe
    assert (again / "model.safetensors").read_bytes() == (first / "model.safetensors").read_bytes()

    with pytest.raises(ce2de_os.errors.DataError, match="finished student with readout all, not last"):
        invoke("distill", "--recipe", first / "recipe.toml", *sets(readout="last"), "--out", again)
    assert (again / "recipe.toml").read_text() == recipe


def test_the_function_takes_a_request_and_gives_a_result(tmp_path, teacher_folder):
    texts = write_texts(tmp_path / "a.txt")
    request_ = DistillRequest(
        tmp_path / "run", until="student", teacher=TeacherTable(str(teacher_folder)),
        student=StudentTable(layers=(0, 2)), texts=TextsTable((texts,), 5000),
        training=TrainingTable(tokens=3000, threads=1),
    )  # fmt: skip
    phases = set()
    result = ce2de_os.distill(request_, phase=lambda name, done, total: phases.add(name))
    assert result.student == tmp_path / "run"
    assert result.recipe["tokens_seen"] >= 3000
    assert result.model is None
    assert "teacher" in phases
    assert ce2de_os.distill(replace(request_, until="student")).recipe is None  # it was there already


@pytest.mark.parametrize("until", ["teacher", "student"])
def test_texts_that_hold_judged_documents_end_the_run_before_the_teacher_reads(
    until, tmp_path, teacher_folder
):
    texts = write_texts(tmp_path / "a.txt")
    judged = tmp_path / "judged"
    judged.mkdir()
    document = {"_id": "1", "title": "", "text": texts.read_text()}
    (judged / "corpus.jsonl").write_text(json.dumps(document) + "\n")
    (judged / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "a query"}) + "\n")
    (judged / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq\t1\t1\n")
    request_ = DistillRequest(
        tmp_path / "run", until=until, teacher=TeacherTable(str(teacher_folder)),
        student=StudentTable(layers=(0, 2)), texts=TextsTable((texts,), 5000),
        training=TrainingTable(tokens=3000, threads=1), evaluate=EvaluateTable((judged,)),
    )  # fmt: skip
    phases = set()
    with pytest.raises(ce2de_os.errors.DataError, match=r"passages hold text of documents .* 'judged'"):
        ce2de_os.distill(request_, phase=lambda name, done, total: phases.add(name))
    assert "teacher" not in phases
