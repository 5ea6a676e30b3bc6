import pytest

from ce2de_os.cli.demonstration.corpus import clean, module_docstrings, python_documents, sections
from ce2de_os.records import Document

MODULE = '''
"""Sorts things."""

class Heap:
    """A heap keeps its least element first."""

    def push(self, item):
        """Put an item in."""

    def _sift(self):
        """Private."""

    async def drain(self):
        def inner():
            """Of no use from outside."""
'''


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return list(python_documents())


def test_the_demo_has_thousands_of_distinct_documents_in_the_same_order_every_time(documents):
    assert len(documents) >= 3000
    assert len({document.doc_id for document in documents}) == len(documents)
    assert len({document.text for document in documents}) == len(documents)
    assert documents == list(python_documents())


def test_well_known_things_are_among_the_documents(documents):
    ids = {document.doc_id for document in documents}
    assert {"shutil.copytree", "builtins.str.split", "itertools.chain", "os.replace", "heapq"} <= ids


def test_private_names_and_inner_functions_are_left_out():
    names = [name for name, text in module_docstrings(MODULE, "sorting") if text]
    assert names == ["sorting", "sorting.Heap", "sorting.Heap.push"]


def test_a_file_that_is_not_python_has_no_docstrings():
    assert list(module_docstrings("def (:", "broken")) == []


def test_interactive_examples_are_cut_and_prose_is_kept():
    docstring = """Add numbers.

    >>> add(1,
    ...     2)
    3

    Both must be finite.
    """
    assert clean(docstring) == "Add numbers.\n\nBoth must be finite."


def test_a_page_is_cut_at_its_underlined_headings():
    page = "Intro.\n\nStrings\n*******\n\nText.\n\nEscapes\n=======\n\nBackslash."
    assert [(heading, text.strip()) for heading, text in sections(page)] == [
        ("", "Intro."),
        ("Strings", "Text."),
        ("Escapes", "Backslash."),
    ]


def test_a_signature_before_the_prose_is_cut():
    assert clean("sleep(seconds)\n\nDelay execution.") == "Delay execution."
    assert clean("range(stop) -> range\nrange(start, stop) -> range\n\nCount.") == "Count."
    assert clean("call(this) when done\n\nAgain.") == "call(this) when done\n\nAgain."
