"""The cluster's settings: entries are added, and exactly these are taken away again."""

from __future__ import annotations

from typing import Any

import pytest

from ce2de_os.connect.cluster import (
    PRIVATE,
    TRUSTED,
    Values,
    closing,
    default_digest,
    entry,
    is_private,
    opening,
    trusts,
)

SERVICE = "http://127.0.0.1:8080"
BUILT_IN = ["^https://api\\.openai\\.com/.*$"]
OTHER = "^https://other\\.example\\.org/.*$"


def values(persistent: dict[str, Any], transient: dict[str, Any] | None = None) -> Values:
    defaults = {TRUSTED: BUILT_IN, PRIVATE: "false"}
    left = {key: value for key, value in defaults.items() if key not in persistent}
    return Values({"persistent": persistent, "transient": transient or {}, "defaults": left})


def changes(steps: list[Any]) -> Any:
    return steps[0].body if steps else None


def test_the_built_in_entries_stay() -> None:
    assert changes(opening(values({}), SERVICE)) == {
        "persistent": {TRUSTED: [*BUILT_IN, entry(SERVICE)], PRIVATE: True}
    }


def test_an_entry_that_fits_is_enough() -> None:
    there = values({TRUSTED: ["^http://127\\..*$"], PRIVATE: "true"})
    assert trusts(there, SERVICE)
    assert opening(there, SERVICE) == []


def test_a_transient_setting_is_changed_where_it_is() -> None:
    there = values({PRIVATE: "true"}, {TRUSTED: [OTHER]})
    assert changes(opening(there, SERVICE)) == {"transient": {TRUSTED: [OTHER, entry(SERVICE)]}}


def test_a_newer_allow_list_of_private_addresses_is_extended_only_if_it_is_used() -> None:
    name = "plugins.ml_commons.connector.trusted_connector_private_endpoints_regex"
    used = values({TRUSTED: [entry(SERVICE)], PRIVATE: "true", name: [OTHER]})
    assert changes(opening(used, SERVICE)) == {"persistent": {name: [OTHER, entry(SERVICE)]}}
    unused = values({TRUSTED: [entry(SERVICE)], PRIVATE: "true", name: []})
    assert opening(unused, SERVICE) == []


def test_the_default_comes_back_if_nobody_had_set_anything() -> None:
    digest = default_digest(values({}))
    now = values({TRUSTED: [*BUILT_IN, entry(SERVICE)], PRIVATE: "true"})
    assert changes(closing(now, {entry(SERVICE)}, digest, private=True)) == {
        "persistent": {TRUSTED: None, PRIVATE: None}
    }


def test_entries_of_others_stay() -> None:
    digest = default_digest(values({}))
    now = values({TRUSTED: [*BUILT_IN, entry(SERVICE), OTHER], PRIVATE: "true"})
    assert changes(closing(now, {entry(SERVICE)}, digest, private=False)) == {
        "persistent": {TRUSTED: [*BUILT_IN, OTHER]}
    }


def test_a_list_that_was_set_stays_set_even_if_it_equals_the_default() -> None:
    before = values({TRUSTED: BUILT_IN})
    now = values({TRUSTED: [*BUILT_IN, entry(SERVICE)]})
    assert changes(closing(now, {entry(SERVICE)}, default_digest(before), private=False)) == {
        "persistent": {TRUSTED: BUILT_IN}
    }


def test_nothing_is_taken_that_was_not_added() -> None:
    assert closing(values({TRUSTED: [entry(SERVICE)], PRIVATE: "true"}), (), None, private=False) == []


@pytest.mark.parametrize(
    ("service", "private"),
    [
        ("http://127.0.0.1:1", True),
        ("http://10.1.2.3", True),
        ("http://[::1]:1", True),
        ("https://1.1.1.1", False),
    ],
)
def test_private_addresses_are_known(service: str, private: bool) -> None:
    assert is_private(service) is private
