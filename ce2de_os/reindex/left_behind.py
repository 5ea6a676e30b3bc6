"""Connections that an alias left behind when it moved to other indices."""

from __future__ import annotations

from opensearchpy import OpenSearch

from ce2de_os.errors import BackendError, BackendUnavailableError
from ce2de_os.index import aliases
from ce2de_os.index.connection import connections
from ce2de_os.reindex.job import DONE, ROLLED_BACK, Job


def reconnect(client: OpenSearch, job: Job) -> str | None:
    """Return what to do so that OpenSearch embeds for the alias again; ``None``: it does, or never did.

    A copy does not take the connection of its source over: its pipelines give the vectors of the former
    model.
    """
    if job.alias is None or job.state not in (DONE, ROLLED_BACK):
        return None
    own = {*job.sources, *job.previous, *job.targets}
    try:
        here = own & set(aliases.definitions(client, job.alias))
        found = connections(client, sorted(own))
    except BackendUnavailableError:
        raise
    except BackendError:  # a status needs fewer rights
        return None
    left = [one for name, one in sorted(found.items()) if name not in here]
    if not left or here <= set(found):
        return None
    fits = job.state == DONE and left[0].fingerprint == job.fingerprint
    first = "repeat" if fits else "start ce2de serve with the index's model, then repeat"
    return (
        f"OpenSearch itself embeds nothing for '{job.alias}' since the alias moved; {first}: "
        f"ce2de connect {job.alias} `service={left[0].service}`"
    )
