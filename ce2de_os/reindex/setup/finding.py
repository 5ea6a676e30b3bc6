"""Reasons against a reindex, with what to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One reason, and what to do about it."""

    reason: str
    action: str
