"""Send tasks: the library's ``TaskQueue`` on Celery."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from celery import Celery
from kombu import Connection, Queue
from kombu.exceptions import OperationalError

from ce2de_os.addresses import redis_address
from ce2de_os.config import BROKER_SETTING, Settings
from ce2de_os.errors import BrokerUnavailableError
from ce2de_os.redaction import mask_url
from ce2de_os.reindex.job import Job
from ce2de_os.worker.app import QUEUE, app, follow_queue_name, queue_name

_FIRST, _THEN = 0, 3
"""Priorities: Redis delivers messages with the smaller number first."""


class CeleryQueue:
    """Sends tasks to the workers by name, with ids and the model's fingerprint only.

    ``broker_url`` ``None`` means the environment's. Each model has its own queue; `waiting` counts in the
    queue of ``fingerprint``, and in that of every job that a message was sent for.

    Raises:
        ConfigError: ``broker_url`` is no address of Redis.
        BrokerUnavailableError: from every method, if Redis does not answer.
    """

    def __init__(self, broker_url: str | None = None, fingerprint: str | None = None) -> None:
        self._url = redis_address(BROKER_SETTING, broker_url or Settings.from_env().broker_url).url
        self._queues = {QUEUE} | ({queue_name(fingerprint)} if fingerprint else set())
        self._follow_queues = {follow_queue_name(fingerprint)} if fingerprint else set()

    def check(self) -> None:
        """Connect to the broker once."""
        with self._connection() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0.2, timeout=5)

    def server(self) -> dict[str, object]:
        """Ask the broker for what it says of itself: INFO's section ``server``."""
        with self._connection() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0.2, timeout=5)
            return dict(connection.default_channel.client.info("server"))

    def fingerprints(self, timeout_s: float) -> dict[str, str]:
        """Ask all workers for their model's fingerprint; by name, those that answer within ``timeout_s``."""
        self.check()
        # An application of its own: the shared one would publish to the broker of the environment.
        with Celery("ce2de-inspection", broker=self._url, set_as_current=False) as asking:
            answers = asking.control.broadcast("ce2de_model", reply=True, timeout=timeout_s)
        replies = {name: reply for answer in answers for name, reply in answer.items()}
        # Workers of other applications on this Redis answer with an error.
        return {name: reply["fingerprint"] for name, reply in replies.items() if "fingerprint" in reply}

    def embed_slice(self, job: Job, number: int) -> None:
        """Ask for work on one slice."""
        self._send(job, _THEN, "ce2de.embed_slice", number)

    def finish_job(self, job: Job) -> None:
        """Ask for verification and cutover, ahead of all messages about slices."""
        self._send(job, _FIRST, "ce2de.finish_job")

    def follow_job(self, job: Job) -> None:
        """Ask for following, in turn with the messages about slices."""
        name = follow_queue_name(job.fingerprint)
        self._follow_queues.add(name)
        self._send_to(name, job, _THEN, "ce2de.follow_job")

    def waiting(self) -> int:
        """Count the messages about slices and ends that no worker has taken yet, of all jobs of the model."""
        return self._count(self._queues)

    def following(self) -> int:
        """Count the messages about standing jobs that no worker has taken yet."""
        return self._count(self._follow_queues)

    def _count(self, names: Iterable[str]) -> int:
        with self._connection() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0.2, timeout=5)
            channel = connection.default_channel
            return sum(int(channel.queue_declare(name).message_count) for name in names)

    def _send(self, job: Job, priority: int, task: str, *args: str | int) -> None:
        name = queue_name(job.fingerprint)
        self._queues.add(name)
        self._send_to(name, job, priority, task, *args)

    def _send_to(self, name: str, job: Job, priority: int, task: str, *args: str | int) -> None:
        with self._connection() as connection:
            where = Queue(name, routing_key=name)
            app.send_task(
                task, args=(job.job_id, *args, job.fingerprint), connection=connection, priority=priority,
                queue=where,
            )  # fmt: skip

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        try:
            with app.connection_for_write(self._url) as connection:
                yield connection
        except OperationalError as error:
            raise BrokerUnavailableError(
                f"Redis at {mask_url(self._url)} does not answer; "
                "check CE2DE_BROKER_URL or run: ce2de local up"
            ) from error
