from __future__ import annotations

import pytest

from ce2de_os.errors import IdentityError
from ce2de_os.index.shards import Primaries, Shard
from ce2de_os.reindex.identity import check, cursors_of
from ce2de_os.reindex.job import Range, Slice

KNOWN = Primaries("u1", {0: Shard(9, 12, "h0"), 1: Shard(4, 4, "h1")})


def checked(found, uuid="u1", history=("h0", "h1"), **more):
    check("articles", found, uuid, history, "do this", **more)


def test_an_index_that_is_what_it_was_passes():
    checked(KNOWN, cursors={0: 9, 1: 4})


def test_an_index_that_was_created_again_is_refused():
    with pytest.raises(IdentityError, match=r"'articles' was deleted and created again .*; do this"):
        checked(KNOWN._replace(uuid="u2"))


def test_another_history_of_one_shard_is_refused():
    with pytest.raises(IdentityError, match=r"another history .*shard 1.*; do this"):
        checked(Primaries("u1", {0: KNOWN.shards[0], 1: Shard(4, 4, "other")}))


def test_a_shard_that_ends_before_the_cursor_is_refused():
    with pytest.raises(IdentityError, match="shard 1 ends at 4, the job has read up to 5"):
        checked(KNOWN, cursors={1: 5})


def test_a_promoted_replica_that_learns_its_checkpoint_later_is_accepted():
    checked(Primaries("u1", {0: Shard(7, 12, "h0"), 1: KNOWN.shards[1]}), cursors={0: 9})


@pytest.mark.parametrize(("uuid", "history"), [(None, ()), ("", ()), ("u1", ("", ""))])
def test_what_an_older_record_does_not_know_is_not_compared(uuid, history):
    checked(KNOWN, uuid, history)


def test_cursors_are_those_of_the_open_ends():
    records = [
        Slice("j", 0, Range(0, 0, -1, 99), 50),
        Slice("j", 1, Range(0, 0, 99, None), 120),
        Slice("j", 2, Range(1, 1, -1, None), 7),
    ]
    assert cursors_of(2, records) == [{0: 120}, {1: 7}]
