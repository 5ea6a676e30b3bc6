"""Is the int8 file safe? The same vector in every batch, and the same integers on every CPU.

    apt-get install qemu-user
    python -m benchmarks.int8_safety --data ../shared/data

First, every text is encoded alone, in a batch of 32, and padded to the greatest length. Then the integer
products of the graph, fed with the activations of real texts, run on this CPU and in a child process under
QEMU on an emulated CPU that has AVX2 and no AVX-512; both are compared with numpy. A counter-example shows
that the comparison can fail: AVX2 sums pairs of products in 16 bits, so weights up to ±127 overflow there.
Ends with status 1 if the file is not safe.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import texts as real
from benchmarks.integer_evidence import Arrays, Ids, observe, prepare
from benchmarks.machine import finish
from benchmarks.onnx_graphs import FULL, SAFE
from ce2de_os import OnnxEncoder
from ce2de_os.arrays import Embeddings, cosine
from ce2de_os.model.artifact import Artifact

BATCH = 32
MAX_BATCH_EFFECT, MIN_CPU_COSINE = 1e-5, 0.9999
WRONG_SAFE, WRONG_FULL = f"wrong sums, weights up to ±{SAFE}", f"wrong sums, weights up to ±{FULL}"
TOY_FULL = f"2 · 255 · {FULL} ({2 * 255 * FULL:,})"
QEMU, ADVICE = "qemu-x86_64", "run: apt-get install qemu-user"


class Difference(NamedTuple):
    """Of two arrays of embeddings: the greatest difference of two elements, the least cosine of two rows."""

    max_delta: float
    min_cosine: float

    @classmethod
    def of(cls, left: Embeddings, right: Embeddings) -> Difference:
        """Compute the difference between equal shapes ``(B, D)``."""
        return cls(float(np.abs(left - right).max()), float(cosine(left, right).min()))

    def __str__(self) -> str:
        return f"max |Δ| {self.max_delta:.1e}, least cosine {self.min_cosine:.6f}"


def main() -> None:
    """Measure, print, and fail if a bound is broken."""
    options = _options()
    if options.child:
        np.savez(options.child / "seen.npz", **observe(options.child))
        return
    artifact = Artifact.load(options.artifact)
    short = options.texts // 3
    texts = real.documents(options.data, options.texts - short) + real.queries(options.data, short)
    ids = OnnxEncoder(artifact).token_ids(texts)
    lengths = real.histogram([len(row) for row in ids])
    print(f"{artifact.name}, {len(texts)} texts, tokens: {lengths}")
    batch = batch_effect(artifact, ids)
    for name, difference in batch.items():
        print(f"  a text alone and {name}: {difference}")
    cpus = compare_cpus(artifact, texts[:: max(1, len(texts) // options.emulated)], options.cpu)
    failures = [
        f"{name}: max |Δ| {difference.max_delta:.1e}, at most {MAX_BATCH_EFFECT:.0e} expected"
        for name, difference in batch.items()
        if not difference.max_delta <= MAX_BATCH_EFFECT
    ] + _failures(cpus)
    result = {
        "fingerprint": artifact.fingerprint, "texts": len(texts), "tokens": lengths,
        "batch": {name: difference._asdict() for name, difference in batch.items()},
        "cpus": cpus, "failures": failures,
    }  # fmt: skip
    finish(result, options.json)
    if failures:
        raise SystemExit("NOT SAFE: " + "; ".join(failures))


def batch_effect(artifact: Artifact, ids: Ids) -> dict[str, Difference]:
    """How a text's vector alone differs from the one it gets among others, and beside much padding."""
    encoder = OnnxEncoder(artifact, batch_tokens=BATCH * artifact.max_length)  # any 32 texts are one batch
    alone = np.concatenate([encoder.encode_ids([row]) for row in ids])
    batches = [encoder.encode_ids(ids[start : start + BATCH]) for start in range(0, len(ids), BATCH)]
    longest = [100] * artifact.max_length  # its neighbour is padded to this length
    padded = np.stack([encoder.encode_ids([row, longest])[0] for row in ids])
    return {
        f"in a batch of {BATCH}": Difference.of(alone, np.concatenate(batches)),
        f"padded to {artifact.max_length} tokens": Difference.of(alone, padded),
    }


def compare_cpus(artifact: Artifact, texts: Sequence[str], cpu: str) -> dict[str, Any] | None:
    """Run `observe` here and on the emulated CPU, and judge the results; ``None`` without QEMU."""
    if shutil.which(QEMU) is None:
        print(f"  another CPU: skipped, {QEMU} is not installed; {ADVICE}")
        return None
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        exact = prepare(artifact, texts, folder)
        here = observe(folder)
        started = time.monotonic()
        command = [QEMU, "-cpu", cpu, sys.executable, "-m", "benchmarks.int8_safety", "--child", scratch]
        child = subprocess.run(
            command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        if child.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{child.stderr[-2000:]}")
        print(f"  {len(texts)} texts on the emulated CPU '{cpu}' took {time.monotonic() - started:.0f} s")
        with np.load(folder / "seen.npz") as seen:
            there = dict(seen)
    rows = {"here": _judge(here, exact), "emulated": _judge(there, exact)}
    vectors = Difference.of(here["vectors"], there["vectors"])
    full = Difference.of(here["vectors_full"], there["vectors_full"])
    _print_table(rows, cpu)
    print(f"  vectors of the two, weights up to ±{SAFE} as exported: {vectors}")
    print(f"  vectors of the two, weights doubled to ±{FULL}: {full}")
    return {
        **rows, "emulated_cpu": cpu, "texts": len(texts),
        "vectors": vectors._asdict(), "vectors_full_range": full._asdict(),
    }  # fmt: skip


def _judge(seen: Arrays, exact: Arrays) -> dict[str, Any]:
    """Return the features of one CPU, its toys, and how many of its sums differ from numpy's."""

    def wrong(prefix: str) -> int:
        names = [name for name in exact if name.startswith(prefix)]
        return sum(int((seen[name].astype(np.int64) != exact[name]).sum()) for name in names)

    return {
        "CPUID has AVX2": "AVX2" in seen["cpuid"],
        "CPUID has AVX512-VNNI": "AVX512VNNI" in seen["cpuid"],
        "/proc/cpuinfo has AVX512-VNNI": "avx512_vnni" in seen["kernel_list"],
        "sums compared": sum(sums.size for name, sums in exact.items() if name.startswith("safe")),
        WRONG_SAFE: wrong("safe"),
        WRONG_FULL: wrong("full"),
        f"2 · 255 · {SAFE} ({2 * 255 * SAFE:,})": int(seen[f"toy{SAFE}"][0, 0]),
        TOY_FULL: int(seen[f"toy{FULL}"][0, 0]),
    }


def _print_table(rows: dict[str, dict[str, Any]], cpu: str) -> None:
    print(f"  {'':40}{'this CPU':>14}{f'emulated {cpu}':>20}")
    for key in rows["here"]:
        values = [str(rows[name][key]) for name in ("here", "emulated")]
        print(f"  {key:40}{values[0]:>14}{values[1]:>20}")


def _failures(cpus: dict[str, Any] | None) -> list[str]:
    """Return the bounds that do not hold, in words, and a counterexample that does not fail."""
    if cpus is None:
        return []
    found = [
        f"{cpus[name][WRONG_SAFE]} integer sums on the CPU '{name}' are wrong"
        for name in ("here", "emulated")
        if cpus[name][WRONG_SAFE]
    ]
    if not cpus["vectors"]["min_cosine"] >= MIN_CPU_COSINE:
        found.append(f"the CPUs' vectors differ: cosine {cpus['vectors']['min_cosine']:.6f}")
    if cpus["emulated"][TOY_FULL] == 2 * 255 * FULL:
        found.append(f"weights of ±{FULL} do not overflow on the emulated CPU, so nothing is proved")
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of collections in the BEIR layout")
    parser.add_argument("--artifact", type=Path, help="model folder (default: the packaged student)")
    parser.add_argument("--texts", type=int, default=300, help="texts for the effect of the batch")
    parser.add_argument("--emulated", type=int, default=30, help="how many of them for the emulated CPU")
    parser.add_argument(
        "--cpu", default="max", help="QEMU's name of the CPU, such as max, Haswell, EPYC-Milan"
    )
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.data is None and options.child is None:
        parser.error("--data is required")
    return options


if __name__ == "__main__":
    main()
