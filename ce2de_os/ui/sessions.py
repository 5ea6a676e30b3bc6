"""Sessions: which browser has shown the token, and the secret that its forms repeat."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from threading import Lock

from ce2de_os.server.keys import Keys

MOST = 1000
"""Browsers that stay signed in; the oldest has to show the token again."""

_SESSION = re.compile(r"[\w-]{32}")


class Sessions:
    """Knows the browsers that have shown a token of ``keys``; ``None``: one token is made here."""

    def __init__(self, keys: Keys | None) -> None:
        self._keys = keys
        self.token = secrets.token_urlsafe(24) if keys is None else None
        self._secret = secrets.token_bytes(32)
        self._entered: OrderedDict[str, None] = OrderedDict()
        self._lock = Lock()

    @staticmethod
    def begin() -> str:
        """Return the name of a new session, which cannot be guessed."""
        return secrets.token_urlsafe(24)

    @staticmethod
    def known(cookie: str | None) -> str | None:
        """Return the session that a cookie names; ``None``: it names none."""
        return cookie if cookie and _SESSION.fullmatch(cookie) else None

    def enter(self, token: str) -> str | None:
        """Return a new session if the token is right; ``None``: it is wrong."""
        right = (
            self._keys.accept(token)
            if self._keys
            else hmac.compare_digest(_digest(token), _digest(self.token))
        )
        if not right:
            return None
        session = self.begin()
        with self._lock:
            self._entered[session] = None
            while len(self._entered) > MOST:
                self._entered.popitem(last=False)
        return session

    def has_entered(self, session: str) -> bool:
        """Return whether this session has shown the token."""
        return session in self._entered

    def csrf(self, session: str) -> str:
        """Return what the forms of a session must repeat: a page of another site cannot know it."""
        return hmac.new(self._secret, session.encode(), hashlib.sha256).hexdigest()

    def repeats(self, session: str, value: str) -> bool:
        """Return whether a form repeats it."""
        return hmac.compare_digest(self.csrf(session).encode(), value.encode("utf-8", "replace"))


def _digest(token: str | None) -> bytes:
    return hashlib.sha256((token or "").encode("utf-8", "replace")).digest()
