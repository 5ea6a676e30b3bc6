"""What every benchmark prints beside its figures: where and when they were measured."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_LIBRARIES = (
    "onnxruntime", "tokenizers", "torch", "transformers", "sentence-transformers", "optimum", "numpy",
    "opensearch-py",
)  # fmt: skip
_FLAGS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
_NEWER = ("avx512", "avx_vnni", "amx")  # what a flag newer than AVX2 begins with
AVX2_ONLY = "CE2DE_BENCHMARK_AVX2_ONLY"  # set where `benchmarks.avx2_only` hides the newer features
_THREAD_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TOKENIZERS_PARALLELISM")


def machine() -> dict[str, Any]:
    """CPU, its vector and matrix instructions, cores, load, library versions and the date."""
    fields = _cpuinfo()
    flags = cpu_flags()
    return {
        "cpu": fields.get("model name", platform.processor()),
        "flags": [flag for flag in _FLAGS if flag in flags],
        "int8": "AVX512-VNNI" if "avx512_vnni" in flags else "AVX2" if "avx2" in flags else "unknown",
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "date": datetime.now(tz=UTC).date().isoformat(),
        "versions": {name: found for name in _LIBRARIES if (found := _version(name))},
        "environment": {name: os.environ[name] for name in _THREAD_SETTINGS if name in os.environ},
    }


def cpu_flags() -> set[str]:
    """Return the CPU's feature flags as the kernel spells them; empty without ``/proc/cpuinfo``."""
    flags = set(_cpuinfo().get("flags", "").split())
    if AVX2_ONLY in os.environ:
        return {flag for flag in flags if not flag.startswith(_NEWER)}
    return flags


def instruction_set() -> str:
    """Return the name that Optimum and sentence-transformers give this CPU's int8 settings."""
    flags = cpu_flags()
    if platform.machine() in ("aarch64", "arm64"):
        return "arm64"
    return "avx512_vnni" if "avx512_vnni" in flags else "avx512" if "avx512f" in flags else "avx2"


def finish(result: dict[str, Any], output: Path | None) -> None:
    """Print the machine, and write everything as JSON if ``output`` is given."""
    found = machine()
    print(
        f"\n{found['cpu']} ({' '.join(found['flags'])}), {found['cores']} cores, load {found['load']}, "
        f"{found['date']}"
    )
    print(", ".join(f"{name} {number}" for name, number in found["versions"].items()))
    if output is not None:
        output.write_text(json.dumps({"machine": found, **result}, indent=2) + "\n", encoding="utf-8")


def _cpuinfo() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    first = path.read_text(encoding="utf-8").split("\n\n")[0] if path.exists() else ""
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None
