"""The pages of the jobs."""

from __future__ import annotations

from concurrent.futures import wait
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from urllib.parse import quote

from opensearchpy import OpenSearch
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ce2de_os.errors import Ce2deError
from ce2de_os.redaction import redact
from ce2de_os.reindex import dead_letters
from ce2de_os.reindex.cutover.rollback import RollbackPlan, plan_rollback
from ce2de_os.reindex.job import HANDOVER, RUNNING, TARGET
from ce2de_os.reindex.planning.verdict import duration
from ce2de_os.reindex.setup.way import meaning
from ce2de_os.reindex.status import JobEntry, JobStatus, entries, status
from ce2de_os.ui.errors import PageError, said
from ce2de_os.ui.jobs.actions import Actions, Operator
from ce2de_os.ui.jobs.forms import check_typed, choices
from ce2de_os.ui.jobs.live import Feeds, LiveResponse, Streams
from ce2de_os.ui.jobs.verbs import ROLLBACK, VERBS, Verb, consequences, possible
from ce2de_os.ui.site import Site

LETTERS = 20
"""Dead letters that a page shows; the others are counted."""

WAIT_S = 2.0
"""Seconds that a form waits for its action, so that what is quick is seen done."""


@dataclass(frozen=True)
class AllJobs:
    """The jobs of the cluster; ``problem``: what happened and what to do, where they cannot be read."""

    found: tuple[JobEntry, ...] = ()
    problem: tuple[str, str] = ("", "")

    @classmethod
    def read(cls, client: OpenSearch) -> AllJobs:
        """Read them."""
        try:
            return cls(tuple(entries(client)))
        except Ce2deError as error:
            return cls(problem=said(error))


@dataclass(frozen=True)
class OneJob:
    """A job; ``status`` ``None``: it cannot be read, and ``problem`` says why and what to do."""

    status: JobStatus | None = None
    problem: tuple[str, str] = ("", "")

    @classmethod
    def read(cls, client: OpenSearch, job_id: str) -> OneJob:
        """Read it."""
        try:
            return cls(status(client, job_id))
        except Ce2deError as error:
            return cls(problem=said(error))


@dataclass(frozen=True)
class JobsPage:
    """Answers ``/jobs``, ``/jobs/JOB`` and their streams.

    Attributes:
        site: what all pages share.
        operator: does what a form asks for.
        actions: what is in progress, or ended last.
        streams: counts the pages that watch.
        all_jobs: the reading that those of the list share; ``one_job``: those of a job.
    """

    site: Site
    operator: Operator
    actions: Actions = field(default_factory=Actions)
    streams: Streams = field(default_factory=Streams)
    all_jobs: Feeds[AllJobs] = field(default_factory=Feeds)
    one_job: Feeds[OneJob] = field(default_factory=Feeds)

    @classmethod
    def of(cls, site: Site) -> JobsPage:
        """Make the pages of a site."""
        return cls(site, Operator(site.client, site.settings, site.models))

    def show(self, http: Request) -> Response:
        """Show all jobs."""
        found = AllJobs.read(self.site.client)
        return self.site.pages.page(http, "jobs.html", **_values(found))

    def show_one(self, http: Request) -> Response:
        """Show a job, or, with ``do``, what follows from an action and its form."""
        verb = VERBS.get(http.query_params.get("do", ""))
        if verb is not None and self.site.request.read_only:
            raise PageError(403, "this page is read-only", "start 'ce2de ui' without `read_only`")
        job_id = http.path_params["job_id"]
        return self._form(http, job_id, verb) if verb else self._overview(http, job_id)

    def act(self, http: Request) -> Response:
        """Do what a form asks for; answer when it is done, or in progress."""
        job_id, form = http.path_params["job_id"], http.state.form
        verb = VERBS.get(form.get("verb", ""))
        if verb is None:
            raise PageError(
                400, f"the action: got '{form.get('verb', '')!s:.40}', expected one of {', '.join(VERBS)}"
            )
        try:
            if verb.typed:
                check_typed(form, job_id)
            chosen = choices(verb.name, form)
        except PageError as error:
            return self._form(http, job_id, verb, error)
        action = self.actions.start(job_id, verb, self.operator.work(job_id, verb.name, chosen))
        wait([action.future], timeout=WAIT_S)
        return RedirectResponse(f"/jobs/{quote(job_id)}", 303)

    def live(self, http: Request) -> Response:
        """Stream the list."""
        self.streams.check()
        feed = self.all_jobs.of("", lambda: AllJobs.read(self.site.client))

        async def parts() -> dict[str, str]:
            found = await feed.newest()
            away = self.site.pages.part("jobs_away.html", problem=found.problem)
            if found.problem[0]:
                return {"away": away}  # what was known stays
            return {"away": away, "jobs": self.site.pages.part("jobs_rows.html", **_values(found))}

        return LiveResponse(self.streams, parts)

    def live_one(self, http: Request) -> Response:
        """Stream a job."""
        self.streams.check()
        job_id = http.path_params["job_id"]
        feed = self.one_job.of(job_id, lambda: OneJob.read(self.site.client, job_id))
        may_act = self._may_act(http)

        async def parts() -> dict[str, str]:
            found = await feed.newest()
            part, values = self.site.pages.part, self._job_values(job_id, found, may_act=may_act)
            sent = {
                "away": part("jobs_away.html", problem=found.problem),
                "action": part("jobs_action.html", **values),
            }
            if found.status is None:
                return sent
            return sent | {
                "facts": part("jobs_facts.html", **values), "verbs": part("jobs_verbs.html", **values)
            }  # fmt: skip

        return LiveResponse(self.streams, parts)

    def _overview(self, http: Request, job_id: str) -> Response:
        found = OneJob.read(self.site.client, job_id)
        letters: list[dead_letters.DeadLetter] = []
        if found.status is not None and found.status.dead_letters:
            letters = list(islice(dead_letters.letters(self.site.client, job_id), LETTERS))
        values = self._job_values(job_id, found, may_act=self._may_act(http))
        return self.site.pages.page(http, "jobs_job.html", **values, letters=letters)

    def _form(self, http: Request, job_id: str, verb: Verb, refused: PageError | None = None) -> Response:
        found, plan, problem = OneJob.read(self.site.client, job_id), None, ("", "")
        if refused is not None:
            problem = refused.finding, refused.action
        if found.status is not None and verb.name == ROLLBACK:
            try:
                plan = plan_rollback(self.site.client, found.status.job)
            except Ce2deError as error:
                problem = problem if refused else said(error)
        return self.site.pages.page(
            http,
            "jobs_form.html",
            status=200 if refused is None else refused.status,
            **self._job_values(job_id, found, may_act=self._may_act(http)),
            verb=verb,
            refused=problem,
            can=found.status is not None and (verb.name != ROLLBACK or plan is not None),
            consequences=_consequences(verb, found.status, plan),
            lost=plan.sentence(discard=True) if plan is not None and (plan.written or plan.deleted) else "",
        )

    def _may_act(self, http: Request) -> bool:
        return bool(http.state.entered) and not self.site.request.read_only

    def _job_values(self, job_id: str, found: OneJob, *, may_act: bool) -> dict[str, Any]:
        job = None if found.status is None else found.status.job
        return {
            **_known(),
            "job_id": job_id,
            "found": found.status,
            "problem": found.problem,
            "meaning": "" if job is None or job.standing else meaning(job),
            "action": self.actions.last(job_id),
            "verbs": [] if job is None else possible(job),
            "may_act": may_act,
            "is_read_only": self.site.request.read_only,
        }


def _values(found: AllJobs) -> dict[str, Any]:
    return {**_known(), "jobs": found.found, "problem": found.problem}


def _known() -> dict[str, Any]:
    """Return what the templates of the jobs use."""
    return {
        "redact": redact, "duration": duration, "quote": quote, "RUNNING": RUNNING, "HANDOVER": HANDOVER,
        "TARGET": TARGET,
    }  # fmt: skip


def _consequences(verb: Verb, found: JobStatus | None, plan: RollbackPlan | None) -> list[str]:
    if found is None or (verb.name == ROLLBACK and plan is None):
        return []
    return consequences(verb, found.job, plan)
