"""Run another benchmark as on a CPU that has AVX2 and nothing newer: no AVX-512, no VNNI, no AMX.

    python -m benchmarks.avx2_only -m benchmarks.encode --data DATA

Every library asks the CPU what it can do with the CPUID instruction and chooses its kernels by the answer.
Linux can let that instruction trap on Intel CPUs that support it (`arch_prctl(ARCH_CPUID)`); a small
preloaded library then gives the answer with the newer features left out. The instructions that run are real
AVX2 ones at full speed, so that ratios are those of such a CPU, as far as its clock and caches are like
this one's. Needs gcc.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.machine import AVX2_ONLY

SOURCE = Path(__file__).with_suffix(".c")


def main() -> None:
    """Compile the library and run Python with it."""
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        return
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "avx2_only.so"
        compiler = ["gcc", "-O2", "-shared", "-fPIC", "-o", str(library), str(SOURCE)]
        subprocess.run(compiler, check=True)
        environment = os.environ | {"LD_PRELOAD": str(library), AVX2_ONLY: "1"}
        _check(environment)
        done = subprocess.run([sys.executable, *sys.argv[1:]], env=environment, check=False)
    raise SystemExit(done.returncode)


def _check(environment: dict[str, str]) -> None:
    asked = "import torch; print(torch.backends.cpu.get_cpu_capability())"
    answer = subprocess.run(
        [sys.executable, "-c", asked], env=environment, check=True, capture_output=True, text=True
    )
    if answer.stdout.strip() != "AVX2":
        raise SystemExit(
            f"this CPU or kernel cannot hide its features (PyTorch still sees {answer.stdout.strip()}); "
            "needs Linux on an Intel CPU with the flag cpuid_fault"
        )


if __name__ == "__main__":
    main()
