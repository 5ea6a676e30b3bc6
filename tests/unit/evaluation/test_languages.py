"""Rankings over several languages, by hand."""

from __future__ import annotations

import pytest

from ce2de_os.errors import DataError
from ce2de_os.evaluation import Collection, Judged, mixed_qrels
from ce2de_os.evaluation.languages import (
    listed_language,
    mixed_collection,
    mixed_language,
    qrels_by_language,
    ranked_shares,
    relevant_shares,
    runs_by_language,
)
from ce2de_os.records import Document, ScoredDoc

LANGUAGE = mixed_language({"it", "de"})
HELD = {"it": {"1", "2", "3"}, "de": {"1", "4"}}
# The relevant document 1 has two translations, 2 one, 9 none.
QRELS = {"q1": {"1": 2, "2": 1, "4": 0, "9": 1}, "q2": {"4": 1}, "q3": {"9": 1, "3": 0}}
MIXED = {"q1": {"it:1": 2, "de:1": 2, "it:2": 1, "de:4": 0}, "q2": {"de:4": 1}}


def run_of(*doc_ids):
    return [ScoredDoc(doc_id, -float(rank)) for rank, doc_id in enumerate(doc_ids)]


RUNS = {"q1": run_of("it:3", "de:1", "it:1", "it:2"), "q2": run_of("de:4", "it:4")}


def test_every_translation_of_a_relevant_document_is_relevant():
    assert mixed_qrels(HELD, QRELS) == MIXED


def test_a_mixed_collection_holds_each_translation():
    corpora = {
        "it": iter([Document("1", "Aquiloni", "Volano."), Document("2", "", "Due.")]),
        "de": [Document("1", "Drachen", "Sie fliegen.")],
    }
    judged = Judged({"q1": "kites", "q2": "nothing"}, {"q1": {"1": 1}, "q2": {"4": 1}})
    assert mixed_collection(corpora, judged) == Collection(
        "it+de", ["it:1", "it:2", "de:1"], ["Aquiloni. Volano.", "Due.", "Drachen. Sie fliegen."],
        ["q1"], ["kites"], {"q1": {"it:1": 1, "de:1": 1}},
    )  # fmt: skip


def test_judgements_of_other_documents_are_refused():
    with pytest.raises(DataError, match="no relevant document is in it, de, the first one judged is 'it:1'"):
        mixed_qrels(HELD, {"q1": {"it:1": 1}})


def test_each_language_has_its_own_judgements():
    assert qrels_by_language(MIXED, LANGUAGE) == {
        "de": {"q1": {"de:1": 2, "de:4": 0}, "q2": {"de:4": 1}},
        "it": {"q1": {"it:1": 2, "it:2": 1}},
    }
    # A language with irrelevant documents alone is not judged.
    assert qrels_by_language({"q": {"it:1": 1, "de:1": 0}}, LANGUAGE) == {"it": {"q": {"it:1": 1}}}


def test_rankings_are_taken_apart_in_order():
    assert runs_by_language(RUNS, LANGUAGE) == {
        "it": {
            "q1": [ScoredDoc("it:3", 0), ScoredDoc("it:1", -2), ScoredDoc("it:2", -3)],
            "q2": [ScoredDoc("it:4", -1)],
        },
        "de": {"q1": [ScoredDoc("de:1", -1)], "q2": [ScoredDoc("de:4", 0)]},
    }


def test_shares_are_means_over_queries():
    assert ranked_shares(RUNS, LANGUAGE, 3) == {
        "de": pytest.approx((1 / 3 + 1 / 2) / 2), "it": pytest.approx((2 / 3 + 1 / 2) / 2),
    }  # fmt: skip
    assert ranked_shares({**RUNS, "q3": []}, LANGUAGE, 1) == {"de": 1 / 2, "it": 1 / 2}
    assert ranked_shares({"q3": []}, LANGUAGE, 1) == {}
    assert relevant_shares(MIXED, LANGUAGE) == {
        "de": pytest.approx((1 / 3 + 1) / 2), "it": pytest.approx((2 / 3 + 0) / 2),
    }  # fmt: skip


@pytest.mark.parametrize("doc_id", ["1", "fr:1", ":1", ""])
def test_a_document_of_no_known_language_is_named(doc_id):
    with pytest.raises(
        DataError, match=f"document '{doc_id}': its language is not known; expected 'de:' or 'it:'"
    ):
        LANGUAGE(doc_id)


def test_languages_by_a_list():
    language_of = listed_language({"a": "it"})
    assert language_of("a") == "it"
    with pytest.raises(DataError, match="document 'b': its language is not known; expected every document"):
        language_of("b")
