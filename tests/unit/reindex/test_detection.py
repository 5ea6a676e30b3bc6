"""Which language a document is in: read from a field, else detected."""

# ruff: noqa: RUF001 - other scripts have letters that look like Latin ones

import sys

import pytest
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from ce2de_os.errors import MissingExtraError
from ce2de_os.export.canary import BY_LANGUAGE
from ce2de_os.index.language_fields import UNDETECTED, LanguageSpec
from ce2de_os.languages import ANALYZERS, normalized
from ce2de_os.reindex.slices.detection import READ_CHARS, _identifier, detect, languages_of

WANTED = ("en", "it", "de")


@pytest.mark.parametrize(
    ("code", "text"), [(code, text) for code, texts in BY_LANGUAGE.items() for text in texts]
)
def test_sentences_of_many_languages(code, text):
    assert detect(text, ("en", *BY_LANGUAGE)) == code
    assert detect(text, ("en", code)) == code
    assert detect(text, tuple({"en", "de", "it"} - {code})) is None  # it is in none of these


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("How do I renew a passport?", "en"),
        ("Vendo bicicletta rossa usata, poco prezzo", "it"),
        ("DER HUND SCHLÄFT IM GARTEN", "de"),
        ("The Japanese word 図書館 means a library that lends books", "en"),  # mixed scripts
        ("Der Artikel hat die Nummer 4711-0815/22 und kostet 12,50 €", "de"),
        ("\u200fالمكتبة مغلقة يوم الجمعة\u200f", None),  # from right to left
        ("הספרייה סגורה בימי שישי", None),
        ("図書館は金曜日に休みです", None),
        ("El gato duerme en el sofá", None),
        ("4711 0815 1234", None),
        ("3,14", None),
        ("OK", None),
        ("a", None),
        ("!!! ???", None),
        ("😀😀", None),
        ("x" * 50, None),
        ("half \ud800 a pair", "en"),  # JSON can say that
        ("", None),
    ],
)
def test_texts_that_say_much_or_little(text, language):
    assert detect(text, WANTED) == language


@pytest.mark.parametrize("text", ["4711", "OK", "", "図書館は金曜日に休みです"])
def test_of_a_single_language_nothing_is_taken_for_granted(text):
    assert detect(text, ("en",)) is None


def test_varieties_of_chinese_are_chinese():
    assert detect("今天天气很好，我们一起去公园散步吧。", ("en", "zh")) == "zh"


def test_only_the_beginning_is_read():
    assert detect("The river is high today. " * 200 + "Der Fluss steht hoch. " * 5000, WANTED) == "en"
    assert READ_CHARS < 200 * 25


def test_the_field_counts_before_the_text():
    spec = LanguageSpec(WANTED, "meta.lang")
    english = "The river is high today."
    sources = [
        {"meta": {"lang": "it-IT"}},
        {"meta": {"lang": ["deu", "en"]}},
        {"meta.lang": "es"},
        {"meta": {"lang": "klingon"}},
        {"meta": {"lang": 42}},
        {"meta": {"lang": None}},
        {},
        {"meta": {"lang": "it"}},
    ]
    found = languages_of(spec, sources, [english] * 7 + [""])
    assert found.languages == ["it", "de", "other", "en", "en", "en", "en", None]
    assert (found.unknown, found.other) == (2, 1)


def test_without_languages_nobody_asks():
    assert languages_of(None, [{"lang": "it"}, {}], ["a", ""]).languages == [None, None]


def test_the_detector_knows_every_language_with_an_analyzer_but_those_that_are_named():
    labels = LanguageIdentifier.from_model_file(MODEL_FILE).labels
    assert set(ANALYZERS) - {normalized(label) for label in labels} == UNDETECTED


def test_a_detector_that_is_not_installed_is_named(monkeypatch):
    _identifier.cache_clear()
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    with pytest.raises(MissingExtraError, match=r"py3langid.* pip install .*\[languages\]"):
        detect("The river is high today.", WANTED)
    spec = LanguageSpec(WANTED, "lang")  # where every document says its language, nothing is missing
    assert languages_of(spec, [{"lang": "de"}], ["Der Fluss steht hoch."]).languages == ["de"]
