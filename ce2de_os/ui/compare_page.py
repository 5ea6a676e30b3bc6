"""The page that compares rankings."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ce2de_os.errors import Ce2deError, DataError
from ce2de_os.ui.columns import MOST, MOST_CHARS, WAYS, View
from ce2de_os.ui.errors import said
from ce2de_os.ui.models import index_names
from ce2de_os.ui.pages import judge_of
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
            kept=self._grades(http, view),
            ways=WAYS,
            names=index_names(site.client),
            models=site.models.names,
            has_reranker=has_reranker,
            most=MOST,
            most_chars=MOST_CHARS,
        )

    def _grades(self, http: Request, view: View) -> dict[tuple[str, str], int]:
        """Return this judge's grades by index and document; empty where they cannot be read."""
        judge, store, found = judge_of(http), self.site.judgments, dict[tuple[str, str], int]()
        for index in {column.index or view.index for column in view.columns} if view.question else ():
            with suppress(Ce2deError):
                query = next((one for one in store.queries(index) if one.text == view.question), None)
                judgments = store.of_query(index, query.query_id) if query else ()
                found |= {
                    (index, one.doc_id): one.grade
                    for one in judgments
                    if one.judge == judge and one.grade is not None
                }
        return found
