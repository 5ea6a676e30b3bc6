"""How long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

Phase = Callable[[str, int, int], None]
"""Receives the name of a step, how much of it is done, and how much there is."""
