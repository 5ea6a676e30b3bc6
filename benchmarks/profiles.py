"""ONNX Runtime's own profile of a graph: which kernels ran, how long, and on what shapes."""

from __future__ import annotations

import json
import math
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray

Feed = dict[str, NDArray[np.int64]]

_COUNTED_LENGTHS = (16, 64, 192)  # three lengths fix a polynomial of second degree


class Call(NamedTuple):
    """One run of one kernel: its type, its time, and the shapes of its inputs."""

    op: str
    seconds: float
    shapes: list[list[int]]


def calls(
    model: Path, feeds: Iterable[Feed], options: onnxruntime.SessionOptions, disabled: Sequence[str] = ()
) -> list[Call]:
    """Every kernel call while the graph at ``model`` runs on all ``feeds``.

    Profiling costs time itself, so the seconds are good for shares only.
    """
    with tempfile.TemporaryDirectory() as scratch:
        options.enable_profiling = True
        options.profile_file_prefix = f"{scratch}/profile"
        session = onnxruntime.InferenceSession(
            str(model), options, providers=["CPUExecutionProvider"], disabled_optimizers=list(disabled)
        )
        wanted = {one.name for one in session.get_inputs()}
        for feed in feeds:
            session.run(None, {name: value for name, value in feed.items() if name in wanted})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return [_call(event) for event in events if str(event.get("name", "")).endswith("_kernel_time")]


def shares(found: Iterable[Call]) -> dict[str, float]:
    """Each kernel type's share of the time, the greatest first."""
    spent: Counter[str] = Counter()
    for call in found:
        spent[call.op] += call.seconds
    return {op: taken / spent.total() for op, taken in spent.most_common()}


def operations(model: Path, lengths: Sequence[int]) -> float:
    """Multiplications and additions in the matrix products for texts of these many tokens, without padding.

    ``model`` is an fp32 graph. A text of ``L`` tokens costs ``a + b L + c L²``, so three lengths tell all.
    """
    costs = [_cost_of_one(model, length) for length in _COUNTED_LENGTHS]
    return float(np.polyval(np.polyfit(_COUNTED_LENGTHS, costs, 2), np.asarray(lengths)).sum())


def _cost_of_one(model: Path, length: int) -> float:
    tokens = np.full((1, length), 100, dtype=np.int64)
    feed = {
        "input_ids": tokens, "attention_mask": np.ones_like(tokens), "token_type_ids": np.zeros_like(tokens),
    }  # fmt: skip
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.disable_prepacking", "1")  # else constants have no shape here
    found = calls(model, [feed], options)
    products = [call.shapes for call in found if call.op in ("MatMul", "Gemm")]
    # (…, M, K) times (…, K, N); the exporters here write Gemm with a transposed second matrix (N, K).
    return sum(2.0 * math.prod(left) * math.prod(right[-2:]) / left[-1] for left, right, *_ in products)


def _call(event: dict[str, Any]) -> Call:
    inputs = event["args"].get("input_type_shape", [])
    return Call(event["args"]["op_name"], event["dur"] / 1e6, [next(iter(one.values())) for one in inputs])
