"""The page that evaluates ways to rank on judged queries, and tries weights live."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ce2de_os.errors import Ce2deError, ConfigError, DataError
from ce2de_os.quality.systems import FUSIONS
from ce2de_os.records import ScoredDoc
from ce2de_os.search.question import DENSE_WEIGHT, Question
from ce2de_os.ui.columns import TOP_K
from ce2de_os.ui.compare import row_of
from ce2de_os.ui.errors import PageError, said
from ce2de_os.ui.judging.records import judged
from ce2de_os.ui.models import index_names
from ce2de_os.ui.site import Site
from ce2de_os.ui.tuning.evaluations import EvaluationRun, Evaluations
from ce2de_os.ui.tuning.legs import Legs, LegsCache
from ce2de_os.ui.tuning.winner import winner_of

if TYPE_CHECKING:
    from ce2de_os.evaluation import Judged
    from ce2de_os.progress import Phase
    from ce2de_os.quality.comparison import Comparison

LATENCY_QUERIES = 30
MOST_LATENCY_QUERIES = 1000


class EvaluatePage:
    """Answers ``/evaluate`` and what is below it."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._evaluations = Evaluations()
        self._legs = LegsCache()

    def show(self, http: Request) -> Response:
        """Show the form, the last evaluation, and the weights to try."""
        site, params = self._site, http.query_params
        return site.pages.page(
            http,
            "evaluate.html",
            index=params.get("index", "").strip() or site.request.index or "",
            judge_asked=params.get("judge", "").strip(),
            question=params.get("q", "").strip(),
            names=index_names(site.client),
            fusions=FUSIONS,
            weight=DENSE_WEIGHT,
            has_reranker=site.models.reranker is not None,
            latency_queries=LATENCY_QUERIES,
            most=MOST_LATENCY_QUERIES,
            **self._state(),
        )

    def progress(self, http: Request) -> Response:
        """Show how far the evaluation is, or its result."""
        return self._site.pages.page(http, "evaluation.html", **self._state())

    def plot(self, http: Request) -> Response:
        """Send the picture of the last evaluation."""
        latest = self._evaluations.latest
        if latest is None or not latest.plot:
            raise PageError(404, "there is no plot", "evaluate with at least one timed query")
        return Response(latest.plot, media_type="image/svg+xml")

    def start(self, http: Request) -> Response:
        """Start an evaluation of the judgments that are kept."""
        form, site = http.state.form, self._site
        index, judge = form.get("index", "").strip(), form.get("judge", "").strip()
        if not index:
            raise DataError("the index is missing; name it in the form")
        timed = form.get("latency", str(LATENCY_QUERIES))
        if not timed.isdecimal() or int(timed[:9]) > MOST_LATENCY_QUERIES:
            raise DataError(f"timed queries: got '{timed:.20}', expected 0 to {MOST_LATENCY_QUERIES:,}")
        from ce2de_os.quality.comparison import ComparisonSettings
        from ce2de_os.quality.evaluate import evaluate

        found = judged(site.judgments, index, judge)
        settings = ComparisonSettings(tune="tune" in form, latency_queries=int(timed))
        encoder = site.models.encoders[site.models.default]
        reranker = site.models.reranker if "rerank" in form else None

        def run(phase: Phase) -> Comparison:
            return evaluate(
                site.client, index, encoder, found, reranker=reranker, settings=settings, phase=phase
            )

        self._legs.forget()
        self._evaluations.start(index, judge, run)
        return RedirectResponse("/evaluate?" + str(http.url.query), 303)

    def live(self, http: Request) -> Response:
        """Fuse what was fetched with another weight."""
        site, params = self._site, http.query_params
        index, text = params.get("index", "").strip(), params.get("q", "").strip()
        values: dict[str, Any] = {"rows": [], "figure": None, "queries": 0, "own": None, "problem": ("", "")}
        try:
            question = Question(text or " ", fusion=_fusion(params), dense_weight=_weight(params))
            question.check_options()
            if index and text:
                values |= self._reranked(index, question)
            if index:
                values |= self._figure(index, params.get("judge", "").strip(), question)
        except Ce2deError as error:
            values["problem"] = said(error)
        return site.pages.page(
            http, "live.html", question=text, fusion=_fusion(params), shown=_shown(params), **values
        )

    def _reranked(self, index: str, question: Question) -> dict[str, Any]:
        fields = self._site.searchers.fields(index)
        searcher = self._site.searchers.searcher(index, "")
        legs = self._legs.one(searcher, index, question.text, fields)
        before = [hit.doc_id for hit in legs.fused(replace(question, dense_weight=DENSE_WEIGHT))]
        rows = []
        for rank, hit in enumerate(legs.fused(question)[:TOP_K], start=1):
            row = row_of(hit._replace(rank=rank), fields)
            rows.append(replace(row, move=before.index(hit.doc_id) + 1 - rank))
        return {"rows": rows}

    def _figure(self, index: str, judge: str, question: Question) -> dict[str, Any]:
        try:
            found = judged(self._site.judgments, index, judge)
        except DataError:
            return {}  # nothing was judged yet
        from ce2de_os.evaluation import mean, measure
        from ce2de_os.evaluation.figures import MAIN_METRIC

        searcher = self._site.searchers.searcher(index, "")
        legs = self._legs.several(searcher, index, found.queries, self._site.searchers.fields(index))
        runs = {query_id: _run(one, question) for query_id, one in legs.items()}
        scores = measure(found.only(set(runs)).qrels, runs, MAIN_METRIC)
        return {"figure": mean(scores), "queries": len(runs), "own": _own(found, scores, question.text)}

    def _state(self) -> dict[str, Any]:
        latest = self._evaluations.latest
        values: dict[str, Any] = {
            "evaluation": latest,
            "winner": None,
            "warnings": (),
            "marks": {},
            "metrics": (),
        }
        if latest is not None and latest.result is not None:
            values |= _result(latest)
        return values


def _result(latest: EvaluationRun) -> dict[str, Any]:
    from ce2de_os.evaluation.figures import MAIN_METRIC, SHOWN_METRICS, p_text
    from ce2de_os.quality.comparison import mark, warnings

    found = latest.result
    assert found is not None  # noqa: S101
    by_name = {one.name: one for one in found.systems}
    marks = {
        (one.name, metric): mark(one.figures[metric], by_name[one.reference].figures[metric])
        for one in found.systems
        if one.reference
        for metric in SHOWN_METRICS
    }
    return {
        "winner": winner_of(found, MAIN_METRIC),
        "warnings": tuple(warnings(found)),
        "marks": marks,
        "metrics": SHOWN_METRICS,
        "main": MAIN_METRIC,
        "p_text": p_text,
    }


def _run(legs: Legs, question: Question) -> list[ScoredDoc]:
    found: dict[str, ScoredDoc] = {}
    for hit in legs.fused(question):
        found.setdefault(hit.doc_id, ScoredDoc(hit.doc_id, hit.score))
    return list(found.values())


def _own(found: Judged, scores: dict[str, float], text: str) -> float | None:
    return next(
        (scores[one] for one, query in found.queries.items() if query == text and one in scores), None
    )


def _fusion(params: Any) -> Any:  # noqa: ANN401 - checked with the question
    return params.get("fusion", FUSIONS[0])


def _shown(params: Any) -> str:  # noqa: ANN401 - the query of the request
    return str(params.get("weight", DENSE_WEIGHT))[:10]


def _weight(params: Any) -> float:  # noqa: ANN401 - the query of the request
    try:
        return float(params.get("weight", DENSE_WEIGHT))
    except ValueError:
        raise ConfigError(
            f"the vectors' share: got '{_shown(params)}', expected a number from 0 to 1"
        ) from None
