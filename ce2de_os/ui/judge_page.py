"""The page where people judge, and what it sends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from ce2de_os.errors import Ce2deError, DataError
from ce2de_os.reading import parse_json
from ce2de_os.records import Query
from ce2de_os.ui.errors import said
from ce2de_os.ui.judging.formats import FORMATS, read_upload
from ce2de_os.ui.judging.pool import Pool, pool
from ce2de_os.ui.judging.records import (
    Judgment,
    check_judge,
    judgment_of,
    merged,
    now_ms,
    query_for,
)
from ce2de_os.ui.judging.sampling import sampled
from ce2de_os.ui.models import index_names
from ce2de_os.ui.pages import JUDGE, judge_of
from ce2de_os.ui.site import Site

MOST_AT_ONCE = 1000
"""Judgments that one request of the page holds."""

SAMPLE = 50
SHOWN = 500
"""Queries in the list of the page."""


@dataclass(frozen=True)
class JudgePage:
    """Answers ``/judge`` and what is below it."""

    site: Site

    def show(self, http: Request) -> Response:
        """Show the queries with their progress, and the pool of one of them."""
        site, params = self.site, http.query_params
        collection = params.get("index", "").strip() or site.request.index or ""
        judge = params.get("judge", "").strip() or judge_of(http)
        values: dict[str, Any] = {
            "queries": [],
            "counts": {},
            "query": None,
            "pool": Pool((), ()),
            "following": None,
        }
        problem = ("", "")
        try:
            check_judge(judge)
            if collection:
                values |= self._session(collection, judge, params.get("query", ""))
        except Ce2deError as error:
            problem = said(error)
        if values["query"] is not None and "query" not in params:
            # The address names the query, so that the page stays at it when it is loaded again.
            link = {"index": collection, "judge": judge, "query": values["query"].query_id}
            return RedirectResponse(f"/judge?{urlencode(link)}", 303)
        answer = site.pages.page(
            http,
            "judge.html",
            collection=collection,
            problem=problem,
            names=index_names(site.client),
            place=site.judgments.place,
            formats=FORMATS,
            sample=SAMPLE,
            shown=SHOWN,
            **(values | {"judge": judge}),
        )
        if not problem[0]:
            answer.headers.append(
                "Set-Cookie", f"{JUDGE}={quote(judge)}; Path=/; SameSite=Strict; Max-Age=31536000"
            )
        return answer

    def _session(self, collection: str, judge: str, query_id: str) -> dict[str, Any]:
        store = self.site.judgments
        queries, counts = store.queries(collection), store.counts(collection, judge)
        query = next((one for one in queries if one.query_id == query_id), None) or _following(
            queries, counts, ""
        )
        found: dict[str, Any] = {"queries": queries, "counts": counts, "query": query}
        if query is None or not query_id:
            return found
        judgments = store.of_query(collection, query.query_id)
        has_reranker = self.site.models.reranker is not None
        found["pool"] = pool(self.site.comparer, collection, query, judgments, judge, has_reranker)
        found["following"] = _following(queries, counts, query.query_id)
        return found

    def grade(self, http: Request) -> Response:
        """Keep judgments; the answer comes when they are kept for good."""
        body = _object(http.state.body)
        rows = body.get("judgments")
        if not isinstance(rows, list) or not 0 < len(rows) <= MOST_AT_ONCE:
            raise DataError(f"judgments: expected a list of 1 to {MOST_AT_ONCE:,}")
        judgments = [self._judgment(row) for row in rows]
        for one in judgments:
            one.check()
        self.site.judgments.put(judgments)
        return JSONResponse({"kept": len(judgments)})

    def _judgment(self, row: object) -> Judgment:
        """Read a judgment; one from another page names its query by the text."""
        if not isinstance(row, dict):
            raise DataError(f"a judgment: got {row!r:.60}, expected an object")
        text, collection = row.get("query"), row.get("collection")
        if isinstance(text, str) and isinstance(collection, str):
            row = {**row, "query_id": query_for(self.site.judgments, collection, text).query_id}
        return judgment_of(row)

    def add(self, http: Request) -> Response:
        """Add one query, or a sample of a log."""
        collection, log = _named(http, "index"), http.headers.get("x-file")
        if log is None:
            text = str(_object(http.state.body).get("text", "")).strip()
            query = query_for(self.site.judgments, collection, text)
            return JSONResponse({"said": "1 query added", "query": query.query_id})
        number = http.query_params.get("number", str(SAMPLE))
        found = sampled(_file_name(log), http.state.body, int(number) if number.isdecimal() else 0)
        self.site.judgments.add_queries(collection, found)
        return JSONResponse({"said": f"{len(found):,} queries of {_file_name(log)} added"})

    def upload(self, http: Request) -> Response:
        """Import queries and judgments of a file, for the judge of the page."""
        collection, judge = _named(http, "index"), _named(http, "judge")
        check_judge(judge)
        name, store = _file_name(http.headers.get("x-file", "the file")), self.site.judgments
        found = read_upload(name, http.state.body)
        known = _by_text(store.queries(collection), found.queries)
        at = now_ms()
        judgments = [
            Judgment(collection, known.get(query_id, query_id), doc_id, judge, grade, at)
            for query_id, doc_id, grade in found.grades
        ]
        for one in judgments:
            one.check()
        self._check_collection(name, collection, judgments)
        store.add_queries(collection, [_renamed(query, known) for query in found.queries])
        store.put(judgments)
        return JSONResponse(
            {"said": f"{name}: {len(found.queries):,} queries, {len(judgments):,} judgments kept"}
        )

    def _check_collection(self, name: str, collection: str, judgments: Sequence[Judgment]) -> None:
        """Refuse judgments of other documents.

        Raises:
            DataError: none of the judged documents is in the index.
        """
        from ce2de_os.quality.evaluate import existing

        wanted = {one.doc_id for one in judgments}
        if wanted and not existing(self.site.client, collection, wanted):
            raise DataError(
                f"{name}: none of its {len(wanted):,} judged documents is in {collection}, the first is "
                f"'{min(wanted):.60}'; it belongs to another collection, or names documents by another field "
                "than _id"
            )

    def export(self, http: Request) -> Response:
        """Send the judgments of a collection as a file."""
        collection, judge = _named(http, "index"), http.query_params.get("judge", "")
        chosen = FORMATS.get(http.query_params.get("format", ""))
        if chosen is None:
            raise DataError(f"the format: expected one of {', '.join(FORMATS)}")
        store = self.site.judgments
        queries = {one.query_id: one.text for one in store.queries(collection)}
        text = chosen.write(queries, merged(store.all(collection), judge))
        headers = {"Content-Disposition": f'attachment; filename="{chosen.file}"'}
        return Response(text, headers=headers, media_type="application/octet-stream")


def _renamed(query: Query, known: Mapping[str, str]) -> Query:
    """Return the query under the id that its text has already."""
    return query._replace(query_id=known.get(query.query_id, query.query_id))


def _by_text(kept: Sequence[Query], new: Sequence[Query]) -> dict[str, str]:
    """Map the id of each new query to the id under which its text is kept already."""
    ids = {query.text: query.query_id for query in kept}
    return {query.query_id: ids[query.text] for query in new if query.text in ids}


def _following(queries: Sequence[Query], counts: Mapping[str, int], after: str) -> Query | None:
    """Return the next query without a judgment, from the one after ``after`` on; ``None``: there is none."""
    place = next((number + 1 for number, one in enumerate(queries) if one.query_id == after), 0)
    ordered = [*queries[place:], *queries[:place]]
    found = next((one for one in ordered if not counts.get(one.query_id) and one.query_id != after), None)
    return found or (next(iter(ordered), None) if not after else None)


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = parse_json(body.decode("utf-8"), "the request")
    except UnicodeDecodeError:
        found = None
    if not isinstance(found, dict):
        raise DataError("the request: expected a JSON object")
    return found


def _named(http: Request, name: str) -> str:
    value = http.query_params.get(name, "").strip()
    if not value:
        raise DataError(f"the {name} is missing; name it in the form")
    return value


def _file_name(given: str) -> str:
    """Return the name of a file as its header has it, percent-encoded."""
    return unquote(given)[-100:] or "the file"
