"""Read the forms of the actions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ce2de_os.ui.errors import PageError
from ce2de_os.ui.jobs.verbs import CUTOVER, ROLLBACK, THROTTLE


def check_typed(form: Mapping[str, str], job_id: str) -> None:
    """Refuse a form without the job's id, typed by hand.

    Raises:
        PageError: it is another text.
    """
    typed = form.get("typed", "").strip()
    if typed != job_id:
        got = f"got '{typed:.80}'" if typed else "it is empty"
        raise PageError(400, f"the confirmation: {got}, expected the job's id '{job_id}'", "type it exactly")


def choices(verb: str, form: Mapping[str, str]) -> dict[str, Any]:
    """Return the options of a verb that the form sets.

    Raises:
        PageError: one of them cannot be used.
    """
    if verb == THROTTLE:
        return {"docs_per_s": _rate(form.get("docs_per_s", "").strip())}
    if verb == CUTOVER:
        return {name: True for name in ("accept_rejected", "accept_unreplicated") if form.get(name)}
    return {"discard_writes": bool(form.get("discard_writes"))} if verb == ROLLBACK else {}


def _rate(text: str) -> float | None:
    try:
        rate = float(text) if text else None
    except ValueError:
        rate = math.nan
    if rate is not None and not 0 < rate < math.inf:
        raise PageError(
            400,
            f"documents a second: got '{text:.40}', expected a number above 0",
            "for no limit leave it empty",
        )
    return rate
