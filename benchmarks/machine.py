"""What every benchmark prints beside its figures: where and when they were measured."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

_LIBRARIES = ("onnxruntime", "tokenizers", "opensearch-py")


def machine() -> dict[str, Any]:
    """CPU, its int8 instructions, cores, library versions and the date."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    fields = dict(line.split(":", 1) for line in info.split("\n\n")[0].splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    flags = set(fields.get("flags", "").split())
    return {
        "cpu": fields.get("model name", platform.processor()),
        "int8": "AVX512-VNNI" if "avx512_vnni" in flags else "AVX2" if "avx2" in flags else "unknown",
        "cores": os.cpu_count(),
        "date": datetime.now(tz=UTC).date().isoformat(),
        "versions": {name: version(name) for name in _LIBRARIES},
    }


def finish(result: dict[str, Any], output: Path | None) -> None:
    """Print the machine, and write everything as JSON if ``output`` is given."""
    found = machine()
    print(f"\n{found['cpu']} ({found['int8']}), {found['cores']} cores, {found['date']}")
    if output is not None:
        output.write_text(json.dumps({"machine": found, **result}, indent=2) + "\n", encoding="utf-8")
