"""MaxSim of token vectors in the index: by a script in the cluster, or fetched and scored here."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from ce2de_os.arrays import TokenVectors
from ce2de_os.errors import ConfigError
from ce2de_os.index import token_field
from ce2de_os.index.client import backend_errors
from ce2de_os.search import queries
from ce2de_os.search.answers import Answer, FoundDocuments, check, documents_in
from ce2de_os.search.late_interaction import LateInteraction, max_sim
from ce2de_os.search.plan import SearchPlan
from ce2de_os.search.queries import Body
from ce2de_os.search.rerank import in_time
from ce2de_os.search.steps import Call, Compute, Steps
from ce2de_os.search.target import Target

logger = logging.getLogger(__name__)

STORED_CHUNK = 25
"""Documents scored between two looks at the clock, where there is a deadline: each look is a request."""

# The k-NN plugin's function, there from 3.3 on, gives the sum of (1 + cosine) / 2; half of it is "unlike".
# It reads lists from a map, which need not be the document's `_source`.
_SCRIPT = """
def values = doc[params.field];
if (values.size() == 0 || values.get(0).length == 0) {
  return 0.5f;
}
def stored = values.get(0);
int dim = params.query[0].size();
List rows = new ArrayList();
for (int start = stored.offset; start < stored.offset + stored.length; start += dim) {
  List row = new ArrayList();
  for (int place = start; place < start + dim; ++place) {
    row.add(stored.bytes[place]);
  }
  rows.add(row);
}
return lateInteractionScore(params.query, 'rows', ['rows': rows], 'cosinesimil') / params.query.size();
"""

Scores = dict[str, float]
"""MaxSim by the documents' keys."""


class StoredTokens:
    """Scores hits by the model's token vectors in an index, and remembers whether the cluster can."""

    def __init__(self, late: LateInteraction) -> None:
        self._late = late
        self._in_cluster = late.scoring != "stored"

    def field_in(self, target: Target) -> str | None:
        """Choose the field of the model's token vectors; ``None``: score the hits' texts instead.

        Raises:
            ConfigError: there is no such field, and the user wants only stored vectors.
        """
        if self._late.scoring == "text":
            return None
        fingerprint = self._late.encoder.fingerprint
        fields = [
            entry.token_field
            for entry in target.embedded
            if entry.token_dim is not None and entry.fingerprint == fingerprint
        ]
        if not fields and self._late.scoring is not None:
            raise ConfigError(
                f"{target.name}: has no token vectors of this model, which scoring '{self._late.scoring}' "
                "needs; make them with 'ce2de reindex start' and `token_vectors`, or leave scoring out"
            )
        return fields[-1] if fields else None

    def logits(self, plan: SearchPlan, field: str, documents: Sequence[FoundDocuments]) -> Steps[list[float]]:
        """Compute MaxSim of the first documents: of all, or of as many as the deadline allows."""
        query = yield Compute(partial(self._late.query_tokens, plan.text))
        logits: list[float] = []
        for part in in_time(len(documents), STORED_CHUNK, plan.question.rerank_deadline_ms):
            scores = (yield from self._scores(plan, field, query, documents[part])) if len(query) else {}
            logits += [scores.get(document.key, 0.0) for document in documents[part]]
        return logits

    def _scores(
        self, plan: SearchPlan, field: str, query: TokenVectors, documents: Sequence[FoundDocuments]
    ) -> Steps[Scores]:
        if self._in_cluster:
            answers = yield from _ask(plan, documents, script_body(query, field))
            if self._late.scoring == "cluster" or not any(map(is_not_understood, answers)):
                return scripted(_checked(answers))
            self._in_cluster = False
            logger.info(
                "Scoring token vectors on the client: the cluster has no lateInteractionScore",
                extra={"action": "choose_scoring"},
            )
        answers = yield from _ask(plan, documents, {"_source": [field]})
        scores: Scores = yield Compute(partial(fetched, query, field, _checked(answers)))
        return scores


def script_body(query: TokenVectors, field: str) -> Body:
    """Build the part of a search that scores documents by MaxSim; `scripted` reads its answer."""
    script = {"source": _SCRIPT, "params": {"query": query.tolist(), "field": field}}
    return {"script": script, "_source": False}


def scripted(answers: Iterable[Answer]) -> Scores:
    """Read MaxSim from the answers to `script_body`."""
    return {one.key: 2 * one.score - 1 for answer in answers for one in documents_in(answer)}


def fetched(query: TokenVectors, field: str, answers: Iterable[Answer]) -> Scores:
    """Compute MaxSim from the token vectors in answers that have them."""
    documents = (one for answer in answers for one in documents_in(answer))
    return {
        one.key: max_sim(query, token_field.from_json(one.source.get(field) or "", query.shape[1]))
        for one in documents
    }


def is_not_understood(answer: Answer) -> bool:
    """Return whether an answer of ``_msearch`` says that the cluster does not know the script's function."""
    causes = answer["error"].get("root_cause", []) if "error" in answer else []
    return any(cause.get("reason") == "compile error" for cause in causes)


def _ask(plan: SearchPlan, documents: Sequence[FoundDocuments], body: Body) -> Steps[list[Answer]]:
    """Search for these documents, each index by itself; with a ``script`` it gives their scores."""
    ids: dict[str, list[str]] = {}
    for document in documents:
        ids.setdefault(document.index_name, []).append(document.doc_id)
    lines = [line for index, wanted in ids.items() for line in _lines(plan, index, wanted, body)]
    action = f"score token vectors of {plan.target.name}"
    answers: list[Answer] = (yield Call(action, "msearch", {"body": lines}, "responses"))["responses"]
    return answers


def _lines(plan: SearchPlan, index: str, doc_ids: Sequence[str], body: Body) -> Iterator[Body]:
    yield {**plan.header, "index": index}
    contents = {name: value for name, value in body.items() if name != "script"}
    query: Body = {"bool": {"filter": [queries.by_ids(doc_ids)]}}
    if "script" in body:
        query = {"script_score": {"query": query, "script": body["script"]}}
    yield {**contents, "query": query, "size": len(doc_ids), "track_total_hits": False}


def _checked(answers: list[Answer]) -> list[Answer]:
    with backend_errors("score token vectors"):
        for answer in answers:
            check(answer)
    return answers
