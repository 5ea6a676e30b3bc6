from __future__ import annotations

import pytest

from ce2de_os.reindex.setup.naming import base_of, default_names, rollover_pattern

FINGERPRINT = "abcdef0123456789"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("articles", "articles-ce2de-abcdef01-000001"),
        ("articles-000007", "articles-000007-ce2de-abcdef01-000001"),
        (".ds-logs-app-000001", "logs-app-000001-ce2de-abcdef01-000001"),
        ("articles-ce2de-99999999", "articles-ce2de-abcdef01-000001"),  # as they were named earlier
        ("articles-ce2de-99999999-000001", "articles-ce2de-abcdef01-000001"),
        ("articles-ce2de-99999999-000002", "articles-ce2de-abcdef01-000002"),  # it was rolled over
        ("ce2de-articles-99999999-000003", "articles-ce2de-abcdef01-000003"),
    ],
)
def test_a_copy_is_named_after_its_source_and_model_and_can_roll_over(source, expected):
    assert next(default_names(source, FINGERPRINT)) == expected


def test_the_second_name_begins_in_another_way():
    assert list(default_names("articles", FINGERPRINT))[1] == "ce2de-articles-abcdef01-000001"


def test_a_long_name_is_shortened_and_stays_distinct():
    one, other = ("ä" * 120 + end for end in ("one", "other"))
    names = [name for source in (one, other) for name in default_names(source, FINGERPRINT)]
    assert len(set(names)) == 4
    assert all(len(name.encode()) <= 255 for name in names)
    assert names == [name for source in (one, other) for name in default_names(source, FINGERPRINT)]


def test_names_of_others_are_kept_whole():
    assert base_of("my-12345678") == ("my-12345678", "-000001")
    assert base_of("ce2de-notes") == ("ce2de-notes", "-000001")


def test_what_rolls_over_is_known_by_its_number():
    assert rollover_pattern("articles-ce2de-abcdef01-000001") == "articles-ce2de-abcdef01-*"
    assert rollover_pattern("articles-v2x") is None
