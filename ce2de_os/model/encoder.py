"""OnnxEncoder: embed text with tokenizers, ONNX Runtime and numpy only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from ce2de_os.arrays import Embeddings, TokenVectors, cosine, pad_ids, token_batches
from ce2de_os.errors import ArtifactError, ConfigError, DataError, ParityError
from ce2de_os.model.artifact import Artifact
from ce2de_os.model.loaded import LoadedModel
from ce2de_os.model.runtime import load_tokenizer
from ce2de_os.reading import readable

CANARY_MIN_COSINE = 0.95
"""Least cosine between this machine's int8 embedding and the stored fp32 one; saturation is far below."""

BATCH_TOKENS = 512
"""Tokens in one run of the graph, padding included: enough to amortize a call, few enough for the cache."""

EMBEDDINGS, TOKEN_VECTORS = "embeddings", "token_vectors"  # the graph's outputs

_CHUNK_TEXTS = 4096  # texts tokenized at a time, so that memory does not grow with the input


class OnnxEncoder(LoadedModel):
    """Encodes queries and documents with an artifact's quantized model.

    One encoder may be shared by threads. Creating it replays the artifact's canaries: a CPU on which the
    quantized arithmetic goes wrong is rejected, and cannot fill an index with noise.

    Args:
        artifact: a loaded artifact, its folder, or ``None`` for the packaged student.
        threads: number of cores for one encoder.
        batch_tokens: tokens per run of the graph, padding included.

    Raises:
        ArtifactError: the model cannot be loaded.
        ParityError: this machine's embeddings differ from the ones stored with the model.
        ConfigError: ``threads`` or ``batch_tokens`` is below 1, or ``threads`` too large.
    """

    def __init__(
        self,
        artifact: Artifact | Path | str | None = None,
        *,
        threads: int = 1,
        batch_tokens: int = BATCH_TOKENS,
    ) -> None:
        loaded = artifact if isinstance(artifact, Artifact) else Artifact.load(artifact)
        super().__init__(loaded, threads, batch_tokens)
        self._run_options = onnxruntime.RunOptions()
        # Token vectors are computed only if they are requested.
        self._run_options.only_execute_path_to_fetches = True
        self._tokens_read = 0
        self._replay_canaries()

    @property
    def tokens_read(self) -> int:
        """Tokens encoded so far, special ones included; approximate if threads share the encoder."""
        return self._tokens_read

    @property
    def space(self) -> str:
        """The artifact's vector space."""
        return self.artifact.space

    @property
    def dim(self) -> int:
        """Length of one embedding."""
        return self.artifact.dim

    def encode_queries(self, texts: Sequence[str]) -> Embeddings:
        """Encode search queries to ``(B, D)`` float32, L2-normalized, in the order given."""
        return self._encode(texts, self.artifact.query_prefix)

    def encode_documents(self, texts: Sequence[str]) -> Embeddings:
        """Encode documents to ``(B, D)`` float32, L2-normalized, in the order given.

        Only the first ``max_length`` tokens count. An empty text has an embedding too.
        """
        return self._encode(texts, self.artifact.document_prefix)

    def encode_query_tokens(self, texts: Sequence[str]) -> list[TokenVectors]:
        """Encode search queries to one ``(L, T)`` array each, a vector for every token but the special ones.

        Raises:
            ArtifactError: the artifact was exported without token vectors.
        """
        return self._encode_tokens(texts, self.artifact.query_prefix)[1]

    def encode_document_tokens(self, texts: Sequence[str]) -> list[TokenVectors]:
        """Encode documents in the same way; raise like `encode_query_tokens`."""
        return self._encode_tokens(texts, self.artifact.document_prefix)[1]

    def encode_documents_and_tokens(self, texts: Sequence[str]) -> tuple[Embeddings, list[TokenVectors]]:
        """Encode documents as `encode_documents` and `encode_document_tokens` do; each text is read once."""
        return self._encode_tokens(texts, self.artifact.document_prefix)

    def query_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokenize search queries for `encode_ids`, prefix included, cut to ``max_length``."""
        return self.token_ids(self._readable(texts, self.artifact.query_prefix))

    def document_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokenize documents for `encode_ids`."""
        return self.token_ids(self._readable(texts, self.artifact.document_prefix))

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text, special tokens included, cut to ``max_length``."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]

    def encode_ids(self, ids: Sequence[Sequence[int]]) -> Embeddings:
        """Encode texts that `token_ids` tokenized to ``(B, D)`` float32, in the order given."""
        embeddings = np.empty((len(ids), self.dim), dtype=np.float32)
        for batch, (found,) in self._batches(ids, [EMBEDDINGS]):
            embeddings[batch] = found
        return embeddings

    def split(self, text: str, length: int, stride: int) -> list[tuple[int, int]]:
        """Cut a text into passages of ``length`` tokens that begin ``stride`` tokens apart.

        Returns:
            Each passage's first character and the one after its last; the last passage ends with the text.

        Raises:
            ConfigError: the passage is longer than the model can read.
        """
        longest = self.artifact.max_length - self._tokenizer.num_special_tokens_to_add(is_pair=False)
        if length > longest:
            raise ConfigError(f"passages of {length} tokens: this model reads at most {longest} at once")
        offsets = self._whole_tokenizer.encode(readable(text), add_special_tokens=False).offsets
        starts = range(0, max(1, len(offsets) - length + stride), stride)
        pieces = [offsets[start : start + length] for start in starts]
        return [(piece[0][0], piece[-1][1]) for piece in pieces if piece] or [(0, len(text))]

    @cached_property
    def _whole_tokenizer(self) -> Tokenizer:
        """The tokenizer without its limit."""
        tokenizer = load_tokenizer(self.artifact)
        tokenizer.no_truncation()
        return tokenizer

    def _encode(self, texts: Sequence[str], prefix: str) -> Embeddings:
        if isinstance(texts, str):
            raise DataError(f"texts: got the string {texts!r:.80}, expected a list of strings")
        embeddings = np.empty((len(texts), self.dim), dtype=np.float32)
        for start in range(0, len(texts), _CHUNK_TEXTS):
            chunk = self._readable(texts[start : start + _CHUNK_TEXTS], prefix)
            embeddings[start : start + len(chunk)] = self.encode_ids(self.token_ids(chunk))
        return embeddings

    def _encode_tokens(self, texts: Sequence[str], prefix: str) -> tuple[Embeddings, list[TokenVectors]]:
        if self.artifact.token_dim is None:
            raise ArtifactError(
                f"{self.artifact.folder}: gives no token vectors, which late interaction needs; "
                "export the student again with `token_vectors`, and pass it in `artifact` or CE2DE_ARTIFACT"
            )
        return self._both(self.token_ids(self._readable(texts, prefix)))

    def _both(self, ids: Sequence[Sequence[int]]) -> tuple[Embeddings, list[TokenVectors]]:
        embeddings = np.empty((len(ids), self.dim), dtype=np.float32)
        vectors: dict[int, TokenVectors] = {}
        for batch, (found, tokens) in self._batches(ids, [EMBEDDINGS, TOKEN_VECTORS]):
            embeddings[batch] = found
            for place, row in zip(batch, tokens, strict=True):
                # Without the special tokens, one at each end, and the padding; a copy frees the batch.
                vectors[place] = row[1 : len(ids[place]) - 1].copy()
        return embeddings, [vectors[place] for place in range(len(ids))]

    def _readable(self, texts: Sequence[str], prefix: str) -> list[str]:
        return [prefix + self._cut(text) for text in texts]

    def _batches(
        self, ids: Sequence[Sequence[int]], outputs: list[str]
    ) -> Iterator[tuple[list[int], list[Any]]]:
        """Yield positions in ``ids`` and the graph's ``outputs`` for them, batch by batch."""
        for batch in token_batches([len(row) for row in ids], self._batch_tokens):
            input_ids, attention_mask = pad_ids([ids[position] for position in batch])
            feeds = {"input_ids": input_ids, "attention_mask": attention_mask}
            yield batch, self._session.run(outputs, feeds, self._run_options)
        self._tokens_read += sum(map(len, ids))

    def _check_canaries(self) -> None:
        texts, expected = self.artifact.canaries()
        worst = float(cosine(self.encode_documents(texts), expected).min())
        if self.artifact.token_dim is not None:
            means = [vectors.mean(axis=0) for vectors in self.encode_document_tokens(texts)]
            worst = float(min(worst, cosine(np.stack(means), self.artifact.token_canaries()[1]).min()))
        if not worst >= CANARY_MIN_COSINE:  # NaN fails too
            raise ParityError(
                f"{self.artifact.folder}: this CPU computes wrong vectors (cosine {worst:.3f} to the "
                f"stored ones, at least {CANARY_MIN_COSINE} expected); "
                "use another machine or an artifact quantized for it"
            )
