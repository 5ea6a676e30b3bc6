from __future__ import annotations

from dataclasses import replace

import pytest

from ce2de_os.reindex.failures import error_line, error_location, is_failure, redacted
from ce2de_os.reindex.job import Range, Slice
from ce2de_os.reindex.ledger import after_death, after_failure, is_poisoned


def raised(call: object) -> BaseException:
    with pytest.raises(BaseException) as caught:
        call()  # type: ignore[operator]
    return caught.value


def test_a_worker_outlives_errors_but_not_its_own_end() -> None:
    assert is_failure(RecursionError())
    assert is_failure(TypeError("x"))
    assert not is_failure(KeyboardInterrupt())
    assert not is_failure(SystemExit(1))


def test_a_panic_of_tokenizers_is_a_failure_though_it_is_no_exception() -> None:
    panic = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})
    assert is_failure(panic("index out of range"))


def test_a_failure_is_told_in_one_line_and_its_place_without_its_message() -> None:
    error = raised(lambda: {}["secret\nand more"])
    assert "\n" not in error_line(error)
    assert error_line(ValueError("first\nsecond")) == "ValueError: first"
    assert error_line(RecursionError()) == "RecursionError"
    assert error_location(error).startswith(__file__[:1])
    assert "secret" not in error_location(error)


def test_a_slice_that_fails_is_looked_through_as_one_that_kills() -> None:
    record = Slice("j", 0, Range(0, 0, -1, None), cursor=-1)
    seen = []
    while not is_poisoned(record):
        record = replace(record, **after_failure(record))
        seen.append((record.failures, record.deaths, record.page_limit))
    assert seen == [(1, 0, 16), (2, 0, 1), (3, 0, 1)]


def test_deaths_and_failures_at_one_document_add_up() -> None:
    record = Slice("j", 0, Range(0, 0, -1, None), cursor=-1)
    for change in (after_failure, after_death, after_failure, after_death):
        assert not is_poisoned(record)
        record = replace(record, **change(record))
    assert is_poisoned(record)


def test_workers_that_were_killed_or_lost_a_lease_condemn_no_document() -> None:
    """A lease runs out in a pause, then two workers are killed before they read the document alone."""
    record = Slice("j", 0, Range(0, 0, -1, None), cursor=-1)
    for _ in range(3):
        record = replace(record, **after_death(record))
    assert not is_poisoned(record)


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        (
            "failed to parse field [price] of type [integer] in document with id '0'. "
            "Preview of field's value: 'it's secret'",
            "failed to parse field [price] of type [integer] in document with id '0'. "
            "Preview of field's value: …",
        ),
        ('For input string: "secret"', "For input string: …"),
        ("failed to parse date field [secret] with format [x]", "failed to parse date field …"),
        ("Value [secret] is out of range for an integer", "Value … is out of range for an integer"),
        (
            "Failed to parse value [secret] as only [true] or [false] are allowed.",
            "Failed to parse value … are allowed.",
        ),
        ("'secret' is not an IP string literal.", "… is not an IP string literal."),
        ("Numeric value (secret) out of range of int", "Numeric value … out of range of int"),
        ("KeyError: 'se]cr\"et'", "KeyError: …"),
        ("the first immense term is: '[115, 101]'", "the first immense term is: …"),
        ("dynamic introduction of [x] within [_doc] is not allowed",) * 2,
        ("object mapping for [a.b] tried to parse field [b] as object",) * 2,
        ("Limit of total fields [1000] has been exceeded",) * 2,
    ],
)
def test_the_ledger_quotes_no_values_of_documents(reason: str, kept: str) -> None:
    assert redacted(reason) == kept
