"""Messages for the workers on a real Redis."""

from __future__ import annotations

from opensearchpy import OpenSearch

from ce2de_os.index.text_spec import TextSpec
from ce2de_os.local.servers import Endpoints
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.start import start
from ce2de_os.worker.app import follow_queue_name, queue_name
from ce2de_os.worker.queue import CeleryQueue
from tests.integration.indexes import HashEncoder, InlineQueue, articles, create_index
from tests.integration.redis_client import local_redis


def test_workers_of_another_model_never_get_a_jobs_messages(
    client: OpenSearch, endpoints: Endpoints, index_name: str
) -> None:
    """However many wait: they would only send them back, and hold the other job's worker up."""
    mine, other = HashEncoder("c" * 64), HashEncoder("d" * 64)
    create_index(client, index_name, articles(3))
    job = start(client, JobRequest(index_name, TextSpec(("title",)), f"{index_name}-a"), mine, InlineQueue())
    url = endpoints.broker_url
    names = [queue_name(mine.fingerprint), follow_queue_name(mine.fingerprint)]
    with local_redis(url) as redis:
        try:
            sender = CeleryQueue(url, mine.fingerprint)
            for number in range(3):
                sender.embed_slice(job, number)
            sender.follow_job(job)
            found = {one.fingerprint: CeleryQueue(url, one.fingerprint) for one in (mine, other)}
            assert [(each.waiting(), each.following()) for each in found.values()] == [(3, 1), (0, 0)]
        finally:
            for name in names:
                redis.delete(name, *redis.keys(f"{name}*"))
