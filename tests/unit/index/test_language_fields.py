"""The fields that hold each document's text under the analyzer of its language."""

import pytest

from ce2de_os.errors import ConfigError
from ce2de_os.index.language_fields import LanguageSpec, language_paths, language_spec

SPEC = LanguageSpec(("en", "it"), "lang")


def test_each_language_has_its_analyzer_and_the_rest_the_standard_one():
    assert SPEC.properties("v") == {
        "v_text": {
            "properties": {
                "en": {"type": "text", "analyzer": "english"},
                "it": {"type": "text", "analyzer": "italian"},
                "other": {"type": "text", "analyzer": "standard"},
            }
        },
        "v_language": {"type": "keyword"},
    }
    assert language_paths("v", SPEC.codes) == ("v_text.en", "v_text.it", "v_text.other")


def test_a_new_document_has_its_text_in_one_field():
    assert SPEC.values("v", "it", "ciao") == {"v_text": {"it": "ciao"}, "v_language": "it"}
    assert SPEC.values("v", None, "") == {}


def test_an_update_clears_the_fields_of_the_other_languages():
    """OpenSearch merges the objects of a partial update, so what is to go must be named."""
    assert SPEC.update("v", "other", "7") == {
        "v_text": {"en": None, "it": None, "other": "7"},
        "v_language": "other",
    }
    assert SPEC.update("v", None, "") == {"v_text": None, "v_language": None}


@pytest.mark.parametrize(
    ("source", "holds"),
    [
        ({"v_text": {"it": "ciao"}, "v_language": "it"}, True),
        ({"v_text": {"it": "ciao", "en": None}, "v_language": "it"}, True),
        ({"v_text": {"it": "ciao", "en": "ciao"}, "v_language": "it"}, False),  # left from another language
        ({"v_text": {"it": "salve"}, "v_language": "it"}, False),
        ({"v_text": {"it": "ciao"}}, False),
        ({"v_text": None, "v_language": None}, False),
        ({}, False),
    ],
)
def test_whether_a_document_is_right_already(source, holds):
    assert SPEC.holds(source, "v", "it", "ciao") is holds


@pytest.mark.parametrize("source", [{}, {"v_text": None, "v_language": None}])
def test_a_document_without_text_is_right_without_the_fields(source):
    assert SPEC.holds(source, "v", None, "")
    assert not SPEC.holds({"v_language": "it"}, "v", None, "")


def test_the_ledger_keeps_it():
    assert LanguageSpec.from_source(SPEC.to_source()) == SPEC
    assert LanguageSpec.from_source({"codes": ["en"]}) == LanguageSpec(("en",))


def test_the_command_line():
    assert language_spec(None) is None
    assert language_spec("en,ita", "lang") == SPEC
    assert language_spec("ckb", "lang") == LanguageSpec(("ckb",), "lang")


@pytest.mark.parametrize(
    ("codes", "field", "told"),
    [
        (None, "lang", "`language_field=lang`: name the languages"),
        ("en,ckb", None, "'ckb' cannot be detected in a text; name the field"),
        ("klingon", None, "languages: got 'klingon'"),
    ],
)
def test_a_command_line_that_makes_no_sense(codes, field, told):
    with pytest.raises(ConfigError, match=told):
        language_spec(codes, field)
