"""``ce2de distill`` into two other languages, from the command line."""

from __future__ import annotations

import json
import random

import pytest
from click.testing import CliRunner

from ce2de_os.cli import cli
from ce2de_os.distill.data.score_file import read_scores
from ce2de_os.errors import Ce2deError, ConfigError
from tests.unit.distill.tiny import WORDS, save_tiny_cross_encoder, sets

COUNT = 90


def invoke(*arguments):
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    if isinstance(result.exception, Ce2deError):
        raise result.exception
    return result


def ok(*arguments):
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Documents in three languages; German lacks every fifth, and the last is translated only."""
    folder = tmp_path_factory.mktemp("parallel")
    for language in ("en", "it", "de"):
        rng, rows = random.Random(language), []
        for number in range(COUNT):
            words = rng.choices(WORDS, k=25)
            rows.append(
                {"_id": f"d{number}", "title": " ".join(rng.sample(words, 3)), "text": " ".join(words)}
            )
        if language == "de":
            rows = [row for number, row in enumerate(rows) if number % 5]
            rows.append({"_id": "x", "title": "", "text": "bab"})
        (folder / f"{language}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "more.tsv").write_text("bab beg\tbip bon\nbut\tcab\n")
    (folder / "other.jsonl").write_text('{"_id": "y", "text": "bab"}\n')
    (folder / "empty.jsonl").write_text("")
    save_tiny_cross_encoder(folder / "ce")
    return folder


@pytest.fixture
def base(folder, teacher_folder, tmp_path):
    return (
        "distill", "--corpus", folder / "en.jsonl", "--query-field", "title", *sets(max_queries=30),
        "--teacher", teacher_folder, "--cross-encoder", folder / "ce",
        *sets(layers=[0, 2], candidates=10, tokens=4000, unique_tokens=6000, threads=1),
        "--out", tmp_path / "run", "--json",
    )  # fmt: skip


def test_a_student_of_two_languages(base, folder, tmp_path):
    translations = sets(translations={"it": f"{folder}/it.jsonl", "de": f"{folder}/de.jsonl"})
    more = sets(parallel={"it": f"{folder}/more.tsv"}, missing_translations="skip", mixing="passages")
    facts = ok(
        *base,
        *translations,
        *more,
        *sets(compared_candidates=4, losses={"l2": 1, "kl": 0.2}),
        "--until",
        "report",
    )
    complete = {"kind": "documents", "language": "it", "originals": COUNT, "missing": 0, "unknown": 0}
    partial = {"kind": "documents", "language": "de", "originals": COUNT, "missing": 18, "unknown": 1}
    recipe = facts["recipe"]
    assert facts["translations"] == recipe["translations"] == [complete, partial]
    assert recipe["languages"] == {
        "original": "en",
        "selector": "en-en",
        "teacher": "en-en",
        "student": "en-it,de",
    }
    assert (recipe["mixing"], recipe["candidates"], recipe["queries"]) == ("passages", 4, 30)
    assert 0 < recipe["query_candidates"]["de"] < recipe["query_candidates"]["it"] == 300
    assert set(recipe["texts"]) == {"en", "it (it)", "de (de)", "more (it)"}
    page = (tmp_path / "run" / "report.html").read_text()
    assert "passages" in page
    assert "en-it,de" in page


def test_the_selector_searches_the_translations(base, folder, tmp_path):
    queries = tmp_path / "it.tsv"
    rows = [json.loads(line) for line in (folder / "it.jsonl").read_text().splitlines()]
    queries.write_text("".join(f"{row['_id']}\t{row['title']}\n" for row in rows))
    options = (
        *sets(translations={"it": f"{folder}/it.jsonl"}, translated_queries={"it": queries}),
        *sets(selector="it-it"), "--until", "candidates",
    )  # fmt: skip
    assert ok(*base, *options)["translations"][-1]["kind"] == "queries"
    found = dict(read_scores(tmp_path / "run" / "candidates.jsonl.gz"))
    texts = {row["_id"]: set(row["text"].split()) for row in rows}
    titles = {row["_id"]: set(row["title"].split()) for row in rows}
    for query_id, ranking in found.items():
        assert all(titles[query_id] & texts[doc.doc_id] for doc in ranking)


@pytest.mark.parametrize("translated", [True, False], ids=["translate-train", "zero-shot"])
def test_baselines_come_from_the_same_command(base, folder, translated):
    """Labels alone on translated documents; and English alone."""
    options = sets(translations={"it": f"{folder}/it.jsonl"}) if translated else ()
    recipe = ok(*base, *options, *sets(losses={"contrastive": 1}), "--until", "student")["recipe"]
    assert recipe["query_candidates"] == {"it" if translated else "en": 300}
    assert recipe["passages"] == 0


def test_a_vocabulary_is_not_extended_from_nothing(base, folder):
    """Rankings alone read no texts; the pieces of a new language come from its translations."""
    options = (*sets(losses={"contrastive": 1}, extend_vocabulary=20), "--until", "student")
    with pytest.raises(ConfigError, match="no text to learn pieces from"):
        invoke(*base, *options)
    facts = ok(*base, *options, *sets(translations={"it": f"{folder}/it.jsonl"}))
    assert facts["recipe"]["vocabulary"]["pieces_before"] == 5 + len(WORDS)


def test_the_best_checkpoint_is_that_of_translated_documents(base, folder, tmp_path):
    judged = tmp_path / "judged"
    judged.mkdir()
    (judged / "corpus.jsonl").write_text((folder / "en.jsonl").read_text())
    (judged / "queries.jsonl").write_text('{"_id": "q", "text": "bab beg"}\n')
    (judged / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq\td1\t1\n")
    options = (
        *sets(losses={"l2": 1}),
        "--until",
        "student",
        *sets(dev_translations={"de": f"{folder}/de.jsonl"}),
    )
    recipe = ok(*base, *options, *sets(dev=judged))["recipe"]
    assert recipe["dev_metric"] == "nDCG@10 on judged (de)"
    with pytest.raises(ConfigError, match=r"set evaluate\.dev"):
        invoke(*base, "--out", tmp_path / "other", *options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (sets(translations={"it": "{}/other.jsonl"}), r"other\.jsonl: none of its 1 ids is among"),
        (sets(translations={"it": "{}/empty.jsonl"}), r"empty\.jsonl: holds no document"),
        (
            sets(translations={"de": "{}/de.jsonl"}),
            r"18 documents have no translation \(d0, d10, d15, …\); 1 tran",
        ),
        (
            [*sets(translations={"it": "a"}), *sets(translations={"it": "b"})],
            "got languages.translations twice",
        ),
        (sets(translations={"en": "a"}), "'en' is the language of the originals"),
        (sets(student="en-it"), "no documents in 'it'; add languages.translations.it=FILE"),
        (sets(teacher="en-it"), "languages.teacher: got en-it, but there are no documents in 'it'"),
        (sets(selector="it-en"), "no queries in 'it'; add languages.translated_queries.it=FILE"),
        (sets(parallel={"it": "{}/none.tsv"}), r"none\.tsv: No such file"),
        (
            sets(compared_candidates=11),
            "no query has the 11 scored candidates .*lower rankings.compared_candidates",
        ),
    ],
)
def test_what_does_not_fit_is_one_line(base, folder, arguments, message):
    with pytest.raises(Ce2deError, match=message) as error:
        invoke(*base, *(argument.replace("{}", str(folder)) for argument in arguments))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            sets(translations="it.jsonl"),
            'languages.translations: got "it.jsonl", expected a file for each language',
        ),
        (sets(translations={"it": "it.jsonl"}), "set documents.index or documents.corpus"),
        (sets(translated_queries={"it": "it.tsv"}), "set one of rankings.queries"),
    ],
)
def test_options_that_do_not_go_together(tmp_path, arguments, message):
    with pytest.raises(ConfigError, match=message):
        invoke("distill", "--out", tmp_path / "run", *arguments)
