"""Codes of languages as people write them."""

import pytest

from ce2de_os.errors import ConfigError
from ce2de_os.languages import ANALYZERS, CODES, analyzer, normalized, parse_languages


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("it", "it"),
        ("it-IT", "it"),
        ("it_IT", "it"),
        ("ITA", "it"),
        (" it ", "it"),
        ("zh-Hans-CN", "zh"),
        ("ger", "de"),  # the bibliographic code beside deu
        ("nb", "no"),
        ("ckb", "ckb"),
        ("italian", None),
        ("und", None),
        ("xx", None),
        ("", None),
        ("12", None),
    ],
)
def test_what_a_value_names(value, code):
    assert normalized(value) == code


def test_every_code_names_itself_and_every_analyzer_has_a_code():
    assert [normalized(code) for code in CODES] == list(CODES)
    assert set(ANALYZERS) <= set(CODES)


def test_a_language_without_an_analyzer_gets_the_standard_one():
    assert (analyzer("pl"), analyzer("ja"), analyzer("it")) == ("standard", "cjk", "italian")


def test_a_list_keeps_its_order_and_names_each_language_once():
    assert parse_languages(" it-IT, en,ita ,de") == ("it", "en", "de")


@pytest.mark.parametrize("text", ["", " , ", "en,klingon", "en;it"])
def test_a_list_that_names_no_language(text):
    with pytest.raises(ConfigError, match="expected codes such as en,it,de; there are af, am"):
        parse_languages(text)
