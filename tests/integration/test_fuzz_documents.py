"""Odd documents through a whole copy: none is lost, none is changed, each rejection is a dead letter.

``CE2DE_FUZZ_DOCUMENTS`` sets how many are made for each test, ``CE2DE_FUZZ_SEED`` which ones.
"""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field as field_of
from typing import Any, Literal

import pytest
from opensearchpy import OpenSearch

from ce2de_os.index.text_spec import TextSpec
from ce2de_os.local.servers import Endpoints
from ce2de_os.reindex import dead_letters
from ce2de_os.reindex.job import DONE
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.start import start
from ce2de_os.reindex.status import status
from tests.integration.indexes import HashEncoder, InlineQueue
from tests.integration.odd_documents import FIELDS, MAPPINGS, OddDocument, odd_documents

DOCUMENTS = int(os.environ.get("CE2DE_FUZZ_DOCUMENTS", "200"))
SEED = int(os.environ.get("CE2DE_FUZZ_SEED", "1"))
ENCODER = HashEncoder()
LETTERS = {"index.knn": True, "index.knn.derived_source.enabled": False}
"""With it OpenSearch leaves the ``_source`` of an index with vectors as it was sent."""

Place = tuple[str, str | None]
"""Id and routing: an id may be in an index several times."""


class Number(str):
    """A number of JSON, by its letters."""

    __slots__ = ()


def parsed(text: str) -> Any:
    """Objects become lists of pairs, in which nothing is merged or sorted, and numbers keep their letters."""
    return json.loads(
        text, parse_float=Number, parse_int=Number, object_pairs_hook=lambda pairs: ("{}", pairs)
    )


def field(pairs: Any, name: str, default: Any = None) -> Any:
    """Return the value of a field of a parsed object."""
    return next((value for key, value in pairs[1] if key == name), default)


def request(endpoints: Endpoints, path: str, body: str, kind: str = "application/json") -> Any:
    """Send a request without the package, and parse its answer to the letter."""
    sent = urllib.request.Request(
        f"{endpoints.opensearch_url}{path}", body.encode("utf-8", "surrogatepass"), {"Content-Type": kind}
    )
    with urllib.request.urlopen(sent, timeout=120) as answer, recursion(20_000):
        return parsed(answer.read().decode("utf-8", "surrogatepass"))


@contextmanager
def recursion(limit: int) -> Iterator[None]:
    """Let the test itself read deeper than the package."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(limit)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def send(endpoints: Endpoints, index: str, documents: Sequence[OddDocument]) -> int:
    """Index documents; return how many OpenSearch takes."""
    taken = 0
    for at in range(0, len(documents), 100):
        lines = []
        for one in documents[at : at + 100]:
            header = {"_id": one.doc_id, **({"routing": one.routing} if one.routing is not None else {})}
            lines += [json.dumps({"index": header}), one.source.replace("\n", " ")]
        answer = request(endpoints, f"/{index}/_bulk", "\n".join([*lines, ""]), "application/x-ndjson")
        statuses = [field(field(item, "index"), "status") for item in field(answer, "items")]
        taken += sum(status in ("200", "201") for status in statuses)
    return taken


def found_in(endpoints: Endpoints, index: str) -> dict[Place, Any]:
    """Every document of an index, read without the package."""
    request(endpoints, f"/{index}/_refresh", "")
    found: dict[Place, Any] = {}
    page = request(endpoints, f"/{index}/_search?scroll=1m&size=100", "{}")
    while hits := field(field(page, "hits"), "hits"):
        for hit in hits:
            place = field(hit, "_id"), field(hit, "_routing")
            assert place not in found, place
            found[place] = field(hit, "_source")
        page = request(
            endpoints, "/_search/scroll", json.dumps({"scroll": "1m", "scroll_id": field(page, "_scroll_id")})
        )
    return found


def begun(client: OpenSearch, endpoints: Endpoints, index: str, way: Way, queue: InlineQueue) -> str:
    """Fill an index, half of it before the job starts and half of it before a worker comes."""
    body = {"mappings": MAPPINGS, "settings": {"index.number_of_shards": 2, **way.settings}}
    client.indices.create(index=index, body=body)
    made = list(odd_documents(DOCUMENTS, SEED))
    half = len(made) // 2
    taken = send(endpoints, index, made[:half])
    options = {"alias": None if way.mode == "in_place" else f"{index}-search", "accept_rejected": True}
    job_request = JobRequest(
        index, TextSpec(FIELDS), mode=way.mode, pipeline=way.pipeline and index, follow=False, **options
    )
    job = start(client, job_request, ENCODER, queue)
    taken += send(endpoints, index, made[half:])
    assert taken > len(made) / 2, f"OpenSearch takes only {taken} of {len(made)}"
    return job.job_id


def as_written(value: Any) -> Any:
    return value


def as_double(value: Any) -> Any:
    """Numbers as OpenSearch writes them anew, with what it writes for those beyond a double."""
    if isinstance(value, Number):
        return int(value) if re.fullmatch(r"-?\d+", value) else float(value)
    if isinstance(value, tuple):
        return {key: as_double(inner) for key, inner in value[1]}  # an ingest pipeline changes the order
    if isinstance(value, list):
        return [as_double(inner) for inner in value]
    infinite = {"Infinity": float("inf"), "-Infinity": float("-inf")}
    return infinite.get(value, value) if isinstance(value, str) else value


@dataclass(frozen=True)
class Way:
    """How documents are copied, and how far OpenSearch itself leaves them as they were sent."""

    seen: Callable[[Any], Any]
    mode: Literal["copy", "in_place"] = "copy"
    settings: Mapping[str, Any] = field_of(default_factory=dict)
    pipeline: dict[str, Any] | None = None


REJECTING = {"processors": [{"fail": {"if": "ctx.flag != null", "message": "no flags"}}]}
WAYS = {
    "to the letter": Way(as_written, settings=LETTERS),
    "into a usual index": Way(as_double),
    "through a pipeline that rejects some": Way(as_double, pipeline=REJECTING),
    "in place": Way(as_double, mode="in_place", settings={"index.knn": True}),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_no_odd_document_is_lost_or_changed(
    client: OpenSearch, endpoints: Endpoints, index_name: str, way: Way
) -> None:
    if way.pipeline is not None:
        client.ingest.put_pipeline(id=index_name, body=way.pipeline)
    queue = InlineQueue()
    job_id = begun(client, endpoints, index_name, way, queue)
    source = found_in(endpoints, index_name)
    queue.run(client, ENCODER)
    job = status(client, job_id).job
    assert job.state == DONE, job.error
    target = found_in(endpoints, job.target)
    letters = {(letter.doc_id, letter.routing): letter for letter in dead_letters.letters(client, job_id)}
    missing = source.keys() - target.keys() if way.mode == "copy" else letters.keys()
    assert missing == letters.keys(), "each document is copied, or it is a dead letter"
    assert bool(letters) == (way.pipeline is not None), Counter(map(str, letters.values()))
    assert target.keys() <= source.keys()
    ours = {*job.vector.value_fields, job.hash_field, job.vector.origin_field}
    with recursion(20_000):
        changed = [
            place
            for place, (_, pairs) in target.items()
            if way.seen(("{}", [pair for pair in pairs if pair[0] not in ours])) != way.seen(source[place])
        ]
    assert changed == []
