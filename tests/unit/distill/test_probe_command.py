"""``ce2de probe`` from the command line."""

from __future__ import annotations

import json
import struct
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from ce2de_os.cli import cli
from ce2de_os.errors import Ce2deError
from tests.contract import keys_agree
from tests.unit.distill.test_probe import DOCUMENTS
from tests.unit.distill.tiny import save_tiny_cross_encoder, save_tiny_model


def invoke(*arguments):
    result = CliRunner().invoke(cli, ["probe", *map(str, arguments)])
    if isinstance(result.exception, Ce2deError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def write_collection(folder, queries=(1, 4, 11)):
    folder.mkdir()
    documents = [{"_id": f"d{row}", "text": text} for row, text in enumerate(DOCUMENTS)]
    asked = [{"_id": f"q{row}", "text": " ".join(DOCUMENTS[row].split()[:3])} for row in queries]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in documents))
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    judged = "".join(f"q{row}\td{row}\t1\n" for row in queries)
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged)
    return folder


@pytest.fixture(scope="module")
def ce(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny-ce", "bert", labels=1)


@pytest.fixture(scope="module")
def de(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny-de", "bert", seed=12)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_collection(tmp_path_factory.mktemp("data") / "birds")


def test_one_reading_as_a_table(ce, de, data):
    result = invoke("--cross-encoder", ce, "--dual-encoder", de, "--data", data)
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["birds:", "12", "documents,", "3", "queries"]
    titles = " ".join(result.stdout.split())  # a model's long path may wrap the line
    assert "(text pair, mean)" in titles
    assert "(text alone, mean)" in titles
    rows = [line.split() for line in lines if line.split()[:1] and line.split()[0] in "0123"]
    assert [row[0] for row in rows] == ["0", "1", "2", "3"]
    assert all(len(row) == 1 + 6 + 1 for row in rows)
    columns = list(zip(*(row[1:7] for row in rows), strict=True))
    for column in columns:
        values = [float(cell.rstrip("*")) for cell in column]
        assert [cell.endswith("*") for cell in column].index(True) == values.index(max(values))
    assert result.stderr == ""


def test_a_sweep_as_json_files_and_picture(ce, de, data, tmp_path):
    other = write_collection(tmp_path / "more", queries=(2, 3))
    out, cache = tmp_path / "new" / "probe", tmp_path / "cache"
    options = ("--cross-encoder", ce, "--dual-encoder", de, "--data", data, "--data", other, "--sweep")
    result = invoke(*options, "--out", out, "--cache", cache, "--json")
    report = json.loads(result.stdout)
    keys_agree("probe", report)
    assert [len(model["curves"]) for model in report["models"]] == [8, 4]
    assert [entry["name"] for entry in report["collections"]] == ["birds", "more"]
    assert json.loads((out / "probe.json").read_text()) == report
    assert sorted(path.name for path in out.iterdir()) == ["probe.json", "probe.png", "probe.svg"]
    png = (out / "probe.png").read_bytes()
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", png[16:24])
    assert width == 11 * 200
    assert height > width / 2  # two collections: two rows of panels
    assert ElementTree.parse(out / "probe.svg").getroot().tag.endswith("svg")
    # The same command again gives the same files, from the cache.
    kept = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    svg = (out / "probe.svg").read_bytes()
    table = invoke(*options, "--out", out, "--cache", cache).stdout
    assert (out / "probe.svg").read_bytes() == svg
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == kept
    assert "Ways to read the models" in table
    ways = [line.split()[:4] for line in table.splitlines() if line.split()[:1] in (["CE"], ["DE"])]
    ways = [way for way in ways if way[1] in ("pair", "alone")]
    assert len(ways) == 8 + 4


def test_options_reach_the_probe(ce, data):
    options = ("--input", "alone", "--pooling", "cls", "--center", "--limit", "5", "--max-tokens", "9")
    report = json.loads(invoke("--cross-encoder", ce, "--data", data, *options, "--json").stdout)
    (model,) = report["models"]
    assert model["best"] == {"input": "alone", "pooling": "cls", "centred": True}
    assert report["max_tokens"] == 9
    assert report["collections"] == [{"name": "birds", "documents": 5, "queries": 3}]


def test_models_of_different_bases_are_told_apart(ce, data, tmp_path):
    other = save_tiny_model(tmp_path / "other", "roberta")
    result = invoke("--cross-encoder", ce, "--dual-encoder", other, "--data", data, "--json")
    assert "not of the same base (CE: bert, 3 layers" in result.stderr
    assert "DE: roberta, 3 layers" in result.stderr
    assert len(json.loads(result.stdout)["models"]) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--max-tokens", "0"), "max_tokens: got 0"),
        (("--limit", "2"), "limit: got 2 documents, but 3 of 'birds'"),
        (("--data", "/no/such/folder"), r"/no/such/folder: has no corpus\.jsonl"),
        (("--data", "/somewhere/birds"), "two folders are called 'birds'"),
        (("--cross-encoder", "/no/such/model"), "cross-encoder '/no/such/model': cannot be loaded"),
        (("--dual-encoder", "/no/such/model"), "dual encoder '/no/such/model': cannot be loaded"),
    ],
)
def test_what_cannot_be_used_is_one_line(ce, data, options, message):
    with pytest.raises(Ce2deError, match=message) as error:
        invoke("--cross-encoder", ce, "--data", data, *options)
    assert "\n" not in str(error.value)


def test_a_head_of_two_labels_is_one_line(data, tmp_path):
    two = save_tiny_cross_encoder(tmp_path, labels=2)
    with pytest.raises(Ce2deError, match="its head has 2 outputs, expected 1"):
        invoke("--cross-encoder", two, "--data", data)
