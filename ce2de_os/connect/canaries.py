"""Send texts through a remote model, as a pipeline would, and look at what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from opensearchpy import OpenSearch

from ce2de_os.arrays import Embeddings
from ce2de_os.connect.refusals import refusal
from ce2de_os.connect.request import RERANK
from ce2de_os.errors import BackendError, ConfigError
from ce2de_os.index.client import backend_errors

_FAILURES = [400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 500, 502, 503, 504]


def embed(client: OpenSearch, model_id: str, texts: Sequence[str], what: str) -> Embeddings:
    """Embed texts through OpenSearch to ``(B, D)`` float32.

    Raises:
        ConfigError: OpenSearch or the service refuses; names what to change.
        BackendUnavailableError: OpenSearch does not answer.
    """
    body = {"text_docs": list(texts), "return_number": True, "target_response": ["sentence_embedding"]}
    answer = _predict(client, "text_embedding", model_id, body, what)
    rows = [output["data"] for result in answer["inference_results"] for output in result["output"]]
    return np.array(rows, dtype=np.float32)


def score(client: OpenSearch, model_id: str, query: str, texts: Sequence[str], what: str) -> list[float]:
    """Score texts for a query through OpenSearch; raises like `embed`."""
    body = {"query_text": query, "text_docs": list(texts)}
    answer = _predict(client, "text_similarity", model_id, body, what)
    return [float(result["output"][0]["data"][0]) for result in answer["inference_results"]]


def takes_key(client: OpenSearch, model_id: str, kind: str) -> bool:
    """Return whether the service answers with the key that the connector has."""
    try:
        if kind == RERANK:
            score(client, model_id, "any", ["any"], kind)
        else:
            embed(client, model_id, ["any"], kind)
    except (ConfigError, BackendError):
        return False
    return True


def _predict(client: OpenSearch, function: str, model_id: str, body: dict[str, Any], what: str) -> Any:  # noqa: ANN401
    path = f"/_plugins/_ml/_predict/{function}/{model_id}"
    with backend_errors(what):
        answer = client.transport.perform_request("POST", path, params={"ignore": _FAILURES}, body=body)
    if "error" in answer or "inference_results" not in answer:
        text = str(answer.get("error", answer))
        raise refusal(what, text) or ConfigError(
            f"{what}: {' '.join(text.split())[:300]}; look at the log of ce2de serve and of the nodes"
        )
    return answer
