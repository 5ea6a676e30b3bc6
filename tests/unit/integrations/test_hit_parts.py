from __future__ import annotations

import subprocess
import sys

import pytest

from ce2de_os.errors import DataError, install_command
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.integrations.hit_parts import HitParts
from ce2de_os.records import Hit, Passage
from ce2de_os.search.result import SearchResult, Timings

SOURCE = {"title": "Copy", "body": "a folder", "lang": "en", "id": "of the source"}


def read(content=None, metadata=None, text=None, **values):
    hit = Hit("a", 0.5, 1, SOURCE, None, None, **values)
    spec = text or TextSpec(("title", "body"))
    result = SearchResult((hit,), None, None, 1, False, (), 0, 0, None, None, None, spec, Timings(0, 0, 0))
    (part,) = HitParts.of(content, metadata).read(result)
    return part


def test_the_embedded_text_is_the_content_and_the_rest_metadata():
    part = read()
    assert (part.doc_id, part.content, part.score) == ("a", "Copy\na folder", 0.5)
    assert part.metadata == {"lang": "en", "id": "a", "score": 0.5, "rank": 1}


def test_a_template_makes_the_content_as_it_made_the_embedded_text():
    assert read(text=TextSpec(("title", "body"), "{title}: {body}")).content == "Copy: a folder"


def test_fields_can_be_chosen():
    part = read(["body"], ["title", "nowhere"])
    assert part.content == "a folder"
    assert part.metadata == {"title": "Copy", "id": "a", "score": 0.5, "rank": 1}


def test_own_values_are_reachable_by_name():
    part = read(metadata=["id", "rank"])
    assert part.metadata == {"id": "of the source", "score": 0.5, "rank": 1}
    assert part.doc_id == "a"


def test_a_dotted_path_is_followed():
    hit = Hit(
        "a", 0.5, 1, {"title": "x", "author": [{"name": "A"}, {"name": "B"}], "n": {"m": 1}}, None, None
    )
    spec, times = TextSpec(("title",)), Timings(0, 0, 0)
    result = SearchResult((hit,), None, None, 1, False, (), 0, 0, None, None, None, spec, times)
    (part,) = HitParts.of(None, ["author.name", "n.m", "n.x"]).read(result)
    assert part.metadata == {"author.name": ["A", "B"], "n.m": 1, "id": "a", "score": 0.5, "rank": 1}


def test_text_fields_that_were_not_fetched_are_named():
    hit = Hit("a", 0.5, 1, {"lang": "en"}, None, None)
    spec, times = TextSpec(("title", "body")), Timings(0, 0, 0)
    result = SearchResult(
        (hit,), None, None, 1, False, (), 0, 0, None, None, None, spec, times, None, whole=False
    )
    with pytest.raises(DataError, match=r"no hit has the fields of the text \(title, body\); name them in"):
        list(HitParts.of(None, None).read(result))


def test_passage_and_logit_are_told_where_there_are_any():
    part = read(metadata=[], passage=Passage("folder", 7, 13, 1.5), logit=0.0)
    assert part.metadata["passage"] == {"text": "folder", "start": 7, "end": 13, "score": 1.5}
    assert part.metadata["logit"] == 0.0


@pytest.mark.parametrize(("content", "metadata"), [("title", None), ([], None), (None, "title")])
def test_what_is_no_list_of_fields_is_refused(content, metadata):
    with pytest.raises(DataError, match="expected a list such as"):
        HitParts.of(content, metadata)


@pytest.mark.parametrize(("extra", "library"), [("langchain", "langchain_core"), ("haystack", "haystack")])
def test_a_missing_library_names_its_extra(extra, library):
    program = f"""
import sys
sys.modules["{library}"] = None
from ce2de_os.errors import MissingExtraError
try:
    import ce2de_os.integrations.{extra}
except MissingExtraError as error:
    print(error)
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert told.endswith(f"is not installed; run: {install_command(extra)}\n")
