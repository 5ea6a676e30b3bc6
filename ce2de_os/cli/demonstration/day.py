"""The demo after the switch: an application writes through the alias, and vectors follow within seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from opensearchpy import OpenSearch

from ce2de_os.cli.demonstration.steps import DemoPlan
from ce2de_os.config import Settings
from ce2de_os.errors import JobError
from ce2de_os.index.client import backend_errors
from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.search.searcher import HybridSearcher

PATIENCE_S = 60.0
_LOOK_S = 0.1
_ID = "ce2de-demo-day-after"
_NEW = {"title": "Brewing espresso", "body": "Grind the beans finely and press hot water through them."}
_CHANGED = {
    "title": "Mending a bicycle tire",
    "body": "Find the hole in the tube, glue a patch on it and wait.",
}
_QUESTIONS = ("how do I make strong coffee", "repair a flat wheel")


def writes_through_the_alias(client: OpenSearch, plan: DemoPlan, settings: Settings) -> Iterator[str]:
    """Write, change and delete a document through the alias; report when search by meaning shows each.

    Raises:
        JobError: it was not right after a minute.
    """
    searcher = HybridSearcher(client, plan.alias, OnnxEncoder(settings.artifact))
    coffee, wheel = _QUESTIONS

    def is_first(question: str) -> bool:
        hits = list(searcher.search(question, top_k=1, mode="dense"))
        return bool(hits) and hits[0].doc_id == _ID

    with backend_errors("write through the alias"):
        client.index(index=plan.alias, id=_ID, body=_NEW)
    yield f"new document: found by '{coffee}' after {_wait(lambda: is_first(coffee)):.1f} s"
    with backend_errors("change a document through the alias"):
        client.update(index=plan.alias, id=_ID, body={"doc": _CHANGED})
    took_s = _wait(lambda: is_first(wheel) and not is_first(coffee))
    yield f"changed: found by '{wheel}' and no longer by '{coffee}' after {took_s:.1f} s"
    with backend_errors("delete a document through the alias"):
        client.delete(index=plan.alias, id=_ID)
    yield f"deleted: no longer found after {_wait(lambda: not is_first(wheel)):.1f} s"


def _wait(is_right: Callable[[], bool]) -> float:
    """Seconds until it is right."""
    begun = time.monotonic()
    while not is_right():
        if time.monotonic() - begun > PATIENCE_S:
            raise JobError(
                f"a document written through the alias was not right after {PATIENCE_S:.0f} s; see the "
                "workers' "
                "log, and: ce2de reindex list"
            )
        time.sleep(_LOOK_S)
    return time.monotonic() - begun
