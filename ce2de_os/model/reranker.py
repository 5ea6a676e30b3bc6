"""OnnxReranker: score pairs of query and document with tokenizers, ONNX Runtime and numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ce2de_os.arrays import pad_ids, token_batches
from ce2de_os.errors import ParityError
from ce2de_os.model.artifact import Artifact
from ce2de_os.model.loaded import LoadedModel
from ce2de_os.model.manifest import RERANKER

CANARY_MAX_SHIFT = 0.25
"""Largest difference of a canary's logit from the stored one, as a share of the stored ones' deviation."""

BATCH_TOKENS = 512
"""Tokens in one run of the graph, padding included."""


class OnnxReranker(LoadedModel):
    """Scores documents for a query with an exported, quantized cross-encoder.

    One reranker may be shared by threads. Creating it replays the artifact's canaries, so that a CPU on which
    the quantized arithmetic goes wrong is rejected.

    Args:
        artifact: a loaded artifact, or its folder.
        threads: number of cores for one reranker.
        batch_tokens: tokens per run of the graph, padding included.
        check: whether to replay the canaries; the export does not have them yet.

    Raises:
        ArtifactError: the model cannot be loaded, or is an encoder.
        ParityError: this machine's logits differ from the ones stored with the model.
        ConfigError: ``threads`` or ``batch_tokens`` is below 1, or ``threads`` too large.
    """

    def __init__(
        self,
        artifact: Artifact | Path | str,
        *,
        threads: int = 1,
        batch_tokens: int = BATCH_TOKENS,
        check: bool = True,
    ) -> None:
        folder = artifact.folder if isinstance(artifact, Artifact) else artifact
        super().__init__(Artifact.load(folder, kind=RERANKER), threads, batch_tokens)
        self._inputs = {node.name for node in self._session.get_inputs()}
        if check:
            self._replay_canaries()

    def score(self, query: str, documents: Sequence[str]) -> NDArray[np.float32]:
        """Return each document's logit for ``query``, ``(B,)`` float32, in the given order; higher is better.

        A pair longer than ``max_length`` tokens is cut, the longer of its texts first.
        """
        return self.score_pairs([(query, document) for document in documents])

    def score_pairs(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Return the logit of each ``(query, document)``, ``(B,)`` float32, in the given order."""
        cut = [(self._cut(query), self._cut(document)) for query, document in pairs]
        encoded = self._tokenizer.encode_batch(cut)
        logits = np.empty(len(pairs), dtype=np.float32)
        for batch in token_batches([len(row.ids) for row in encoded], self._batch_tokens):
            logits[batch] = self._run([encoded[position] for position in batch])
        return logits

    def _run(self, encoded: Sequence[Any]) -> NDArray[np.float32]:
        input_ids, attention_mask = pad_ids([row.ids for row in encoded])
        feeds = {"input_ids": input_ids, "attention_mask": attention_mask}
        if "token_type_ids" in self._inputs:
            feeds["token_type_ids"], _ = pad_ids([row.type_ids for row in encoded])
        outputs: list[Any] = self._session.run(["logits"], feeds)
        return np.asarray(outputs[0], dtype=np.float32)[:, 0]

    def _check_canaries(self) -> None:
        pairs, expected = self.artifact.pair_canaries()
        worst = float(np.abs(self.score_pairs(pairs) - expected).max())
        allowed = CANARY_MAX_SHIFT * max(float(expected.std()), 1e-3)
        if not worst <= allowed:  # NaN fails too
            raise ParityError(
                f"{self.artifact.folder}: this CPU computes wrong logits (up to {worst:.3f} from the stored "
                f"ones, at most {allowed:.3f} expected); use another machine or export the model again"
            )
