"""From the homes to the files, their list, the pack, and the recipe of a student."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

import collect_texts
import pytest
from texts import books, debian, facts, homes, science
from texts.homes import File, Records, Repository, Source, chosen
from texts.prose import Section
from texts.writing import Written, write_source

from ce2de_os.errors import ConfigError, DataError
from tests.unit.texts.conftest import ROOT, make_repository

PROSE = "This is one of the sentences that we have written for the test of all these files. "
RECORD = (
    '<OAI-PMH><ListRecords><record><metadata><arXiv xmlns="http://arxiv.org/OAI/arXiv/"><title>{}</title>'
    "<abstract>{}</abstract></arXiv></metadata></record></ListRecords></OAI-PMH>"
)


def lines(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return file.read().splitlines()


def test_the_files_have_texts_pairs_and_titles_each_once(tmp_path):
    one, two = (PROSE * 4).strip(), ("Other words: " + PROSE * 4).strip()
    sections = [
        Section("First", [one]), Section("Second", [two]), Section("First!", [one]),
        Section("gas", ["matter without any shape"], in_texts=False), Section("Why?", []),
        Section("", [one, two]), Section("Table", ["1 2 3 4 5 6"]), Section("", ["short text"]),
    ]  # fmt: skip
    assert write_source("a", sections, tmp_path, Written(), short=True) == (3, 3, 4)
    assert lines(tmp_path / "a.txt.gz") == [one, two, f"{one} {two}"]
    assert [json.loads(line) for line in lines(tmp_path / "pairs.a.jsonl.gz")] == [
        {"title": "First", "text": one}, {"title": "Second", "text": two},
        {"title": "gas", "text": "matter without any shape"},
    ]  # fmt: skip
    assert lines(tmp_path / "short.a.txt.gz") == ["First", "Second", "Why?", "Table"]
    assert write_source("b", sections[:1], tmp_path, Written(), short=False) == (1, 1, 0)
    assert not (tmp_path / "short.b.txt.gz").exists()


def test_a_text_of_two_sources_is_written_once(tmp_path):
    written = Written()
    for name, count in (("a", 1), ("b", 0)):
        assert write_source(name, [Section("", [PROSE * 3])], tmp_path, written, short=True) == (count, 0, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt.gz"]


@pytest.fixture
def sources(home, monkeypatch):
    monkeypatch.setattr(homes, "REPOSITORIES", f"{home.url}/git/")
    text = f"<Document><QAPair><Question>Why ?</Question><Answer>{PROSE * 3}</Answer></QAPair></Document>"
    _, commit = make_repository(home, "qa", {"1_A_QA/1.xml": text, "readme.md": "x"})
    asked = "/oai?verb=ListRecords&metadataPrefix=arXiv&set=cs&from=2025-03-01&until=2025-03-02"
    home.files[asked] = RECORD.format("Waves", "Different: " + PROSE * 3).encode()
    home.types[asked] = "text/xml"
    return {
        "gone": Source(File(f"{home.url}/gone.bz2", ["application/x-bzip2"]), books.wikipedia, "CC0", "them"),
        "arxiv-cs": Source(
            Records(f"{home.url}/oai", [("cs", "2025-03-01", "2025-03-02")]), science.arxiv, "CC0", "arXiv"
        ),
        "qa": Source(Repository("qa/.git", commit, ["/*_QA/*.xml"]), facts.medquad, "CC BY 4.0", "QA, by us"),
    }


def test_sources_are_collected_with_their_licenses_even_if_one_fails(home, sources, tmp_path, capsys):
    assert not collect_texts.collect_sources(sources, tmp_path)
    shown = capsys.readouterr().err
    assert re.search(r"gone: failed: \S+/gone.bz2: got HTTP 404 .*\n", shown)
    assert "arxiv-cs: 1 passages, 1 pairs, 1 titles" in shown
    assert shown.endswith("1 of 3 failed: gone; run the same command to go on\n")
    assert lines(tmp_path / "short.qa.txt.gz") == ["Why?"]
    known = json.loads((tmp_path / "SOURCES.json").read_text())
    assert list(known) == ["arxiv-cs", "qa"]
    assert known["qa"] == {
        "home": f"{home.url}/git/qa/.git", "commit": sources["qa"].home.commit, "license": "CC BY 4.0",
        "attribution": "QA, by us",
    }  # fmt: skip
    assert known["arxiv-cs"]["commit"] is None
    asked = len(home.asked)
    del sources["gone"]
    assert collect_texts.collect_sources(sources, tmp_path)
    assert len(home.asked) == asked, "nothing is fetched twice"


def test_a_damaged_file_fails_and_the_next_source_is_read(home, sources, tmp_path, capsys):
    home.files["/gone.bz2"], home.types["/gone.bz2"] = b"BZh91AY&SY broken", "application/x-bzip2"
    assert not collect_texts.collect_sources(sources, tmp_path)
    assert "gone: failed: " in capsys.readouterr().err
    assert (tmp_path / "qa.txt.gz").exists()
    assert not (tmp_path / "gone.txt.gz").exists()


def test_names_choose_sources():
    assert list(chosen(["arxiv"])) == ["arxiv-2019", "arxiv-cs", "arxiv-astro"]
    assert len(chosen(["openstax"])) == 17
    assert list(chosen(["factbook", "medquad", "factbook"])) == ["factbook", "medquad"]
    assert chosen(["all"]) == homes.SOURCES
    with pytest.raises(ConfigError, match="sources: got arx; expected all, or some of arxiv-2019, "):
        chosen(["arx"])


@pytest.mark.parametrize("name", homes.SOURCES)
def test_every_source_has_a_home_a_license_and_an_attribution(name):
    source = homes.SOURCES[name]
    assert source.home.url.startswith("https://")
    assert source.license
    assert source.attribution
    if isinstance(source.home, Repository):
        assert re.fullmatch(r"[0-9a-f]{40}", source.home.commit)
        assert all(pattern.startswith("/") for pattern in source.home.patterns)


def test_an_unknown_source_is_refused_by_the_command(tmp_path):
    command = [sys.executable, ROOT / "scripts" / "collect_texts.py", "--out", tmp_path, "--sources", "x"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "error: sources: got x; expected all, or some of" in done.stderr


@pytest.mark.parametrize(
    ("out", "options", "message"),
    [
        ("file", [], "File exists: '"),
        ("texts", ["--corpus", "nowhere.jsonl"], r"nowhere\.jsonl: No such file"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_fetched(
    tmp_path, monkeypatch, capsys, out, options, message
):
    (tmp_path / "file").touch()
    monkeypatch.setattr(collect_texts, "collect_packages", pytest.fail)
    monkeypatch.setattr(sys, "argv", ["collect_texts.py", "--out", str(tmp_path / out), *options])
    with pytest.raises(SystemExit) as stopped:
        collect_texts.main()
    assert stopped.value.code == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "texts").exists()


def test_the_list_goes_with_the_pack(tmp_path):
    source = {"license": "CC0 1.0", "attribution": "them"}
    texts, packs = tmp_path / "texts", tmp_path / "packs"
    words = PROSE.split()
    many = [
        Section(f"Title {word}", [f"{word} {number} {PROSE * 3}"]) for number, word in enumerate(words * 9)
    ]
    write_source("a", many, texts, Written(), short=True)
    (texts / "SOURCES.json").write_text(json.dumps({"a": source, "unused": source}))
    packs.mkdir()
    (packs / "SOURCES.json").write_text(json.dumps({"older": source}))
    command = [
        sys.executable, ROOT / "scripts" / "pack_texts.py", "--texts", texts / "a.txt.gz", "--queries",
        texts / "short.a.txt.gz", "--words", "2000", "--out", packs / "all.passages.jsonl.gz",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads((packs / "SOURCES.json").read_text()) == {"older": source, "a": source}
    rows = [json.loads(line) for line in lines(packs / "all.passages.jsonl.gz")]
    assert {row["source"] for row in rows} == {"a", "short.a"}


@pytest.mark.skipif(not Path(debian.APT_GET).exists(), reason="needs apt")
def test_no_list_of_descriptions_is_named_with_the_command_and_leaves_no_file(tmp_path, monkeypatch):
    config = tmp_path / "apt.conf"
    config.write_text(f'Dir::State::lists "{tmp_path}";\nDir::Etc::sourcelist "/dev/null";\n')
    monkeypatch.setenv("APT_CONFIG", str(config))
    with pytest.raises(DataError, match="apt-get update -o Acquire::Languages=en"):
        debian.write_texts(tmp_path / "debian-descriptions.txt.gz", debian.description_texts())
    assert not (tmp_path / "debian-descriptions.txt.gz").exists()
