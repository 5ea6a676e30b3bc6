"""The licenses of training texts, from their list into the recipe and the student's page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ce2de_os.distill.config import DistillConfig
from ce2de_os.distill.data.sources import licenses
from ce2de_os.distill.recipe import distill
from ce2de_os.distill.report.recipe_part import settings_blocks, texts_blocks
from ce2de_os.errors import DataError

KNOWN = {"license": "CC BY 4.0", "attribution": "Texts, by them"}


def nothing(*_):
    pass


def write_list(folder: Path, value: object) -> None:
    (folder / "SOURCES.json").write_text(json.dumps(value))


def test_the_sources_of_the_passages_are_looked_up_in_every_folder(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    write_list(first, {"a": KNOWN, "unused": KNOWN})
    assert licenses([second / "x.txt"], {"a"}) == {}
    write_list(second, {"b": {**KNOWN, "license": "CC0 1.0"}})
    found = licenses([first / "a.txt.gz", second / "x.passages.jsonl.gz"], {"a", "pairs.a", "short.b", "c"})
    assert found == {"a": KNOWN, "b": {**KNOWN, "license": "CC0 1.0"}}


@pytest.mark.parametrize("value", [{"a": "CC0"}, {"a": {"license": "CC0"}}, {"a": {**KNOWN, "license": 1}}])
def test_a_list_of_another_form_is_refused(tmp_path, value):
    write_list(tmp_path, value)
    with pytest.raises(DataError, match=r"SOURCES\.json: a: expected an object with license and attribution"):
        licenses([tmp_path / "a.txt"], {"a"})


@pytest.mark.parametrize("text", ["[]", "{", ""])
def test_a_list_that_is_no_object_is_refused(tmp_path, text):
    (tmp_path / "SOURCES.json").write_text(text)
    with pytest.raises(DataError, match=r"SOURCES\.json: "):
        licenses([tmp_path / "a.txt"], {"a"})


@pytest.mark.parametrize("listed", [True, False])
def test_the_recipe_and_the_page_name_the_sources(teacher_folder, text_file, tmp_path, listed):
    if listed:
        write_list(tmp_path, {"texts": KNOWN, "unused": KNOWN})
    config = DistillConfig(
        teacher=str(teacher_folder), layers=(0, 2), unique_tokens=4000, tokens=1000, batch_tokens=512,
        precision="fp32", threads=1,
    )  # fmt: skip
    recipe = distill([text_file], config, tmp_path / "run", phase=nothing, report=nothing)
    assert json.loads((tmp_path / "run" / "recipe.json").read_text()) == recipe
    assert recipe.get("text_sources") == ({"texts": KNOWN} if listed else None)
    page = tmp_path / "run" / "README.md"
    assert page.exists() == listed
    if listed:
        assert "- texts: Texts, by them. License: CC BY 4.0.\n" in page.read_text()
    assert ("Texts, by them" in repr(texts_blocks(recipe))) == listed
    assert "Texts, by them" not in repr(settings_blocks(recipe))
