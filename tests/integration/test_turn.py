"""A request to move an alias that is carried out late moves nothing."""

from __future__ import annotations

import pytest
from opensearchpy import OpenSearch

from ce2de_os.errors import IndexSchemaError
from ce2de_os.index import aliases
from ce2de_os.reindex.cutover.turn import handed_over, take_turn


def _move(source: str, target: str, alias: str, turn: str) -> list[dict[str, object]]:
    return aliases.moved(alias, [source], {target: {}}) + handed_over(target, turn)


def test_only_the_newest_turn_moves_the_alias(client: OpenSearch, index_name: str) -> None:
    source, target, alias = f"{index_name}-a", f"{index_name}-b", f"{index_name}-live"
    client.indices.create(index=source, body={"aliases": {alias: {}}})
    client.indices.create(index=target)
    late = _move(source, target, alias, take_turn(client, target))
    newest = take_turn(client, target)
    with pytest.raises(IndexSchemaError):
        aliases.update(client, late, "move late")
    assert list(aliases.definitions(client, alias)) == [source]
    aliases.update(client, _move(source, target, alias, newest), "move")
    assert list(aliases.definitions(client, alias)) == [target]


def test_a_turn_is_handed_over_once(client: OpenSearch, index_name: str) -> None:
    source, target, alias = f"{index_name}-a", f"{index_name}-b", f"{index_name}-live"
    client.indices.create(index=source, body={"aliases": {alias: {}}})
    client.indices.create(index=target)
    turn = take_turn(client, target)
    aliases.update(client, _move(source, target, alias, turn), "move")
    back = aliases.moved(alias, [target], {source: {}}) + handed_over(target, turn)
    with pytest.raises(IndexSchemaError):
        aliases.update(client, back, "move back with the turn of before")
    assert list(aliases.definitions(client, alias)) == [target]


def test_a_target_that_is_gone_has_no_turn(client: OpenSearch, index_name: str) -> None:
    with pytest.raises(IndexSchemaError):
        take_turn(client, index_name)
