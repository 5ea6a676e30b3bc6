"""Join the pages to one application."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ce2de_os.config import Settings
from ce2de_os.errors import Ce2deError
from ce2de_os.server.counters import Counters
from ce2de_os.server.gate import Gate
from ce2de_os.ui.compare_page import ComparePage
from ce2de_os.ui.errors import PageError
from ce2de_os.ui.evaluate_page import EvaluatePage
from ce2de_os.ui.guard import ENTER, Guard, cookie
from ce2de_os.ui.jobs.page import JobsPage
from ce2de_os.ui.judge_page import JudgePage
from ce2de_os.ui.models_page import ModelsPage
from ce2de_os.ui.request import UiRequest
from ce2de_os.ui.sessions import Sessions
from ce2de_os.ui.site import Site

STATIC = Path(__file__).parent / "static"


def create(request: UiRequest, settings: Settings, sessions: Sessions) -> Gate:
    """Load the models and create the application.

    Raises:
        ArtifactError: a model cannot be loaded, or computes wrong values here.
        ConfigError: a certificate's file is not there.
    """
    site = Site.open(request, settings, sessions)
    evaluation = EvaluatePage(site)
    jobs = JobsPage.of(site)
    routes: list[Route | Mount] = [
        Route("/", lambda http: RedirectResponse("/compare", 303)),
        Route(ENTER, Entrance(site).show),
        Route(ENTER, Entrance(site).enter, methods=["POST"]),
        Route("/csrf", Entrance(site).csrf),
        Route("/compare", ComparePage(site).show),
        Route("/judge", JudgePage(site).show),
        Route("/judge/grades", JudgePage(site).grade, methods=["POST"]),
        Route("/judge/queries", JudgePage(site).add, methods=["POST"]),
        Route("/judge/import", JudgePage(site).upload, methods=["POST"]),
        Route("/judge/export", JudgePage(site).export),
        Route("/evaluate", evaluation.show),
        Route("/evaluate/start", evaluation.start, methods=["POST"]),
        Route("/evaluate/progress", evaluation.progress),
        Route("/evaluate/plot.svg", evaluation.plot),
        Route("/evaluate/live", evaluation.live),
        Route("/models", ModelsPage(site).show),
        Route("/jobs", jobs.show),
        Route("/jobs/{job_id}", jobs.show_one),
        Route("/jobs/{job_id}", jobs.act, methods=["POST"]),
        Route("/live/jobs", jobs.live),
        Route("/live/jobs/{job_id}", jobs.live_one),
        # Pages are not packed: together with a secret, the length of what a caller chose would show it.
        Mount("/static", GZipMiddleware(StaticFiles(directory=STATIC))),
    ]
    app = Starlette(
        routes=routes,
        exception_handlers={
            Ce2deError: site.pages.failed,
            PageError: site.pages.failed,
            HTTPException: Entrance(site).not_found,
        },
    )
    return Gate(
        Guard(app, sessions, request, site.pages.refuse),
        paths=[route.path for route in routes],
        counters=Counters(),
        keys=None,
        allow_hosts=request.allow_hosts,
        timeout_s=request.timeout_s,
    )


class Entrance:
    """Where a browser shows its token."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def show(self, http: Request) -> Response:
        """Take the token of a link, or ask for one."""
        if "token" in http.query_params:
            return self._entered(http, http.query_params["token"], "/")
        error = PageError(401, "this page needs a token", "open the address that 'ce2de ui' printed")
        return self._site.pages.page(http, "enter.html", error=error, next="/")

    def enter(self, http: Request) -> Response:
        """Take the token of a form."""
        return self._entered(http, http.state.form.get("token", ""), http.state.form.get("next", "/"))

    def csrf(self, http: Request) -> Response:
        """Answer with the form secret of this session, for a page that is older than the server."""
        return JSONResponse({"csrf": self._site.sessions.csrf(http.state.session)})

    async def not_found(self, http: Request, error: Exception) -> Response:
        """Answer where there is no page."""
        assert isinstance(error, HTTPException)  # noqa: S101
        return self._site.pages.refuse(
            http, PageError(error.status_code, f"there is no page {http.url.path:.100}")
        )

    def _entered(self, http: Request, token: str, then: str) -> Response:
        session = self._site.sessions.enter(token.strip())
        if session is None:
            error = PageError(401, "the token is wrong", "copy it from the address that 'ce2de ui' printed")
            return self._site.pages.page(http, "enter.html", 401, error=error, next=then)
        inside = then if then.startswith("/") and not then.startswith(("//", "/\\")) else "/"
        return RedirectResponse(inside, 303, {"Set-Cookie": cookie(http, session)})
