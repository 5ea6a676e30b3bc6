"""The exact comparison of a copy against comparing all ids: by documents and by differences.

    eval "$(ce2de local env)"
    python -m benchmarks.compare_speed --documents 50000,200000,1000000

Source and copy hold tiny documents without vectors, as the comparison reads only what a copy says it was
copied from. Differences are documents deleted from the copy at random; comparing ids reads all of both sides
and subtracts them. Needs a running cluster (``ce2de local up``).
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from opensearchpy import OpenSearch

from benchmarks.machine import finish
from ce2de_os.config import Settings
from ce2de_os.index import admin
from ce2de_os.index.client import connect
from ce2de_os.index.target_body import origin_property
from ce2de_os.index.vector_field import VectorField
from ce2de_os.reindex.compare import compare
from ce2de_os.reindex.job import Part
from ce2de_os.reindex.slices.source import read_page

SOURCE = "bench-compare"
PART = Part(SOURCE, "", f"{SOURCE}-copy", 0)
FIELD = VectorField(1)
DIFFERENCES = (0, 1, 10, 1000)
_BATCH = 5000
_PAGE = 1000  # ids in an answer, as many as a reindex used to read at a time


def main() -> None:
    """Measure and print the table."""
    options = _options()
    client = connect(Settings.from_env().opensearch)
    rows = []
    print("documents  differences   exact (requests)      ids   ids/exact   counted   ids/counted")
    for documents in options.documents:
        _load(client, documents)
        ids_s, lost = _ids_s(client), list[int]()
        for differences in DIFFERENCES:
            lost += _lose(client, documents, differences - len(lost), lost)
            row = {"documents": documents, "ids_s": ids_s, **_measure(client, differences, options.repeat)}
            rows.append(row)
            print(
                f"{documents:9,}  {differences:11,}  {row['exact_s']:7.3f} s ({row['requests']:4}) "
                f"{row['ids_s']:8.3f} s  {row['ids_s'] / row['exact_s']:8.1f}x  {row['counted_s']:6.3f} s "
                f"{row['ids_s'] / row['counted_s']:9.1f}x",
                flush=True,
            )
    client.indices.delete(index=f"{SOURCE}*")
    finish({"rows": rows}, options.output)


def _load(client: OpenSearch, documents: int) -> None:
    """Create and fill a source and its copy, one shard each, as after a load without live writes."""
    client.indices.delete(index=f"{SOURCE}*", params={"ignore": [404]})
    settings = {"number_of_shards": 1, "number_of_replicas": 0, "refresh_interval": "-1"}
    for index, own in ((PART.source, {}), (PART.target, origin_property(FIELD))):
        body = {"settings": settings, "mappings": {"dynamic": False, "properties": own}}
        client.indices.create(index=index, body=body)
        for start in range(0, documents, _BATCH):
            numbers = range(start, min(start + _BATCH, documents))
            lines = [line for number in numbers for line in _document(number, copied=bool(own))]
            if client.bulk(index=index, body=lines, params={"filter_path": "errors"})["errors"]:
                raise SystemExit(f"'{index}' refused documents")
        admin.refresh(client, index)


def _document(number: int, *, copied: bool) -> Iterator[dict[str, Any]]:
    yield {"index": {"_id": str(number)}}
    yield {FIELD.origin_field: {"shard": 0, "seq_no": number}} if copied else {"n": number}


def _lose(client: OpenSearch, documents: int, count: int, lost: list[int]) -> list[int]:
    """Delete ``count`` more documents from the copy."""
    left = sorted(set(range(documents)) - set(lost))
    chosen = random.Random(len(lost)).sample(left, count)
    if chosen:
        client.bulk(index=PART.target, body=[{"delete": {"_id": str(one)}} for one in chosen])
        admin.refresh(client, PART.target)
    return chosen


def _measure(client: OpenSearch, differences: int, repeat: int) -> dict[str, Any]:
    """Median seconds of each way; the cluster's caches of whole answers are emptied before each."""
    upto = admin.checkpoints(client, PART.source)
    result = compare(client, PART, FIELD.origin_field, upto)
    if not differences == result.lost_count == result.differing:
        raise SystemExit(
            f"expected {differences} lost documents, got {result.lost_count}, {result.differing}"
        )
    again = compare(client, PART, FIELD.origin_field, upto, equal=upto)
    if again.lost_count != differences:
        raise SystemExit(f"expected {differences} lost documents by counts, got {again.lost_count}")
    return {
        "differences": differences,
        "requests": result.requests,
        "exact_s": _median(client, repeat, lambda: compare(client, PART, FIELD.origin_field, upto)),
        "counted_s": _median(
            client, repeat, lambda: compare(client, PART, FIELD.origin_field, upto, equal=upto)
        ),
    }


def _ids_s(client: OpenSearch) -> float:
    """Seconds to compare all ids, measured once: the time does not depend on how many differ."""
    started = time.monotonic()
    if _ids(client, PART.source) != _ids(client, PART.target):
        raise SystemExit("the copy is not complete")
    return time.monotonic() - started


def _ids(client: OpenSearch, index: str) -> set[str]:
    found: set[str] = set()
    for shard, checkpoint in admin.checkpoints(client, index).items():
        after = -1
        while after < checkpoint:
            page = read_page(client, index, shard, after, checkpoint, _PAGE, with_source=False)
            if not page:
                break
            found.update(one.doc_id for one in page)
            after = page[-1].seq_no
    return found


def _median(client: OpenSearch, repeat: int, work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(repeat):
        client.indices.clear_cache(index=f"{SOURCE}*", params={"request": "true"})
        started = time.monotonic()
        work()
        seconds.append(time.monotonic() - started)
    return statistics.median(seconds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--documents",
        type=lambda text: [int(one) for one in text.split(",")],
        default=[50_000, 200_000, 1_000_000],
        help="numbers of documents, separated by commas",
    )
    parser.add_argument("--repeat", type=int, default=3, help="times that each is measured")
    parser.add_argument("--output", type=Path, help="write the figures as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
