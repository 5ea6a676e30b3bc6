"""Encoder speed: the student against the 6-layer model it comes from and the same with 12 layers, in one run.

    python -m benchmarks.encode --data ../shared/data --texts 300 --rounds 5 --plot speed.png

All encoders get the same texts and the same number of threads, in interleaved rounds, so that a noisy
machine troubles all of them alike. Ratios are taken round by round and their median counts; the first round
warms up and is dropped. What matters is the ratio to the 12-layer model in PyTorch: absolute figures are the
machine's.
"""

from __future__ import annotations

import os

# Before any library is loaded: nothing is looked up on the network, and no library starts threads of its own.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import texts as real
from benchmarks.contenders import BASELINE, BATCH_TOKENS, Contender, Taken, full_depth, students
from benchmarks.machine import finish
from benchmarks.processes import throughput
from benchmarks.profiles import operations
from benchmarks.timing import Spread, count_cpu_time, interleaved, ratios
from ce2de_os import OnnxEncoder

QUERY_TOKENS = range(8, 17)
IDLE_S = 0.05  # between queries: threads that spin would flatter a loop without gaps

Times = Mapping[str, Sequence[Taken]]


def main() -> None:
    """Measure everything that was asked for and print it."""
    options = _options()
    if options.cpu_time:
        count_cpu_time()
    torch.set_num_threads(options.threads)
    torch.set_num_interop_threads(1)
    encoders = [OnnxEncoder(folder, threads=options.threads) for folder in options.artifact or [None]]
    texts = real.documents(options.data, options.texts)
    lengths = [len(row) for row in encoders[0].token_ids(texts)]
    result: dict[str, Any] = {
        "texts": len(texts), "tokens": sum(lengths), "token_histogram": real.histogram(lengths),
        "batch_tokens": BATCH_TOKENS, "rounds": options.rounds,
        "clock": "CPU time" if options.cpu_time else "time that passed",
        "threads": {
            "onnxruntime": options.threads, "torch": torch.get_num_threads(),
            "torch between operators": torch.get_num_interop_threads(), "tokenizers": 1,
        },
    }  # fmt: skip
    for name, value in result.items():
        print(f"{name.replace('_', ' ')}: {value}")
    with tempfile.TemporaryDirectory() as scratch:
        contenders = [
            one for encoder in encoders for one in students(encoder, Path(scratch), options.threads)
        ]
        contenders += full_depth(Path(scratch), options.threads)
        counted = {one.name: operations(one.graph, lengths) for one in contenders}
        arms = {one.name: partial(one.measure, texts) for one in contenders}
        times = interleaved(arms, options.rounds)
    result["encoders"] = table(contenders, times, counted, len(texts), sum(lengths))
    if options.queries:
        result["latency_ms"] = latency(encoders[0], options.data, options.queries)
    if options.processes > 1:
        result["processes"] = _in_processes(encoders[0].artifact.folder, texts, options)
    finish(result, options.json)
    if options.plot:
        plot(result["encoders"], options.plot)


def table(
    contenders: Sequence[Contender], times: Times, counted: Mapping[str, float], texts: int, tokens: int
) -> dict[str, Any]:
    """Print a row for every contender, the baseline first; return the same as data."""
    print(f"\n{'':44}{'texts a second':^37}{'ratio to the baseline':^34}")
    print(
        f"{'encoder':44}{'all (least-most)':>26}{'run only':>10}{'all (least-most)':>26}{'run only':>9}"
        f"{'tokens/s':>10}{'GOPS':>7}"
    )
    rows = {}
    base = times[BASELINE]
    for one in sorted(contenders, key=lambda one: -_median(times[one.name])):
        taken = times[one.name]
        whole, bare = ([value[column] for value in taken] for column in (0, 1))
        speed = Spread.of([texts / value for value in whole])
        ratio = ratios([value.whole for value in base], whole)
        ratio_bare = ratios([value.without_tokenizing for value in base], bare)
        rows[one.name] = {
            "docs_per_s": speed._asdict(), "docs_per_s_without_tokenizing": texts / float(np.median(bare)),
            "tokens_per_s": tokens / float(np.median(whole)), "ratio": ratio._asdict(),
            "ratio_without_tokenizing": ratio_bare._asdict(),
            "gops": counted[one.name] / float(np.median(bare)) / 1e9, "gop": counted[one.name] / 1e9,
            "note": one.note,
        }  # fmt: skip
        row = rows[one.name]
        print(
            f"{one.name:44}{_told(speed, 1):>26}{row['docs_per_s_without_tokenizing']:>10.1f}"
            f"{_told(ratio, 2):>26}{ratio_bare.median:>9.2f}{row['tokens_per_s']:>10.0f}{row['gops']:>7.0f}"
        )
    print("all: tokenizing counted; run only: not counted; GOPS: products without padding, in the run")
    for one in contenders:
        if one.note:
            print(f"  {one.name}: {one.note}")
    return rows


def latency(encoder: OnnxEncoder, data: Path, count: int) -> dict[str, float]:
    """One query at a time, of 8 to 16 tokens, after idle gaps: p50 and p95 in ms, tokenizing included."""
    found = [
        text
        for text in real.queries(data, count * 4)
        if len(encoder.token_ids([text])[0]) in QUERY_TOKENS
    ][:count]  # fmt: skip
    if not found:
        raise SystemExit(f"{data}: no query of {QUERY_TOKENS[0]} to {QUERY_TOKENS[-1]} tokens there")
    taken = []
    for text in found:
        time.sleep(IDLE_S)
        started = time.perf_counter()
        encoder.encode_queries([text])
        taken.append(1000 * (time.perf_counter() - started))
    p50, p95 = np.percentile(taken, [50, 95])
    idle_ms = 1000 * IDLE_S
    print(f"\none query of 8-16 tokens after {idle_ms:.0f} ms idle: p50 {p50:.2f} ms, p95 {p95:.2f} ms")
    return {"queries": len(found), "p50": float(p50), "p95": float(p95), "idle": idle_ms}


def plot(rows: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Plot a bar for each encoder's ratio to the baseline, with its spread; the suffix sets the format."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = sorted(rows, key=lambda name: rows[name]["ratio"]["median"])
    spreads = [Spread(**rows[name]["ratio"]) for name in names]
    errors = [
        [one.median - one.least for one in spreads],
        [one.greatest - one.median for one in spreads],
    ]
    figure, axes = pyplot.subplots(figsize=(9, 0.5 * len(names) + 1.2), layout="constrained")
    bars = axes.barh(names, [one.median for one in spreads], xerr=errors, capsize=3, color="#4878a8")
    axes.bar_label(bars, [f"{one.median:.1f}x" for one in spreads], padding=6)
    axes.set_xlabel(f"texts a second, {BASELINE} = 1 (median; whiskers: least and most)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.1)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def _in_processes(artifact: Path, texts: Sequence[str], options: argparse.Namespace) -> dict[str, Any]:
    found = throughput(artifact, texts, options.processes, options.rounds)
    print(
        f"\none process of one thread: {_told(found['one'], 1)} docs/s; {options.processes} together: "
        f"{_told(found['together'], 1)} docs/s, {_told(found['ratio'], 2)} times one"
    )
    return {"processes": options.processes} | {name: spread._asdict() for name, spread in found.items()}


def _median(taken: Sequence[Taken]) -> float:
    return float(np.median([value.whole for value in taken]))


def _told(spread: Spread, digits: int) -> str:
    return f"{spread.median:.{digits}f} ({spread.least:.{digits}f}-{spread.greatest:.{digits}f})"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of collections in the BEIR layout")
    parser.add_argument("--artifact", type=Path, action="append", help="model folder; may be repeated")
    parser.add_argument("--texts", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="threads of every library")
    parser.add_argument(
        "--cpu-time", action="store_true",
        help="compare CPU time instead of time that passed: on a busy machine, with one thread",
    )  # fmt: skip
    parser.add_argument("--queries", type=int, default=200, help="queries for the latency, 0 to skip it")
    parser.add_argument("--processes", type=int, default=1, help="also run so many students at once")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--plot", type=Path, help="also draw the ratios here (.png or .svg)")
    options = parser.parse_args()
    if options.cpu_time and options.threads > 1:
        parser.error("--cpu-time adds up the time of all threads; use it with --threads 1")
    return options


if __name__ == "__main__":
    main()
