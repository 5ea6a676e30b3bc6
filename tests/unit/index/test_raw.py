from __future__ import annotations

import json
import random
from typing import Any

import pytest

from ce2de_os.index.raw import hits, on_one_line, with_fields, without

SOURCES = [
    '{"price":1.10,"far":1E400,"long":123456789012345678901234,"code":1E5}',
    '{ "spaced" : [ 1.0 , 2 ] ,\n "_source":{"_source":{"x":"_source\\":{"}} }',
    "{}",
    '{"text":"quotes \\" and \\\\","_source":"{\\"_source\\":1}"}',
    '{"half":"\\ud800","letters":"т 東 😀"}',
]


def answer(sources: list[str], space: str = "") -> str:
    found = [
        f'{{"_index":"i","_id":"{number}","_seq_no":{number},"_source":{space}{source},"sort":[{number}]}}'
        for number, source in enumerate(sources)
    ]
    return f'{{"took":1,"hits":{{"max_score":null,"hits":[{",".join(found)}]}}}}'


@pytest.mark.parametrize("space", ["", "\n  "])
def test_every_source_is_cut_out_to_the_letter(space: str) -> None:
    found = hits(answer(SOURCES, space))
    assert [hit["_id"] for hit, _ in found] == [str(number) for number in range(len(SOURCES))]
    assert [raw for _, raw in found] == [source.replace("\n", " ") for source in SOURCES]
    assert [hit["_source"] for hit, _ in found] == [json.loads(source) for source in SOURCES]


def test_a_hit_without_a_source_has_no_text() -> None:
    ((hit, raw),) = hits('{"hits":{"hits":[{"_id":"1","sort":[7]}]}}')
    assert (hit, raw) == ({"_id": "1", "sort": [7]}, "")
    assert hits('{"hits":{"hits":[]}}') == []


@pytest.mark.parametrize("source", SOURCES)
def test_fields_are_taken_out_and_added_and_the_others_stay_to_the_letter(source: str) -> None:
    changed = with_fields(without(on_one_line(source), ["far", "_source"]), '{"v":[0.5],"h":"x"}')
    expected = {key: value for key, value in json.loads(source).items() if key not in ("far", "_source")}
    assert json.loads(changed) == {**expected, "v": [0.5], "h": "x"}
    assert ('"price":1.10' in changed) == ('"price":1.10' in source)
    assert "\n" not in changed
    assert json.loads(with_fields(source, "{}")) == json.loads(source)


@pytest.mark.parametrize("seed", range(50))
def test_any_document_stays_as_it_is(seed: int) -> None:
    chance = random.Random(seed)
    sources = [json.dumps(value(chance, 3), indent=chance.choice([None, 2])) for _ in range(5)]
    sources = [source if source.startswith("{") else f'{{"_source":{source}}}' for source in sources]
    found = hits(answer(sources))
    for (hit, raw), source in zip(found, sources, strict=True):
        assert hit["_source"] == json.loads(raw) == json.loads(source)
        names = [name for name in hit["_source"] if chance.random() < 0.5]
        kept = {key: value for key, value in hit["_source"].items() if key not in names}
        assert json.loads(without(raw, names)) == kept


def value(chance: random.Random, depth: int) -> Any:
    kind = chance.randrange(6 if depth else 4)
    if kind == 4:
        return [value(chance, depth - 1) for _ in range(chance.randrange(4))]
    if kind == 5:
        return {text(chance): value(chance, depth - 1) for _ in range(chance.randrange(4))}
    return [text(chance), chance.random(), None, chance.randrange(10**20)][kind]


def text(chance: random.Random) -> str:
    return "".join(chance.choices(['"', "\\", "_source", ":", "{", "}", "a", "ж", "\n", '"_source":'], k=6))


def test_comments_which_opensearch_keeps_are_left_out() -> None:
    source = '{"title": /* a "word" */ "x /* no */ // comment", "b\\"//": [1.10 // two\n, 2]}'
    ((hit, raw),) = hits(f'{{"hits":{{"hits":[{{"_id":"1","_source":{source}}}]}}}}')
    assert hit["_source"] == {"title": "x /* no */ // comment", 'b"//': [1.1, 2]}
    assert json.loads(raw) == hit["_source"]
    assert "1.10" in raw
    with pytest.raises(json.JSONDecodeError):
        hits('{"hits":{"hits":[{"_source":{"a": nothing}}]}}')
