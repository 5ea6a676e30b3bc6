"""Keeping secrets out of what people and logs get to see."""

from __future__ import annotations

import json
import re
import sys
import threading
import traceback
from types import TracebackType
from urllib.parse import quote

MASK = "***"

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'<>]+")
_PLAIN_NAME = re.compile(r"[\w.-]*")
_SHORTEST = 4  # fewer characters are also parts of ordinary words
_MOST = 256  # forms of secrets that are remembered; an application that changes its password keeps the newest
_remembered: dict[str, None] = {}


def mask_url(url: str) -> str:
    """Replace the password and the query of ``url`` by stars, for messages; it need not be a valid URL.

    Of what stands before the last ``@`` only a plain user's name stays.
    """
    found = _SCHEME.match(url)
    scheme = found.group() if found else ""
    credentials, at, rest = url[len(scheme) :].rpartition("@")
    if re.search(r"[?#]", credentials):
        return f"{scheme}{MASK}"  # the last @ may belong to a value of the query
    rest = re.sub(r"(?s)([?#]).*", rf"\1{MASK}", rest)
    user, colon, _ = credentials.partition(":")
    shown = f"{user}:{MASK}" if colon and _PLAIN_NAME.fullmatch(user) else MASK
    return f"{scheme}{shown}@{rest}" if at else f"{scheme}{rest}"


def remember(*values: str | None) -> None:
    """Let `redact` replace these secrets, however they are quoted; those shorter than 4 characters stay."""
    for value in values:
        if value is None or len(value) < _SHORTEST:
            continue
        as_json, plain = json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]
        quoted = quote(value, safe="", errors="replace")
        for form in (value, quoted, one_line(value), as_json, plain, repr(value)[1:-1], ascii(value)[1:-1]):
            _remembered.pop(form, None)
            _remembered[form] = None
    for oldest in list(_remembered)[:-_MOST]:
        del _remembered[oldest]


def redact(text: str) -> str:
    """Mask every address in ``text`` and every secret that is remembered."""
    for secret in sorted(_remembered, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return _ADDRESS.sub(lambda found: mask_url(found.group()), text)


def one_line(value: object) -> str:
    """Escape a value so that it cannot start a new line, which could forge a record, or steer a terminal."""
    return "".join(
        part if part.isprintable() else part.encode("unicode_escape").decode() for part in str(value)
    )


def redact_tracebacks() -> None:
    """Let this process print tracebacks without secrets, also those of its threads."""

    def show(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
        sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))

    sys.excepthook = show
    threading.excepthook = lambda args: show(args.exc_type, args.exc_value, args.exc_traceback)
