"""What a comparison in the browser costs: four columns against four searches one after the other.

    python -m benchmarks.ui_speed INDEX --data ../shared/data --json ui.json

1. A view of four columns (BM25, vectors, two hybrids) of the page, over one connection of this machine.
2. The same four searches by hand: a searcher in this process, one after the other, with the same options.
3. The bytes of each page with all that it loads.

Both share the machine with OpenSearch, so the ratio is good on a busy machine too; the times are not.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.machine import finish
from benchmarks.texts import queries
from benchmarks.timing import interleaved, ratios, seconds
from ce2de_os import HybridSearcher, OnnxEncoder
from ce2de_os.config import Settings
from ce2de_os.index.client import connect
from ce2de_os.search.target import read_target
from ce2de_os.ui.columns import Column, View
from ce2de_os.ui.compare import asked_for
from ce2de_os.ui.models import Fields

COLUMNS = (Column("bm25"), Column("dense"), Column("min_max", "0.5"), Column("rrf"))
PAGES = ("/compare", "/judge", "/evaluate", "/models")


@contextmanager
def page(index: str) -> Iterator[http.client.HTTPConnection]:
    """Serve the page in a process of its own; give a connection to it."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "ce2de_os", "ui", index, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = re.match(r"Open http://([^/]+)/", process.stderr.readline())
        assert found is not None, process.stderr.read()
        connection = http.client.HTTPConnection(found[1], timeout=120)
        try:
            get(connection, View(index, "warm up", columns=COLUMNS).link)
            print(f"start to first ranking: {time.perf_counter() - started:.1f} s")
            yield connection
        finally:
            connection.close()
            process.terminate()


def get(connection: http.client.HTTPConnection, path: str) -> tuple[bytes, int]:
    """Return the content of a page, and its bytes on the way."""
    connection.request("GET", path, headers={"Accept-Encoding": "gzip"})
    answer = connection.getresponse()
    content = answer.read()
    if answer.status not in (200, 303):
        raise RuntimeError(f"{path}: {answer.status}")
    is_packed = answer.headers.get("Content-Encoding") == "gzip"
    return gzip.decompress(content) if is_packed else content, len(content)


def weight(connection: http.client.HTTPConnection, path: str) -> int:
    """Return the bytes of a page with its files."""
    content, size = get(connection, path)
    files = set(re.findall(rb'(?:src|href)="(/static/[^"]+)"', content))
    modules = [re.findall(rb'from "\./([^"]+)"', get(connection, name.decode())[0]) for name in files]
    files |= {b"/static/" + name for several in modules for name in several}
    return size + sum(get(connection, name.decode())[1] for name in files)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("index")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    texts = queries(options.data, options.queries)
    client = connect(Settings.from_env().opensearch)
    searcher = HybridSearcher(client, options.index, OnnxEncoder())
    searcher.warm_up()
    more = asked_for(Fields.of(read_target(client, options.index)))

    def by_hand(text: str) -> float:
        view = View(options.index, text, columns=COLUMNS)
        return seconds(lambda: [searcher.search(view.asked(column), **more) for column in COLUMNS])

    with page(options.index) as connection:

        def in_page(text: str) -> float:
            return seconds(lambda: get(connection, View(options.index, text, columns=COLUMNS).link))

        arms = {
            "page": lambda: [in_page(text) for text in texts],
            "by hand": lambda: [by_hand(text) for text in texts],
        }
        found = interleaved(arms, options.rounds)
        weights = {path: weight(connection, path) for path in PAGES}
        weights["/compare, 4 columns"] = weight(
            connection, View(options.index, texts[0], columns=COLUMNS).link
        )
    times = {name: [1000 * value for one in rounds for value in one] for name, rounds in found.items()}
    p50 = {name: statistics.median(values) for name, values in times.items()}
    ratio = ratios(
        [statistics.median(one) for one in found["page"]],
        [statistics.median(one) for one in found["by hand"]],
    )
    for name, value in p50.items():
        print(f"{name}: p50 {value:.1f} ms")
    print(f"page / by hand: {ratio.median:.2f} ({ratio.least:.2f}-{ratio.greatest:.2f})")
    for path, size in weights.items():
        print(f"{path}: {size / 1024:.0f} KiB")
    result: dict[str, Any] = {
        "p50_ms": p50,
        "ratio": ratio._asdict(),
        "bytes": weights,
        "queries": len(texts),
    }
    finish(result, options.json)


if __name__ == "__main__":
    main()
