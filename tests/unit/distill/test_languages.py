"""Who reads which language."""

from __future__ import annotations

import pytest

from ce2de_os.distill.data.languages import Languages, read_languages
from ce2de_os.errors import ConfigError


def test_without_translations_everybody_reads_the_originals():
    assert read_languages("en") == Languages()
    assert read_languages("fr").plain() == {
        "original": "fr",
        "selector": "fr-fr",
        "teacher": "fr-fr",
        "student": "fr-fr",
    }


def test_translations_are_for_the_student_unless_said_otherwise():
    assert read_languages("en", ["it", "de"]).plain() == {
        "original": "en",
        "selector": "en-en",
        "teacher": "en-en",
        "student": "en-it,de",
    }
    named = read_languages("en", ["it", "de"], selector="it-it", teacher="en-de", student="de-de,en")
    assert named.plain() == {"original": "en", "selector": "it-it", "teacher": "en-de", "student": "de-de,en"}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"student": "en"}, "languages.student: got 'en', expected .* such as en-it or en-it,de"),
        ({"student": "en-it,it"}, "each language of documents once"),
        ({"student": "en-it,"}, "languages.student: got 'en-it,'"),
        ({"teacher": "en-it,de"}, "languages.teacher: got 'en-it,de', expected one language of documents"),
        ({"selector": "-it"}, "languages.selector: got '-it'"),
    ],
)
def test_what_is_no_setting_is_refused(setting, message):
    with pytest.raises(ConfigError, match=message):
        read_languages("en", ["it", "de"], **setting)


def test_the_original_language_is_a_code():
    with pytest.raises(ConfigError, match=r"languages\.original: got 'en-us', expected a code such as en"):
        read_languages("en-us")
