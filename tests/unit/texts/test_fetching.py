"""Fetching over HTTP and with git, from a server on this machine."""

from __future__ import annotations

import re
import socket
import subprocess

import pytest
from texts.fetching import checkout, download, harvest

from ce2de_os.errors import DataError
from tests.unit.texts.conftest import make_repository

BINARY = ["application/octet-stream"]
DATA = bytes(range(256)) * 9000


def test_a_file_is_downloaded_once(home, tmp_path):
    home.files["/a.bz2"] = DATA
    for _ in range(2):
        path = download(f"{home.url}/a.bz2", tmp_path / "out" / "a.bz2", len(DATA), BINARY)
    assert path.read_bytes() == DATA
    assert home.asked == [("/a.bz2", None)]
    assert [one.name for one in path.parent.iterdir()] == ["a.bz2"]


@pytest.mark.parametrize("end", [1, 100_000, len(DATA) - 1])
def test_a_download_goes_on_where_it_was_cut_off(home, tmp_path, end):
    home.files["/a"], home.cut["/a"] = DATA, end
    with pytest.raises(DataError, match=rf"cut off after {end:,} .*run the same command to go on"):
        download(f"{home.url}/a", tmp_path / "a", len(DATA), BINARY)
    assert not (tmp_path / "a").exists()
    assert download(f"{home.url}/a", tmp_path / "a", len(DATA), BINARY).read_bytes() == DATA
    assert home.asked[1] == ("/a", f"bytes={end - 1}-" if end > 1 else None)


def test_a_download_that_ended_before_the_file_got_its_name(home, tmp_path):
    home.files["/a"], home.cut["/a"] = DATA, len(DATA) - 1
    with pytest.raises(DataError):
        download(f"{home.url}/a", tmp_path / "a", len(DATA), BINARY)
    (tmp_path / "a.partial").write_bytes(DATA)
    assert download(f"{home.url}/a", tmp_path / "a", len(DATA), BINARY).read_bytes() == DATA


@pytest.mark.parametrize("ranges", [True, False])
def test_another_file_or_a_home_without_ranges_begins_again(home, tmp_path, ranges):
    home.files["/a"], home.cut["/a"] = DATA, 1000
    with pytest.raises(DataError):
        download(f"{home.url}/a", tmp_path / "a", len(DATA), BINARY)
    home.ranges = ranges
    home.files["/a"] = new = b"new" * 100 if ranges else DATA
    assert download(f"{home.url}/a", tmp_path / "a", len(DATA), BINARY).read_bytes() == new


def test_a_file_that_is_too_large_or_of_another_type_is_refused(home, tmp_path):
    home.files |= {"/a": DATA, "/b": b"<html>Accept our terms</html>"}
    home.types["/b"] = "text/html; charset=utf-8"
    with pytest.raises(DataError, match=r"/a: 2,304,000 bytes or more, expected at most 1,000; .*homes\.py"):
        download(f"{home.url}/a", tmp_path / "a", 1000, BINARY)
    with pytest.raises(DataError, match=r"/b: got text/html, expected application/octet-stream; open the"):
        download(f"{home.url}/b", tmp_path / "b", 1000, BINARY)
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()


def test_a_home_that_has_no_such_file_or_does_not_answer(home, tmp_path):
    with pytest.raises(DataError, match="/a: got HTTP 404 Not Found, expected the file; open"):
        download(f"{home.url}/a", tmp_path / "a", 1, BINARY)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/a"
        with pytest.raises(DataError, match=r"/a: no answer \(.*refused.*\); check the network"):
            download(url, tmp_path / "a", 1, BINARY)


def test_a_busy_home_is_asked_again_as_it_wishes(home, tmp_path, capsys):
    home.files["/a"], home.busy = DATA, 2
    assert download(f"{home.url}/a", tmp_path / "a", len(DATA), BINARY).read_bytes() == DATA
    assert capsys.readouterr().err.count("/a: busy, trying again in 0 s") == 2
    home.busy = 9
    with pytest.raises(DataError, match="got HTTP 503"):
        download(f"{home.url}/a", tmp_path / "b", len(DATA), BINARY)
    assert home.busy == 4


def page(text, token=""):
    end = f'<resumptionToken cursor="0" completeListSize="3">{token}</resumptionToken>'
    return f"<OAI-PMH><ListRecords>{text}{end}</ListRecords></OAI-PMH>".encode()


FIRST, SECOND = "/oai?verb=ListRecords&set=cs", "/oai?verb=ListRecords&resumptionToken=7%26skip%3D1"


def test_records_are_read_page_by_page_and_not_again(home, tmp_path):
    home.files = {FIRST: page("one", "7&amp;skip=1"), SECOND: page("two")}
    home.types = {FIRST: "text/xml; charset=utf-8", SECOND: "application/xml"}
    del home.files[SECOND]
    with pytest.raises(DataError, match="404"):
        harvest(f"{home.url}/oai", {"set": "cs"}, tmp_path / "cs", 9000, wait_s=0)
    home.files[SECOND] = page("two")
    for _ in range(2):
        folder = harvest(f"{home.url}/oai", {"set": "cs"}, tmp_path / "cs", 9000, wait_s=0)
    assert [b"one" in one.read_bytes() for one in sorted(folder.iterdir())] == [True, False]
    assert [path for path, _ in home.asked] == [FIRST, SECOND, SECOND]


@pytest.mark.parametrize(
    ("code", "right"), [("noRecordsMatch", True), ("badResumptionToken", False), ("badArgument", False)]
)
def test_a_list_of_no_records_is_empty_and_other_errors_are_raised(home, tmp_path, code, right):
    home.files[FIRST] = f'<OAI-PMH><error code="{code}">Token expired</error></OAI-PMH>'.encode()
    home.types[FIRST] = "text/xml"
    if right:
        assert harvest(f"{home.url}/oai", {"set": "cs"}, tmp_path / "cs", 9000, wait_s=0).exists()
        return
    with pytest.raises(DataError, match=rf"oai: {code}: Token expired; delete {tmp_path}/cs and run"):
        harvest(f"{home.url}/oai", {"set": "cs"}, tmp_path / "cs", 9000, wait_s=0)
    assert list((tmp_path / "cs").iterdir()) == []


def test_records_of_more_bytes_than_allowed_are_refused(home, tmp_path):
    home.files = {FIRST: page("one" * 100, "7&amp;skip=1"), SECOND: page("two" * 100)}
    home.types = dict.fromkeys(home.files, "text/xml")
    with pytest.raises(DataError, match="expected at most"):
        harvest(f"{home.url}/oai", {"set": "cs"}, tmp_path / "cs", 700, wait_s=0)


def test_only_the_matching_files_of_a_commit_are_fetched(home, tmp_path):
    files = {
        "modules/m1/index.cnxml": "a",
        "modules/m2/index.cnxml": "b",
        "media/one.jpg": "picture",
        "LICENSE": "c",
    }
    url, commit = make_repository(home, "book", files)
    folder = checkout(url, commit, ["/modules/*/index.cnxml"], tmp_path / "out" / "book", 100)
    assert sorted(path.read_text() for path in folder.glob("modules/*/index.cnxml")) == ["a", "b"]
    assert sorted(path.name for path in folder.iterdir()) == [".git", "modules"]
    listed = ["git", "-C", folder, "cat-file", "--batch-all-objects", "--batch-check=%(objecttype)"]
    got = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split()
    assert got.count("blob") == 2
    home.repositories.rename(tmp_path / "away")
    assert checkout(url, commit, ["/modules/*/index.cnxml"], folder, 100) == folder


def test_a_repository_that_fails_says_what_to_do_and_goes_on_later(home, tmp_path, capfd):
    url, commit = make_repository(home, "book", {"a.txt": "a"})
    with pytest.raises(
        DataError, match=rf"^{re.escape(url)}: git fetch failed .*run the same command to go on"
    ):
        checkout(url, "0" * 40, ["/*.txt"], tmp_path / "book", 100)
    assert "0" * 40 in capfd.readouterr().err
    assert (checkout(url, commit, ["/*.txt"], tmp_path / "book", 100) / "a.txt").read_text() == "a"


@pytest.mark.parametrize(("patterns", "limit"), [(["/*.xml"], 100), (["/*.txt"], 3)])
def test_a_checkout_without_files_or_with_too_many_bytes_is_refused(home, tmp_path, patterns, limit):
    url, commit = make_repository(home, "book", {"a.txt": "four"})
    with pytest.raises(DataError, match=r"got [01] files and [04] bytes .*compare scripts/texts/homes\.py"):
        checkout(url, commit, patterns, tmp_path / "book", limit)
