"""Carry out a plan: the models first, then, if their vectors are right, the indices."""

from __future__ import annotations

from opensearchpy import OpenSearch

from ce2de_os.connect.check import expected_vectors, rerank_answers, right_model
from ce2de_os.connect.plan import ConnectPlan
from ce2de_os.connect.request import DOCUMENTS, QUERIES, RERANK, ConnectRequest
from ce2de_os.connect.steps import run
from ce2de_os.errors import ConfigError
from ce2de_os.model.artifact import Artifact


def apply(client: OpenSearch, request: ConnectRequest, planned: ConnectPlan, artifact: Artifact) -> None:
    """Carry out a plan.

    Raises:
        ConfigError: the vectors that come back are not the model's, or something refuses; what was made so
            far stays, for the next try or for `disconnect`.
    """
    given = run(client, (*planned.opening, *planned.models), request.key)
    ids = {kind: given.get(name.strip("<>"), name) for kind, name in planned.model_ids.items()}
    expected = expected_vectors(artifact)
    checked = [
        right_model(client, request.name, kind, ids[kind], expected[kind]) for kind in (DOCUMENTS, QUERIES)
    ]
    if RERANK in ids:
        checked.append(rerank_answers(client, request.name, ids[RERANK]))
    for found in checked:
        if not found.right:
            raise ConfigError(f"{found.finding}; {found.action}")
    run(client, planned.indices, given=given)
