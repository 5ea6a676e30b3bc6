"""Start of the encoder: seconds from process start to the first vector, and memory, in fresh processes.

python -m benchmarks.encoder_start
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.machine import finish

_CODE = (
    "from ce2de_os import OnnxEncoder; OnnxEncoder().encode_queries(['how do I copy a folder']);"
    "print(open('/proc/self/status').read().split('VmRSS:')[1].split()[0])"
)


def main() -> None:
    """Measure and print the medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    seconds, memory_mb = [], []
    for _ in range(options.rounds + 1):
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", _CODE], capture_output=True, text=True, check=True)
        seconds.append(time.perf_counter() - started)
        memory_mb.append(int(done.stdout) / 1024)
    row = {"seconds": statistics.median(seconds[1:]), "memory_mb": statistics.median(memory_mb[1:])}
    print(f"process start to first vector: {row['seconds']:.2f} s, resident memory {row['memory_mb']:.0f} MB")
    finish(row, options.output)


if __name__ == "__main__":
    main()
