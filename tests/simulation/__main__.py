"""Play one seed again and print what happened: ``python -m tests.simulation handover 17``."""

from __future__ import annotations

import gc
import logging
import sys
import time

from tests.simulation.patches import simulated
from tests.simulation.runs import play
from tests.simulation.scenarios import SCENARIOS


def main() -> int:
    """Replay ``SCENARIO SEED``, or count the failing ones among ``SCENARIO FIRST LAST``."""
    if len(sys.argv) not in (3, 4) or sys.argv[1] not in SCENARIOS:
        print(f"python -m tests.simulation SCENARIO SEED [LAST]; scenarios: {', '.join(SCENARIOS)}")
        return 2
    logging.disable(logging.CRITICAL)
    name, first = sys.argv[1], int(sys.argv[2])
    with simulated():
        if len(sys.argv) == 4:
            return _count(name, first, int(sys.argv[3]))
        problems, log, _ = play(name, first, traced=True)
    print("\n".join(log))
    print("\n".join(problems) or "no problem")
    return 1 if problems else 0


def _count(name: str, first: int, last: int) -> int:
    started, failed = time.process_time(), 0
    gc.disable()
    gc.freeze()
    for seed in range(first, last + 1):
        if seed % 20 == 0:
            gc.collect()
        problems = play(name, seed).problems
        failed += bool(problems)
        if problems:
            print(f"{seed}: {'; '.join(problems)[:300]}")
    each_ms = (time.process_time() - started) / (last - first + 1) * 1000
    print(f"{name}: {failed} of {last - first + 1} seeds fail, {each_ms:.1f} ms each")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
