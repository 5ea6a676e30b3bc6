"""The Celery application. Tasks carry ids, never text or secrets; the ledger in OpenSearch is the truth."""

from __future__ import annotations

import logging
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from celery import Celery
from celery.signals import after_setup_logger, after_setup_task_logger, celeryd_init
from kombu import Queue

from ce2de_os import logs
from ce2de_os.config import Settings
from ce2de_os.errors import Ce2deError
from ce2de_os.redaction import redact_tracebacks
from ce2de_os.worker import model

QUEUE = "ce2de"
"""Queue of messages before each model had a queue of its own; still read."""

# Seconds until a dead worker's message is delivered to another one; far above a task's time budget.
VISIBILITY_TIMEOUT_S = 300


def queue_name(fingerprint: str) -> str:
    """Return the name of a model's queue; workers of other models never receive its messages."""
    return f"{QUEUE}.{fingerprint[:8]}"


def follow_queue_name(fingerprint: str) -> str:
    """Return the queue of a model's standing jobs: workers read both in turn, so neither kind starves."""
    return f"{queue_name(fingerprint)}.follow"


redact_tracebacks()

app = Celery(
    "ce2de",
    broker=Settings.from_env().broker_url,
    include=["ce2de_os.worker.tasks", "ce2de_os.worker.inspection", "ce2de_os.worker.sweeper"],
)
app.conf.update(
    accept_content=["json"],
    task_serializer="json",
    task_default_queue=QUEUE,
    task_ignore_result=True,
    # A message is acknowledged after its work; if the worker dies before, another one gets it.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "visibility_timeout": VISIBILITY_TIMEOUT_S,
        "queue_order_strategy": "round_robin",
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
    },
    task_publish_retry_policy={
        "max_retries": 5,
        "interval_start": 0.2,
        "interval_step": 0.5,
        "interval_max": 2,
    },
    worker_hijack_root_logger=False,
)


@celeryd_init.connect
def check_model(conf: Any, **_: Any) -> None:  # noqa: ANN401 - Celery's signal arguments
    """Stop if the model is damaged, or if this CPU computes it wrongly; else read its queue."""
    # In a process of its own: a loaded ONNX Runtime must not be forked into the workers.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            fingerprint = pool.submit(model.encoder_fingerprint).result()
        except Ce2deError as error:
            raise SystemExit(f"ce2de worker: {error}") from error
    names = (queue_name(fingerprint), follow_queue_name(fingerprint), QUEUE)
    conf.task_queues = [Queue(name, routing_key=name) for name in names]


@after_setup_logger.connect
def format_records(logger: logging.Logger, format: str, **_: Any) -> None:  # noqa: A002, ANN401 - Celery's name
    """Write this package's log records with their keys; Celery's log level decides which."""
    for handler in logger.handlers:
        handler.setFormatter(logs.formatter(Settings.from_env().log_format, format))
    logging.getLogger("opensearch").setLevel(logging.WARNING)  # not every request


@after_setup_task_logger.connect
def format_task_records(logger: logging.Logger, **_: Any) -> None:  # noqa: ANN401
    """Write Celery's records of tasks as JSON too, if JSON is asked for, and never a secret."""
    as_json = Settings.from_env().log_format == "json"
    for handler in logger.handlers:
        inner = handler.formatter or logging.Formatter()
        handler.setFormatter(logs.formatter("json") if as_json else logs.Redacting(inner))
