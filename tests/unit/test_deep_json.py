"""Documents of any depth are read, written and compared, and Python's limit stays the application's."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ce2de_os import deep_json
from ce2de_os.config import OpenSearchSettings
from ce2de_os.index import json_text, raw
from ce2de_os.index.client import connect
from ce2de_os.index.documents import document_text, values_at
from ce2de_os.reindex.planning.sample import embedded_share
from ce2de_os.server.answers import json_response

LEVELS = 25_000  # beyond what Python 3.13 reads, too
LISTS = "[" * LEVELS + '"deep"' + "]" * LEVELS
OBJECTS = '{"a":' * LEVELS + "1.5" + "}" * LEVELS
PAIRS = LEVELS // 2
MIXED = '[1, {"a" : ' * PAIRS + '[1, {}, [ ], "x\\"]"]' + ' , "b": true} ]' * PAIRS
DEEP = {"lists": LISTS, "objects": OBJECTS, "mixed": MIXED}
ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_subnormal=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
JSON_SIGNS = st.text(st.sampled_from('[]{}":,01eE+-.truefalsn\\u \n\ufeff'), max_size=30)


def test_the_limit_of_the_interpreter_stays_as_it_is() -> None:
    program = (
        "import sys; before = sys.getrecursionlimit()\n"
        "import ce2de_os, ce2de_os.cli, ce2de_os.server.app, ce2de_os.worker.app\n"
        "from ce2de_os.config import OpenSearchSettings\n"
        "from ce2de_os.index.client import connect\n"
        "connect(OpenSearchSettings()).close()\n"
        "assert sys.getrecursionlimit() == before, sys.getrecursionlimit()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("name", DEEP)
def test_what_python_cannot_read_is_read_written_and_compared(name: str) -> None:
    text = DEEP[name]
    with pytest.raises(RecursionError):
        json.loads(text)
    value = deep_json.loads(f" {text}\n")
    found, end = deep_json.decode(f'{{"x":{text}}}', 5)
    same = deep_json.equal(found, value)
    assert (end, same) == (5 + len(text), True)
    written = deep_json.dumps(value)
    assert len(written) == len("".join(text.split()))
    other = deep_json.loads(written.replace("1", "2", 1).replace("deep", "flat"))
    assert [deep_json.equal(deep_json.loads(written), value), deep_json.equal(other, value)] == [True, False]


@pytest.mark.parametrize(
    "broken", ["[", "]", '{"a" 1}', '{"a":}', "{1:2}", "[1 2]", "[1,]", "x", '["', '{"a":1,}']
)
def test_what_is_no_json_deep_inside_is_refused(broken: str) -> None:
    for text in ("[" * LEVELS + broken + "]" * LEVELS, '{"a":' * LEVELS + broken + "}" * LEVELS):
        with pytest.raises(json.JSONDecodeError):
            deep_json.loads(text)
    with pytest.raises(json.JSONDecodeError, match="Extra data"):
        deep_json.loads(f"{LISTS} 1")


@given(ANY, st.integers(0, 3))
def test_values_are_those_of_python_s_own_functions(value: Any, indent: int) -> None:
    text = json.dumps(value, indent=indent or None)
    assert deep_json._decode(text, 0) == (value, len(text))
    assert json.loads("".join(deep_json._written(value, ensure_ascii=False))) == value
    assert deep_json.equal(value, json.loads(text))


@given(ANY, ANY)
def test_values_are_compared_as_python_does(one: Any, other: Any) -> None:
    assert deep_json.equal(one, other) == (one == other)


def decoded(text: str) -> Any:
    value, end = deep_json._decode(text, 0)
    if text[end:].strip(" \t\n\r"):
        raise ValueError(text)
    return value


@given(JSON_SIGNS)
def test_texts_are_json_where_python_takes_them_for_json(text: str) -> None:
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError):
            decoded(text)
    else:
        assert decoded(text) == expected


def test_an_answer_with_a_deep_document() -> None:
    answer = f'{{"hits":{{"hits":[{{"_id":"1","_source":{{"title":{MIXED},"n":1.10}}}}]}}}}'
    with connect(OpenSearchSettings(url="http://127.0.0.1:9")) as client:
        read = client.transport.serializer.loads(answer)
        with_comment = client.transport.serializer.loads(answer.replace('"n":', '/* 1 */"n":'))
    ((hit, source),) = raw.hits(answer)
    same = [
        deep_json.equal(one["hits"]["hits"][0]["_source"], hit["_source"]) for one in (read, with_comment)
    ]
    assert same == [True, True]
    unchanged = str(source) == f'{{"title":{MIXED},"n":1.10}}'
    cut = str(raw.without(source, ["n"])) == f'{{"title":{MIXED}}}'
    assert (unchanged, cut) == (True, True)
    written = json_text.dumps(hit["_source"])
    assert deep_json.equal(deep_json.loads(written), hit["_source"])


def test_the_text_of_a_deep_document() -> None:
    nested = deep_json.loads(f'{{"title":{LISTS},"a":{OBJECTS}}}')
    assert document_text(nested, ["title"]) == "deep"
    assert embedded_share([nested], ["deep"]) < 0.01
    levels = 3000
    objects = deep_json.loads('{"a":' * levels + "1.5" + "}" * levels)
    assert values_at(objects, ".".join(["a"] * levels)) == [1.5]


def test_the_order_of_texts() -> None:
    source = {"a": [{"b": ["1", ["2", [], "3"]]}, {"b": "4"}], "a.b": "0", "b": "5"}
    assert values_at(source, "a.b") == ["0", ["1", ["2", [], "3"]], "4"]
    assert document_text(source, ["a.b", "b"]) == "0\n1 2 3\n4\n5"


@pytest.mark.parametrize("value", [deep_json.loads(LISTS), 10**30, "\ud800", {"a": [1.5, None, {}]}])
def test_the_service_answers_with_whatever_a_document_holds(value: Any) -> None:
    """The fast writer stops at 254 levels, at 64 bits and at half a surrogate pair."""
    body = json_response({"hits": [{"source": value}]}).body
    found = deep_json.loads(bytes(body).decode())["hits"][0]["source"]
    assert deep_json.equal(found, value)


def test_in_a_thread() -> None:
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(bool(deep_json.loads(LISTS))))
    thread.start()
    thread.join()
    assert found == [True]
