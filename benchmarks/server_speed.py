"""What the service costs: against the encoder alone, on the same texts, in turn in one run.

    python -m benchmarks.server_speed --data ../shared/data --json server.json

1. One query at a time over one connection of this machine, and by the encoder in this process.
2. Documents from some callers at once, in requests of ``--batch`` texts and answers in base64, and by the
   encoder in this process. The callers are this process: with fewer than two idle cores they take time
   from the service.
3. Queries of one caller while the others keep sending documents.

The service has one process and one thread for the model. Times on the clock are good on an idle machine;
the CPU times, of the service's process and of this one, are good on a busy machine too.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import finish
from benchmarks.texts import documents, queries
from benchmarks.timing import interleaved, ratios, seconds
from ce2de_os import OnnxEncoder
from ce2de_os.server.parsing import model_id


class Caller:
    """One connection to the service."""

    def __init__(self, port: int, model: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self._model = model

    def embed(self, texts: Sequence[str], kind: str) -> int:
        """Return the number of vectors that came; ask again while the service is busy."""
        asked = {"model": self._model, "input": list(texts), "input_type": kind, "encoding_format": "base64"}
        body = json.dumps(asked)
        while True:
            self._connection.request("POST", "/v1/embeddings", body, {"Content-Type": "application/json"})
            answer = self._connection.getresponse()
            content = answer.read()
            if answer.status == 200:
                return len(json.loads(content)["data"])
            if answer.status != 429:
                raise RuntimeError(content)
            time.sleep(0.05)


def main() -> None:
    """Measure and print."""
    options = _options()
    encoder = OnnxEncoder(options.artifact)
    texts, questions = documents(options.data, options.documents), queries(options.data, options.questions)
    result: dict[str, Any] = {"documents": len(texts), "questions": len(questions)}
    with _service(options.artifact) as (pid, port):
        callers = [Caller(port, model_id(encoder.artifact)) for _ in range(options.callers)]
        result["one_query_ms"] = _one_query(encoder, callers[0], questions)
        result["one_query_cpu"] = _cpu(
            "query",
            pid,
            len(questions),
            lambda: [encoder.encode_queries([text]) for text in questions],
            lambda: [callers[0].embed([text], "query") for text in questions],
        )
        result["documents_share"] = _documents(encoder, callers, texts, options.batch, options.rounds)
        result["documents_cpu"] = _cpu(
            "document",
            pid,
            len(texts),
            lambda: encoder.encode_documents(texts),
            lambda: _send(callers, texts, options.batch),
        )
        result["queries_in_a_stream_ms"] = _in_a_stream(callers, texts, questions, options.batch)
    finish(result, options.json)


def _one_query(encoder: OnnxEncoder, caller: Caller, questions: Sequence[str]) -> dict[str, Any]:
    times: dict[str, list[float]] = {"service": [], "encoder": []}
    for number, text in enumerate([*questions[:20], *questions]):
        alone = 1000 * seconds(lambda text=text: encoder.encode_queries([text]))  # type: ignore[misc]
        over_http = 1000 * seconds(lambda text=text: caller.embed([text], "query"))  # type: ignore[misc]
        if number >= 20:  # the first ones build kernels
            times["encoder"].append(alone)
            times["service"].append(over_http)
    return {name: _percentiles(f"one query, {name}", values) for name, values in times.items()}


def _cpu(
    what: str, pid: int, count: int, alone: Callable[[], object], over_http: Callable[[], object]
) -> dict[str, float]:
    """CPU milliseconds for each text: of this process when it encodes, of the service when it answers."""
    start = time.process_time()
    alone()
    own = 1000 * (time.process_time() - start) / count
    start = _cpu_seconds(pid)
    over_http()
    service = 1000 * (_cpu_seconds(pid) - start) / count
    print(
        f"CPU of one {what}: encoder {own:.2f} ms, service {service:.2f} ms, {own / service:.0%}", flush=True
    )
    return {"encoder_ms": own, "service_ms": service, "share": own / service}


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _documents(
    encoder: OnnxEncoder, callers: Sequence[Caller], texts: Sequence[str], batch: int, rounds: int
) -> dict[str, float]:
    arms = {
        "encoder": lambda: seconds(lambda: encoder.encode_documents(texts)),
        "service": lambda: seconds(lambda: _send(callers, texts, batch)),
    }
    times = interleaved(arms, rounds)
    share = ratios(times["encoder"], times["service"])
    for name, values in times.items():
        print(f"documents, {name}: {len(texts) / float(np.median(values)):.0f} docs/s")
    print(f"share of the encoder alone: {share.median:.0%} ({share.least:.0%} to {share.greatest:.0%})")
    return share._asdict()


def _send(callers: Sequence[Caller], texts: Sequence[str], batch: int) -> None:
    """Send the texts in batches, each caller the next batch as soon as it has the answer to its last."""
    batches = iter([texts[start : start + batch] for start in range(0, len(texts), batch)])
    lock = threading.Lock()

    def work(caller: Caller) -> None:
        while True:
            with lock:
                part = next(batches, None)
            if part is None:
                return
            if caller.embed(part, "document") != len(part):
                raise RuntimeError("a vector is missing")

    with ThreadPoolExecutor(len(callers)) as pool:
        list(pool.map(work, callers))


def _in_a_stream(
    callers: Sequence[Caller], texts: Sequence[str], questions: Sequence[str], batch: int
) -> dict[str, float]:
    ended = threading.Event()

    def stream(caller: Caller) -> None:
        while not ended.is_set():
            for start in range(0, len(texts), batch):
                if ended.is_set():
                    return
                caller.embed(texts[start : start + batch], "document")

    times: list[float] = []
    with ThreadPoolExecutor(len(callers)) as pool:
        streams = [pool.submit(stream, caller) for caller in callers[1:]]
        try:
            time.sleep(1)
            for text in questions:
                times.append(1000 * seconds(lambda text=text: callers[0].embed([text], "query")))  # type: ignore[misc]
                time.sleep(0.01)
        finally:
            ended.set()
        for each in streams:
            each.result()
    return _percentiles("one query while documents stream in", times)


def _percentiles(name: str, times_ms: Sequence[float]) -> dict[str, float]:
    p50, p90, p99 = (float(value) for value in np.percentile(times_ms, [50, 90, 99]))
    print(f"{name}: p50 {p50:.2f} ms, p90 {p90:.2f} ms, p99 {p99:.2f} ms", flush=True)
    return {"p50": p50, "p90": p90, "p99": p99}


@contextmanager
def _service(artifact: Path | None) -> Iterator[tuple[int, int]]:
    """Start the service; yield its process and its port."""
    command = [sys.executable, "-m", "ce2de_os", "serve", "--port", "0"]
    command += ["--artifact", str(artifact)] if artifact else []
    environment = {**os.environ, "CE2DE_THREADS": "1"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            found = re.search(r":(\d+) ", line)
            if found is None:
                raise RuntimeError(line + process.stderr.read())
            yield process.pid, int(found[1])
        finally:
            process.terminate()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with collections, as for encode")
    parser.add_argument("--artifact", type=Path, help="model folder (default: the packaged student)")
    parser.add_argument("--documents", type=int, default=1000, help="documents of each round")
    parser.add_argument("--questions", type=int, default=300, help="queries, one after the other")
    parser.add_argument("--callers", type=int, default=4, help="connections")
    parser.add_argument("--batch", type=int, default=50, help="documents of one request")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
