"""Pages: the templates, and what all of them know."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from ce2de_os.errors import Ce2deError, DataError
from ce2de_os.ui.errors import PageError
from ce2de_os.ui.judging.records import GRADES, check_judge
from ce2de_os.ui.request import UiRequest
from ce2de_os.ui.sessions import Sessions

JUDGE = "judge"
"""The cookie with the name of the judge; also the name, until there is another."""

FOLDER = Path(__file__).parent
NAVIGATION = {
    "/compare": "Compare", "/judge": "Judge", "/evaluate": "Evaluate", "/jobs": "Jobs", "/models": "Models"
}  # fmt: skip


class Pages:
    """Fills in the templates; every value is escaped."""

    def __init__(self, settings: UiRequest, sessions: Sessions) -> None:
        self._settings, self._sessions = settings, sessions
        self._templates = Environment(
            loader=FileSystemLoader(FOLDER / "templates"), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip

    def page(self, http: Request, template: str, status: int = 200, **values: Any) -> Response:  # noqa: ANN401
        """Answer with a page, or, where htmx asks for one, with what it takes of it."""
        known = {
            "csrf": self._sessions.csrf(http.state.session),
            "entered": http.state.entered,
            "read_only": self._settings.read_only,
            "navigation": NAVIGATION,
            "path": http.url.path,
            "grades": GRADES,
            "judge": judge_of(http),
        }
        text = self._templates.get_template(template).render(known | values)
        return HTMLResponse(text, status)

    def part(self, template: str, **values: Any) -> str:  # noqa: ANN401
        """Return a part of a page, for a stream."""
        return self._templates.get_template(template).render(**values)

    def refuse(self, http: Request, error: PageError) -> Response:
        """Answer with what happened and what to do."""
        if error.status == 401:
            return self.page(http, "enter.html", 401, error=error, next=_next(http))
        part = http.headers.get("hx-request") is not None or "text/html" not in http.headers.get("accept", "")
        response = self.page(http, "problem.html" if part else "error.html", error.status, error=error)
        if error.stale:
            response.headers["X-Stale"] = "yes"
        if part:
            response.headers["HX-Retarget"], response.headers["HX-Reswap"] = "#messages", "innerHTML"
        return response

    async def failed(self, http: Request, error: Exception) -> Response:
        """Answer with an error of the package, or with one of a page."""
        if isinstance(error, Ce2deError):
            error = PageError.of(error)
        assert isinstance(error, PageError)  # noqa: S101
        return self.refuse(http, error)


def judge_of(http: Request) -> str:
    """Return the judge that this browser said last."""
    name = unquote(http.cookies.get(JUDGE, "")) or JUDGE
    try:
        check_judge(name)
    except DataError:
        return JUDGE
    return name


def _next(http: Request) -> str:
    """Return where to go on after the token was shown."""
    return str(http.url.replace(scheme="", netloc="")) if http.method == "GET" else "/"
