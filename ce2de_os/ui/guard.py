"""Guard: each request's session, token, origin and form secret; and the headers of each answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ce2de_os.ui.errors import PageError
from ce2de_os.ui.request import UiRequest
from ce2de_os.ui.sessions import Sessions

ENTER = "/enter"
OPEN = (ENTER, "/csrf")
"""Paths that need no token."""

HARMLESS = ("/evaluate/start",)
"""Actions that change nothing, and so are there in read-only mode too."""

JOBS = "/jobs/"
"""Actions below this path need the token at loopback too."""

MOST_BYTES = 32 * 1024 * 1024
"""Bytes of a body: a file of judgments is the largest."""

FIELD, HEADER = "csrf", "x-csrf-token"

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

Refuse = Callable[[Request, PageError], Response]


class Guard:
    """Lets a request through to the pages, or refuses it.

    ``request.state`` gets ``session``, ``entered`` (the token was shown), and for POST ``form`` and ``body``.
    """

    def __init__(self, app: ASGIApp, sessions: Sessions, settings: UiRequest, refuse: Refuse) -> None:
        self._app, self._sessions, self._settings, self._refuse = app, sessions, settings, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        http = Request(scope, receive)
        name = cookie_name(http)
        given = self._sessions.known(_cookies(http).get(name))
        session = given or self._sessions.begin()
        state = http.state
        state.session, state.entered = session, self._sessions.has_entered(session)
        state.form, state.body = {}, b""
        # Such a request has no cookie of ours, whatever the browser keeps: it must not get another one.
        elsewhere = http.headers.get("sec-fetch-site") == "cross-site"
        new = None if given or elsewhere or http.url.path.startswith("/static/") else session
        outgoing = _with_headers(http, send, name, new)
        try:
            await self._check(http)
        except PageError as error:
            await self._refuse(http, error)(scope, receive, outgoing)
            return
        except ClientDisconnect:
            return
        await self._app(scope, receive, outgoing)

    async def _check(self, http: Request) -> None:
        path = http.url.path
        if path.startswith("/static/"):
            return
        is_open = path in OPEN
        if self._settings.needs_token and not http.state.entered and not is_open:
            raise PageError(401, "this page needs a token", "open the address that 'ce2de ui' printed")
        if http.method in ("GET", "HEAD"):
            return
        if http.method != "POST":
            raise PageError(405, f"{http.method} is the wrong method for this page")
        self._check_origin(http)
        await self._read(http)
        self._check_form(http)
        if self._settings.read_only and not is_open and path not in HARMLESS:
            raise PageError(
                403, "this page is read-only", "start 'ce2de ui' without `read_only` to change things"
            )
        if path.startswith(JOBS) and not http.state.entered:
            raise PageError(401, "actions on jobs need a token", "open the address that 'ce2de ui' printed")

    def _check_origin(self, http: Request) -> None:
        """Refuse what a page of another site sends."""
        origin, site = http.headers.get("origin"), http.headers.get("sec-fetch-site")
        host = http.headers.get("host", "").lower()
        if origin is not None and urlsplit(origin).netloc.lower() == host:
            return
        if origin is None and site == "same-origin":
            return
        raise PageError(
            403,
            f"the request comes from {origin or 'an unknown page'!s:.100}, not from this page",
            "open this page itself, and try again",
        )

    async def _read(self, http: Request) -> None:
        body = bytearray()
        async for chunk in http.stream():
            body += chunk
            if len(body) > MOST_BYTES:
                raise PageError(413, f"more than {MOST_BYTES:,} bytes were sent", "use a smaller file")
        kind = http.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/x-www-form-urlencoded":
            try:
                http.state.form = dict(parse_qsl(body.decode(), keep_blank_values=True, errors="strict"))
            except ValueError as error:
                raise PageError(400, f"the form cannot be read ({error})") from None
        else:
            http.state.body = bytes(body)

    def _check_form(self, http: Request) -> None:
        value = http.headers.get(HEADER) or http.state.form.get(FIELD, "")
        if not self._sessions.repeats(http.state.session, value):
            raise PageError(
                403,
                "this page is out of date: the server was started again, or cookies are off",
                "load the page again",
                stale=True,
            )


def cookie_name(http: Request) -> str:
    """Name the cookie by the port: browsers send a host's cookies to all of its ports."""
    return f"ce2de_ui_{http.url.port or http.url.scheme}"


def cookie(http: Request, session: str) -> str:
    """Return the header that gives a session to a browser."""
    secure = "; Secure" if http.url.scheme == "https" else ""
    return f"{cookie_name(http)}={session}; Path=/; HttpOnly; SameSite=Strict{secure}"


def _cookies(http: Request) -> Mapping[str, str]:
    found: SimpleCookie = SimpleCookie()
    try:
        found.load(http.headers.get("cookie", ""))
    except CookieError:
        return {}
    return {name: morsel.value for name, morsel in found.items()}


def _with_headers(http: Request, send: Send, name: str, new: str | None) -> Send:
    async def outgoing(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for key, value in HEADERS.items():
                headers[key] = value
            headers.setdefault(
                "Cache-Control", "no-cache" if http.url.path.startswith("/static/") else "no-store"
            )
            given = any(value.startswith(f"{name}=") for value in headers.getlist("set-cookie"))
            if new is not None and not given:
                headers.append("Set-Cookie", cookie(http, new))
        await send(message)

    return outgoing
