import gzip
import json
from pathlib import Path

import pytest

from ce2de_os.cli.demonstration import steps as demo_steps
from ce2de_os.errors import DataError
from ce2de_os.records import Document


def write_corpus(path: Path, rows: list[dict[str, object]]) -> Path:
    with gzip.open(path, "wt") if path.suffix == ".gz" else path.open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def test_without_a_corpus_python_s_own_documents_are_shown() -> None:
    plan = demo_steps.plan(None, ())
    assert (plan.source, plan.alias) == ("python-docs", "python-docs-search")
    assert plan.questions == demo_steps.PYTHON_QUESTIONS
    assert len(plan.questions) == 5


def test_own_questions_take_the_place_of_the_built_in_ones() -> None:
    assert demo_steps.plan(None, ("who", "where")).questions == ("who", "where")


@pytest.mark.parametrize("name", ["corpus.jsonl", "corpus.jsonl.gz"])
def test_a_corpus_is_asked_for_the_titles_of_five_of_its_documents(tmp_path: Path, name: str) -> None:
    rows: list[dict[str, object]] = [{"_id": str(n), "title": f"title {n}", "text": "x"} for n in range(20)]
    plan = demo_steps.plan(write_corpus(tmp_path / name, rows), ())
    assert plan.source == "demo-corpus"
    assert len(set(plan.questions)) == 5
    assert set(plan.questions) <= {str(row["title"]) for row in rows}
    assert [document.doc_id for document in plan.documents()] == [str(n) for n in range(20)]


def test_the_same_titles_are_chosen_in_whatever_order_they_come() -> None:
    documents = [Document(str(n), f"title {n}", "") for n in range(50)]
    assert demo_steps.sample_titles(documents) == demo_steps.sample_titles(reversed(documents))


def test_first_words_stand_for_a_missing_title() -> None:
    text = "one two three four five six seven eight nine"
    assert demo_steps.sample_titles([Document("a", " ", text), Document("b", "", "")]) == (
        "one two three four five six seven eight",
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no document"),
        ('{"_id": "1", "text": ""}\n', "holds no document"),
        ('{"_id": "1", "text": "a"}\n{"_id": "2"}\n', r"corpus.jsonl:2: missing 'text'"),
        ('{"_id": "1", "text": "a"}\n{"_id": \n', "corpus.jsonl:2: not JSON"),
    ],
    ids=["empty", "blank", "no text", "not JSON"],
)
def test_a_bad_corpus_is_refused_before_anything_starts(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        demo_steps.plan(path, ())
