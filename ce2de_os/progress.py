"""The progress of long work."""

from __future__ import annotations

from collections.abc import Callable

Phase = Callable[[str, int, int], None]
"""Receives the name of a step, the amount done, and the total; a total of 0 is unknown."""

Progress = Callable[[int, int], None]
"""Receives the amount done, and the total."""
