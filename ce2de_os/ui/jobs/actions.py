"""Actions: do what an operator asks for, one thing at a time for each job, and keep how it ended."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from time import time
from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.config import Settings
from ce2de_os.errors import Ce2deError
from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.reindex import operate
from ce2de_os.reindex.cutover.rollback import outcome, rollback
from ce2de_os.reindex.job import ACTIVE
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.queue import after_finish
from ce2de_os.reindex.setup.way import meaning
from ce2de_os.ui.errors import PageError, said
from ce2de_os.ui.jobs.verbs import CUTOVER, PAUSE, RESUME, ROLLBACK, THROTTLE, VERIFY, Verb
from ce2de_os.ui.models import Models
from ce2de_os.worker.queue import CeleryQueue

logger = logging.getLogger(__name__)

AT_ONCE = 4
"""Actions in progress; each may take minutes."""

KEPT = 200
"""Jobs whose last action is shown."""


@dataclass
class Action:
    """An action, in progress or ended.

    Attributes:
        verb: what is done.
        begun_s: when it began, in seconds since the epoch.
        lines: what it did, once it has ended.
        problem: what happened, and what to do; two empty texts: it went well.
    """

    verb: Verb
    begun_s: float
    lines: tuple[str, ...] = ()
    problem: tuple[str, str] = ("", "")
    future: Future[None] = field(default_factory=Future, repr=False)

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.future.done()


class Actions:
    """The actions of this server.

    A server that ends waits for them: a cutover on its way blocks writes.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="job")
        self._last: OrderedDict[str, Action] = OrderedDict()
        self._lock = Lock()

    def last(self, job_id: str) -> Action | None:
        """Return the last action on a job; ``None``: there was none since the server started."""
        return self._last.get(job_id)

    def start(self, job_id: str, verb: Verb, work: Callable[[], list[str]]) -> Action:
        """Begin an action.

        Raises:
            PageError: another one is in progress on this job, or too many are on others.
        """
        with self._lock:
            self._check(job_id)
            action = Action(verb, time())
            self._last[job_id] = action
            self._last.move_to_end(job_id)
            while len(self._last) > KEPT:
                self._last.popitem(last=False)
            action.future = self._pool.submit(self._run, job_id, action, work)
        return action

    def _check(self, job_id: str) -> None:
        busy = {name: action for name, action in self._last.items() if not action.is_over}
        if job_id in busy:
            raise PageError(
                409, f"'{busy[job_id].verb.name}' is in progress on job '{job_id}'", "wait until it has ended"
            )
        if len(busy) >= AT_ONCE:
            raise PageError(409, f"{AT_ONCE} actions on other jobs are in progress", "wait until one ends")

    @staticmethod
    def _run(job_id: str, action: Action, work: Callable[[], list[str]]) -> None:
        logger.info("An operator acts", extra={"action": action.verb.name, "job": job_id})
        try:
            action.lines = tuple(work())
        except Ce2deError as error:
            action.problem = said(error)
        except Exception:
            logger.exception("An action failed", extra={"action": action.verb.name, "job": job_id})
            action.problem = ("the action failed unexpectedly", "see the log of 'ce2de ui'")


@dataclass(frozen=True)
class Operator:
    """Calls the operator's commands, with the connections of this server.

    Attributes:
        client: the connection to OpenSearch.
        settings: the broker's address.
        models: one of them is the job's, or the command is refused.
    """

    client: OpenSearch
    settings: Settings
    models: Models

    def work(self, job_id: str, verb: str, choices: Mapping[str, Any]) -> Callable[[], list[str]]:
        """Return what a verb does; it returns lines on what it did."""
        return {
            PAUSE: lambda: self._pause(job_id),
            RESUME: lambda: self._resume(job_id),
            THROTTLE: lambda: self._throttle(job_id, choices["docs_per_s"]),
            VERIFY: lambda: self._verify(job_id),
            CUTOVER: lambda: self._cutover(job_id, choices),
            ROLLBACK: lambda: self._rollback(job_id, discard_writes=choices["discard_writes"]),
        }[verb]

    def _pause(self, job_id: str) -> list[str]:
        operate.pause(self.client, job_id)
        return ["Paused. The workers stop after the pages that they have in hand."]

    def _resume(self, job_id: str) -> list[str]:
        job = operate.resume(self.client, self._queue(), job_id)
        return [f"The job is {job.state}; its messages are with the workers."]

    def _throttle(self, job_id: str, docs_per_s: float | None) -> list[str]:
        job = operate.throttle(self.client, job_id, docs_per_s)
        limit = "No limit" if docs_per_s is None else f"At most {docs_per_s:g} documents a second"
        when = "from now on" if job.state in ACTIVE else f"once the job, which is {job.state}, continues"
        return [f"{limit}, {when}."]

    def _verify(self, job_id: str) -> list[str]:
        report = operate.verify_job(self.client, self._encoder(job_id), job_id)
        found = f"{len(report.problems)} problems; the report has them" if report.problems else "no problem"
        return [f"Verified: {found}."]

    def _cutover(self, job_id: str, choices: Mapping[str, Any]) -> list[str]:
        queue, encoder = self._queue(), self._encoder(job_id)
        job = operate.cutover(self.client, encoder, job_id, operate.this_process(), **choices)
        after_finish(Ledger(self.client), queue, job_id)
        return [meaning(job)]

    def _rollback(self, job_id: str, *, discard_writes: bool) -> list[str]:
        job = rollback(self.client, job_id, discard_writes=discard_writes)
        return [f"Rolled back: the job is {job.state}.", *outcome(self.client, job)]

    def _queue(self) -> CeleryQueue:
        queue = CeleryQueue(self.settings.broker_url)
        queue.check()
        return queue

    def _encoder(self, job_id: str) -> OnnxEncoder:
        """Return the job's model if it is loaded, else any: the command says which one it needs."""
        fingerprint = Ledger(self.client).job(job_id).job.fingerprint
        encoders = self.models.encoders
        own = [encoder for encoder in encoders.values() if encoder.fingerprint == fingerprint]
        return own[0] if own else encoders[self.models.default]
