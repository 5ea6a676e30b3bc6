"""What a forked process must not share with its parent: open connections, held locks, threads of a model.

Servers such as gunicorn (preload) make everything once and fork. The owner of such an object
registers how to make it anew; Python then does so in each child, before anything else runs there.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

_renewals: WeakKeyDictionary[object, Callable[[object], None]] = WeakKeyDictionary()


def renew_after_fork(holder: T, renew: Callable[[T], None]) -> None:
    """Call ``renew(holder)`` in every child that is forked while ``holder`` lives."""
    _renewals[holder] = renew  # type: ignore[assignment]  # the key's own type


def _renew_all() -> None:
    for holder, renew in list(_renewals.items()):
        renew(holder)


os.register_at_fork(after_in_child=_renew_all)
