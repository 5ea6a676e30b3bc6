"""What each step to a fast student is worth: one thing changed at a time, in one run.

    python -m benchmarks.encode_levers --data ../shared/data --texts 200 --rounds 5

The packaged student, or ``--artifact``, runs as it is served, and beside it once for every lever: with that
lever taken out where it is in place, or put in where it is not. The factor says how many times as fast it is
with the lever, round by round. Tokenizing is not counted. Then ONNX Runtime's own profile says where the time
goes. Variants are rewrites of the same file; their weights, and so their speed, are those of the student.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime

from benchmarks import texts as real
from benchmarks.machine import finish
from benchmarks.onnx_graphs import pooled_states, to_float, with_dynamic_scales, with_token_states
from benchmarks.profiles import calls, shares
from benchmarks.timing import Spread, count_cpu_time, interleaved, ratios, seconds
from ce2de_os import OnnxEncoder
from ce2de_os.arrays import pad_ids, token_batches
from ce2de_os.model.encoder import BATCH_TOKENS

SERVED = "as it is served"
SKIP_FUSION = "SkipLayerNormFusion"
GELU = {"optimization.enable_gelu_approximation": "1"}
TEXTS_PER_BATCH = 32

Ids = Sequence[Sequence[int]]
Batches = Callable[[Sequence[int]], Iterable[list[int]]]


class Lever(NamedTuple):
    """A property, and a run that differs from `SERVED` in it alone.

    Attributes:
        name: with its two values, the faster one expected first.
        in_place: whether the student is served with it; then ``measure`` runs without, else with it.
        measure: seconds for all texts.
    """

    name: str
    in_place: bool
    measure: Callable[[], float]


def main() -> None:
    """Measure and print both tables."""
    options = _options()
    if options.cpu_time:
        count_cpu_time()
    encoder = OnnxEncoder(options.artifact)
    ids = encoder.token_ids(real.documents(options.data, options.texts))
    lengths = real.histogram([len(row) for row in ids])
    clock = "CPU time" if options.cpu_time else "time that passed"
    print(f"{encoder.artifact.name}, {len(ids)} texts, tokens: {lengths}, {options.rounds} rounds, {clock}")
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        found = levers(encoder.artifact.model_path, ids, Path(scratch))
        found += [_denormals(encoder.artifact.model_path, ids, stack, options.cpu_time)]
        if not options.cpu_time:
            found += [_threads(encoder.artifact.model_path, ids)]
        arms = {SERVED: lambda: seconds(lambda: encoder.encode_ids(ids))}
        arms |= {lever.name: lever.measure for lever in found}
        times = interleaved(arms, options.rounds)
    rows = {}
    print(f"\n{'lever':58}{'served':>8}  times as fast with it (least-most)")
    for lever in found:
        slow, fast = times[lever.name], times[SERVED]
        factor = ratios(slow, fast) if lever.in_place else ratios(fast, slow)
        rows[lever.name] = {"in_place": lever.in_place, **factor._asdict()}
        served = "yes" if lever.in_place else "no"
        print(f"{lever.name:58}{served:>8}  {factor.median:.2f} ({factor.least:.2f}-{factor.greatest:.2f})")
    speed = Spread.of([len(ids) / taken for taken in times[SERVED]])
    print(f"{SERVED}: {speed.median:.1f} docs/s ({speed.least:.1f}-{speed.greatest:.1f})")
    result = {
        "fingerprint": encoder.fingerprint, "texts": len(ids), "tokens": lengths, "clock": clock,
        "rounds": options.rounds, "docs_per_s": speed._asdict(), "levers": rows,
        "profile": profile(encoder.artifact.model_path, ids),
    }  # fmt: skip
    finish(result, options.json)


def levers(path: Path, ids: Ids, scratch: Path) -> list[Lever]:
    """Everything that can be changed within this process."""
    model = onnx.load(path)

    def rewritten(change: Callable[[onnx.ModelProto], onnx.ModelProto]) -> Path:
        file = scratch / f"{change.__name__}.onnx"
        onnx.save(change(model), file)
        return file

    unsorted = _runner(path, ids, batches=_in_order)
    small, large = (_runner(path, ids, batches=_bounded(tokens)) for tokens in (128, 4096))
    found = [
        Lever(
            f"batches: {BATCH_TOKENS} tokens by length, or {TEXTS_PER_BATCH} texts in order", True, unsorted
        ),
        Lever(f"batches: {BATCH_TOKENS} tokens, or 128", True, small),
        Lever(f"batches: {BATCH_TOKENS} tokens, or 4,096", True, large),
        Lever("add and layer norm apart, or fused", True, _runner(path, ids, disabled=())),
        Lever("int8, or fp32", True, _runner(rewritten(to_float), ids)),
        Lever(
            "constant activation scales, or one a batch", True, _runner(rewritten(with_dynamic_scales), ids)
        ),
        Lever("GELU by tanh, or by erf", False, _runner(path, ids, settings=GELU)),
    ]
    if pooled_states(model):
        outside = _runner(rewritten(with_token_states), ids, pool=True)
        found.append(Lever("pooling in the graph, or outside of it (without head)", True, outside))
    return found


def profile(path: Path, ids: Ids) -> dict[str, float]:
    """Print and return each kernel's share of the run, by ONNX Runtime's profiler."""
    feeds = []
    for batch in token_batches([len(row) for row in ids], BATCH_TOKENS):
        tokens, mask = pad_ids([ids[row] for row in batch])
        feeds.append({"input_ids": tokens, "attention_mask": mask})
    found = shares(calls(path, feeds, _session_options(1, {}), [SKIP_FUSION]))
    print("\nshare of the time, by kernel")
    for op, share in found.items():
        if share >= 0.005:
            print(f"  {op:28}{share:6.1%}")
    return found


def _runner(
    path: Path, ids: Ids, *, batches: Batches | None = None, disabled: Sequence[str] = (SKIP_FUSION,),
    settings: dict[str, str] | None = None, threads: int = 1, pool: bool = False,
) -> Callable[[], float]:  # fmt: skip
    """Return a measurement of the graph at ``path``; defaults are those of `OnnxEncoder`."""
    session = onnxruntime.InferenceSession(
        str(path), _session_options(threads, settings or {}), providers=["CPUExecutionProvider"],
        disabled_optimizers=list(disabled),
    )  # fmt: skip
    divide = batches or _bounded(BATCH_TOKENS)

    def run() -> None:
        for batch in divide([len(row) for row in ids]):
            tokens, mask = pad_ids([ids[row] for row in batch])
            outputs = session.run(None, {"input_ids": tokens, "attention_mask": mask})
            if pool:
                weights = mask[:, :, None].astype(np.float32)
                np.concatenate([(states * weights).sum(1) / weights.sum(1) for states in outputs], axis=1)

    return lambda: seconds(run)


def _session_options(threads: int, settings: dict[str, str]) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    own = {"session.intra_op.allow_spinning": "0", "session.set_denormal_as_zero": "1"}
    for name, value in (own | settings).items():
        options.add_session_config_entry(name, value)
    return options


def _bounded(tokens: int) -> Batches:
    return partial(token_batches, max_tokens=tokens)


def _in_order(lengths: Sequence[int]) -> list[list[int]]:
    positions = list(range(len(lengths)))
    return [positions[start : start + TEXTS_PER_BATCH] for start in range(0, len(lengths), TEXTS_PER_BATCH)]


def _threads(path: Path, ids: Ids) -> Lever:
    return Lever("2 threads, or 1", False, _runner(path, ids, threads=2))


_in_child: list[Callable[[], float]] = []


def _denormals(path: Path, ids: Ids, stack: ExitStack, cpu_time: bool) -> Lever:
    """Denormals kept, in a process of its own: the first session of a process decides for all of them."""
    pool = stack.enter_context(
        ProcessPoolExecutor(
            1, multiprocessing.get_context("spawn"), initializer=_load, initargs=(path, ids, cpu_time)
        )
    )
    return Lever("denormals as zero, or kept", True, lambda: pool.submit(_measure).result())


def _load(path: Path, ids: Ids, cpu_time: bool) -> None:
    if cpu_time:
        count_cpu_time()
    _in_child.append(_runner(path, ids, settings={"session.set_denormal_as_zero": "0"}))


def _measure() -> float:
    return _in_child[0]()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of collections in the BEIR layout")
    parser.add_argument("--artifact", type=Path, help="model folder (default: the packaged student)")
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--cpu-time", action="store_true",
        help="compare CPU time instead of time that passed: on a busy machine; leaves the threads out",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, help="also write the figures here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
