"""The page that compares rankings."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ce2de_os.errors import DataError
from ce2de_os.ui.columns import MOST, MOST_CHARS, WAYS, View
from ce2de_os.ui.errors import said
from ce2de_os.ui.models import index_names
from ce2de_os.ui.site import Site


@dataclass(frozen=True)
class ComparePage:
    """Answers ``/compare``."""

    site: Site

    def show(self, http: Request) -> Response:
        """Show the form, and the columns once a question was asked."""
        site = self.site
        problem = ("", "")
        has_reranker = site.models.reranker is not None
        try:
            view = View.of(http.query_params, site.request.index or "", has_reranker=has_reranker)
        except DataError as error:
            problem = said(error)
            view = View.of(http.query_params.__class__(), site.request.index or "", has_reranker=has_reranker)
        if {"add", "remove"} & set(http.query_params):
            return RedirectResponse(view.link, 303)  # the link of the new view, for the address bar
        return site.pages.page(
            http,
            "compare.html",
            view=view,
            problem=problem,
            rankings=site.comparer.compare(view),
            ways=WAYS,
            names=index_names(site.client),
            models=site.models.names,
            has_reranker=has_reranker,
            most=MOST,
            most_chars=MOST_CHARS,
        )
