from __future__ import annotations

import subprocess
import sys
import textwrap

HUNG = """
    import ctypes
    from ce2de_os.reindex.watchdog import watched
    with watched(0.5):
        ctypes.PyDLL(None).sleep(30)  # which keeps Python's lock, as native code may
"""
MOVING = """
    import time
    from ce2de_os.reindex.watchdog import beat, watched
    with watched(1.0):
        for _ in range(6):
            time.sleep(0.3)
            beat()
    beat()
    time.sleep(1.5)
    print("ended by itself")
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, timeout=25, check=False)


def test_a_hanging_native_call_ends_its_process_with_the_stack() -> None:
    hung = run(HUNG)
    assert hung.returncode == 1
    assert "Timeout" in hung.stderr
    assert 'File "<string>"' in hung.stderr


def test_a_process_that_moves_on_is_left_alone() -> None:
    assert run(MOVING).stdout == "ended by itself\n"
