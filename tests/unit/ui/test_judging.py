"""Judgments: records, the file that keeps them, and the formats of other tools."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ce2de_os.errors import ConfigError, DataError
from ce2de_os.evaluation import load_judged
from ce2de_os.records import Query
from ce2de_os.ui.judging.file_store import FileJudgments
from ce2de_os.ui.judging.formats import FORMATS, read_upload
from ce2de_os.ui.judging.records import (
    MOST_QUERIES,
    Judgment,
    check_judge,
    check_queries,
    judged,
    judgment_of,
    merged,
    now_ms,
    query_for,
    query_id_of,
)
from ce2de_os.ui.judging.sampling import sampled

GRADES = {"q1": {"d1": 3, "d2": 0}, "q2": {"d1": 1}}
QUERIES = {"q1": 'copy a "folder", now', "q2": "نسخ مجلد"}


def judgment(
    doc: str, grade: int | None, at: int = 1000, *, judge: str = "ann", query: str = "q1"
) -> Judgment:
    return Judgment("articles", query, doc, judge, grade, at)


# --- the file ---------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "judgments.jsonl"


def reopened(store: FileJudgments, path: Path) -> FileJudgments:
    os.close(store._file)
    return FileJudgments(path)


def test_what_was_judged_is_there_after_a_restart(path: Path) -> None:
    store = FileJudgments(path)
    store.add_queries("articles", [Query("q1", "copy"), Query("q2", "paste")])
    store.put([judgment("d1", 3), judgment("d2", 0), judgment("d1", 1, judge="bob")])
    store.put([judgment("d2", None, 2000)])
    again = reopened(store, path)
    assert again.queries("articles") == [Query("q1", "copy"), Query("q2", "paste")]
    assert merged(again.all("articles"), "ann") == {"q1": {"d1": 3}}
    assert {one.judge: one.grade for one in again.of_query("articles", "q1")} == {"ann": 3, "bob": 1}
    assert dict(again.counts("articles", "ann")) == {"q1": 1}


def test_an_older_judgment_that_comes_late_changes_nothing(path: Path) -> None:
    store = FileJudgments(path)
    store.put([judgment("d1", 2, 2000)])
    store.put([judgment("d1", 0, 1000)])
    assert merged(store.all("articles")) == {"q1": {"d1": 2}}
    assert merged(reopened(store, path).all("articles")) == {"q1": {"d1": 2}}


def test_the_same_judgment_again_is_written_once(path: Path) -> None:
    store = FileJudgments(path)
    store.put([judgment("d1", 2)])
    size = path.stat().st_size
    store.put([judgment("d1", 2)])
    assert path.stat().st_size == size


def test_a_line_that_a_crash_cut_costs_only_itself(path: Path) -> None:
    store = FileJudgments(path)
    store.put([judgment("d1", 1)])
    store.put([judgment("d2", 2)])
    os.truncate(path, path.stat().st_size - 9)
    store = reopened(store, path)
    assert merged(store.all("articles")) == {"q1": {"d1": 1}}
    store.put([judgment("d3", 3)])
    assert merged(reopened(store, path).all("articles")) == {"q1": {"d1": 1, "d3": 3}}


def test_a_file_of_another_collection_is_refused(path: Path) -> None:
    store = FileJudgments(path)
    store.put([judgment("d1", 1)])
    with pytest.raises(DataError, match="holds judgments of 'articles', not of 'recipes'"):
        reopened(store, path).queries("recipes")


@pytest.mark.parametrize("content", [b"{}\n", b"text\n", b'{"format": "other"}\n', b"\xff\n", b"[1]\n"])
def test_a_file_that_is_none_of_ours_stays_as_it_is(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(DataError, match="not a file of judgments"):
        FileJudgments(path)
    assert path.read_bytes() == content


def test_a_folder_or_a_pipe_is_no_file_of_judgments(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        FileJudgments(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="not a plain file"):
        FileJudgments(tmp_path / "pipe")


def test_two_processes_do_not_write_one_file(path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from ce2de_os.ui.judging.file_store import FileJudgments\n"
        "store = FileJudgments(Path(sys.argv[1])); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    ) as other:  # fmt: skip
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(ConfigError, match="another 'ce2de ui' uses this file"):
            FileJudgments(path)
        other.communicate("")


def test_ten_thousand_judgments_stay_fast(path: Path) -> None:
    store = FileJudgments(path)
    store.put([judgment(f"d{n}", n % 4, query=f"q{n % 500}") for n in range(10_000)])
    store = reopened(store, path)
    begun = time.perf_counter()
    for number in range(20):
        store.put([judgment(f"new{number}", 1)])
        assert len(store.of_query("articles", "q7")) == 20
        assert sum(store.counts("articles", "ann").values()) == 10_001 + number
    assert (time.perf_counter() - begun) / 20 < 0.25


# --- records ----------------------------------------------------------------------------------------------


def test_all_judges_together_give_the_lower_median() -> None:
    several = [judgment("d1", grade, judge=name) for name, grade in (("a", 0), ("b", 1), ("c", 3), ("d", 3))]
    assert merged(several) == {"q1": {"d1": 1}}
    assert merged(several, "d") == {"q1": {"d1": 3}}
    assert merged(several, "nobody") == {}


def test_an_evaluation_gets_the_queries_with_a_relevant_document(path: Path) -> None:
    store = FileJudgments(path)
    store.add_queries("articles", [Query("q1", "copy"), Query("q2", "paste")])
    with pytest.raises(DataError, match="no query has a document with a grade above 0"):
        judged(store, "articles")
    store.put(
        [judgment("d1", 2), judgment("d2", 0), judgment("d1", 0, query="q2"), judgment("d9", 1, query="q9")]
    )
    found = judged(store, "articles")
    assert (found.queries, found.qrels, found.without_text) == (
        {"q1": "copy"}, {"q1": {"d1": 2, "d2": 0}}, ("q9",),
    )  # fmt: skip


def test_a_query_is_found_by_its_text(path: Path) -> None:
    store = FileJudgments(path)
    store.add_queries("articles", [Query("7", "copy")])
    assert query_for(store, "articles", "copy") == Query("7", "copy")
    assert query_for(store, "articles", "paste").query_id == query_id_of("paste")
    with pytest.raises(DataError, match="expected 1 to 10,000"):
        query_for(store, "articles", " ")


def test_queries_of_other_texts_under_the_same_ids_are_refused() -> None:
    with pytest.raises(DataError, match="query '1' is 'cook rice', but 'copy' in what is kept"):
        check_queries([Query("1", "copy")], [Query("1", "cook rice")])
    with pytest.raises(DataError, match="take a sample"):
        check_queries([], [Query(str(number), "text") for number in range(MOST_QUERIES + 1)])
    with pytest.raises(DataError, match="got 10,001 characters"):
        check_queries([], [Query("1", "x" * 10_001)])


@pytest.mark.parametrize("name", ["", " ann", "x" * 61, "<b>", "a\nb", "ann;", "a=b"])
def test_a_judge_has_a_plain_name(name: str) -> None:
    with pytest.raises(DataError, match="the judge"):
        check_judge(name)


@pytest.mark.parametrize("name", ["ann", "Zoë B.", "ann@example.org", "审查员"])
def test_names_of_people_are_good(name: str) -> None:
    check_judge(name)


@pytest.mark.parametrize(
    "change",
    [
        {"grade": -1}, {"grade": 10**6}, {"grade": True}, {"grade": "1"}, {"grade": 1.5}, {"doc_id": ""},
        {"doc_id": "x" * 513},
        {"doc_id": 5}, {"at_ms": 0}, {"at_ms": 2**60}, {"at_ms": "1"}, {"judge": "<b>"},
        {"query_id": None}, {"collection": None},
    ],
)  # fmt: skip
def test_a_judgment_that_cannot_be_kept_is_refused(change: dict[str, object]) -> None:
    row = {"collection": "a", "query_id": "q", "doc_id": "d", "judge": "j", "grade": 1, "at_ms": now_ms()}
    judgment_of(row).check()
    with pytest.raises(DataError):
        judgment_of(row | change).check()


# --- formats ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["qrels", "trec"])
def test_judgments_by_ids_come_back(key: str) -> None:
    found = read_upload("file", FORMATS[key].write(QUERIES, GRADES).encode())
    assert found.queries == ()
    assert set(found.grades) == {("q1", "d1", 3), ("q1", "d2", 0), ("q2", "d1", 1)}


@pytest.mark.parametrize("key", ["csv", "workbench"])
def test_judgments_by_texts_come_back(key: str) -> None:
    found = read_upload("file", FORMATS[key].write(QUERIES, GRADES).encode())
    texts = {query.query_id: query.text for query in found.queries}
    assert list(texts.values()) == list(QUERIES.values())
    expected = {(QUERIES[query], doc, grade) for query, row in GRADES.items() for doc, grade in row.items()}
    assert {(texts[query], doc, grade) for query, doc, grade in found.grades} == expected


def test_queries_come_back() -> None:
    found = read_upload("file", FORMATS["queries"].write(QUERIES, {}).encode())
    assert {query.query_id: query.text for query in found.queries} == QUERIES


def test_what_the_page_writes_ce2de_evaluate_reads(tmp_path: Path) -> None:
    for key in ("queries", "qrels"):
        (tmp_path / FORMATS[key].file).write_text(FORMATS[key].write(QUERIES, GRADES), encoding="utf-8")
    found = load_judged(tmp_path / "queries.jsonl", tmp_path / "qrels.tsv")
    assert (found.queries, found.qrels) == (QUERIES, GRADES)


def test_the_workbench_s_own_answer_is_read() -> None:
    ratings = [{"docId": "B07", "rating": "3.000"}, {"docId": "B01", "rating": "0.0"}]
    body = {
        "_source": {"type": "IMPORT_JUDGMENT", "judgmentRatings": [{"query": "c# book", "ratings": ratings}]}
    }
    found = read_upload("judgments.json", json.dumps(body).encode())
    assert found.queries == (Query(query_id_of("c# book"), "c# book"),)
    assert [grade for *_, grade in found.grades] == [3, 0]


def test_quepid_s_query_without_ratings_is_a_line_alone() -> None:
    found = read_upload("ratings.csv", b'\xef\xbb\xbfquery,docid,rating\r\nstar wars\r\n"a, b",d1,2\r\n')
    assert [query.text for query in found.queries] == ["star wars", "a, b"]
    assert [grade for *_, grade in found.grades] == [2]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"\xff\xfe", "not UTF-8"),
        (b"query,docid,rating\na,b\n", "file:2: got 2 columns"),
        (b"query,docid,rating\na,b,high\n", "the rating is 'high'"),
        (b"query,docid,rating\na,b,-1\n", "the rating is '-1'"),
        (b"query,docid,rating\na,b,0.5\n", "the rating is '0.5'"),
        (b'{"judgmentRatings": 5}', "without a list 'judgmentRatings'"),
        (b'{"judgmentRatings": [5]}', "expected an object with 'query'"),
        (b'{"judgmentRatings": [{"query": "a", "ratings": 5}]}', "expected 'docId' and 'rating'"),
        (b'{"judgmentRatings": [{"query": "a", "ratings": [{"docId": "d"}]}]}', "the rating is None"),
        (b"[" * 100_000, "nested too deeply"),
        (b"one two\n", "file:1: got 1 columns"),
        (b"q1\td1\tgood\n", "the grade is 'good'"),
        (b'{"_id": "1"}\n', "missing 'text'"),
    ],
)
def test_a_damaged_file_says_what_is_wrong_and_where(content: bytes, said: str) -> None:
    with pytest.raises(DataError) as raised:
        read_upload("file", content)
    assert said in str(raised.value)
    assert str(raised.value).startswith("file")


def test_an_id_that_trec_cannot_hold_is_refused() -> None:
    with pytest.raises(DataError, match="white space"):
        FORMATS["trec"].write({}, {"q 1": {"d": 1}})


def test_a_judgment_without_its_query_s_text_needs_the_text_for_some_formats() -> None:
    with pytest.raises(DataError, match=r"import its queries\.jsonl too"):
        FORMATS["csv"].write({}, GRADES)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    try:
        read_upload("file", content)
    except DataError as error:
        assert str(error)


# --- samples ----------------------------------------------------------------------------------------------


def test_a_sample_has_different_queries_and_is_the_same_each_time() -> None:
    log = "\n".join(["frequent"] * 500 + [f"rare {number}" for number in range(500)]).encode()
    chosen = sampled("log", log, 20)
    assert len({query.text for query in chosen}) == 20
    assert sampled("log", log, 20) == chosen
    assert "frequent" in {query.text for query in chosen}
    assert len(sampled("log", log, 10_000)) == 501


def test_a_log_of_json_lines_is_read() -> None:
    log = b'{"user_query": "copy"}\n{"query": "paste"}\n{"other": 1}\n{broken\n{"query": {"match_all": {}}}\n'
    assert {query.text for query in sampled("log", log, 10)} == {"copy", "paste"}


@pytest.mark.parametrize(("log", "number"), [(b"", 5), (b"\n \n", 5), (b"{}\n", 5), (b"copy", 0)])
def test_a_log_without_queries_is_refused(log: bytes, number: int) -> None:
    with pytest.raises(DataError):
        sampled("log", log, number)
