"""Check the connection of an alias to a service, for the worker that follows it."""

from __future__ import annotations

from dataclasses import replace

from ce2de_os.config import Settings
from ce2de_os.connect.check import check
from ce2de_os.index.client import connect
from ce2de_os.worker import resources

PATIENCE_S = 5.0
"""Seconds for one answer; nothing is followed until it is there."""


def fault(name: str) -> str | None:
    """Return what is wrong with the connection of ``name``; ``None``: nothing.

    Raises:
        Ce2deError: it cannot be looked at.
    """
    settings, encoder = Settings.from_env().opensearch, resources.encoder()
    with connect(replace(settings, timeout_s=min(settings.timeout_s, PATIENCE_S))) as client:
        findings = check(client, name, encoder.artifact, encoder)
    wrong = [finding for finding in findings if not finding.right]
    return "; ".join(f"{one.what}: {one.finding}; {one.action}" for one in wrong) or None
