"""Judged collections as token ids, and how well embeddings find what is relevant in them."""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_packs import Ids, unpacked, whole_ids

from ce2de_os.distill.models.teacher import Teacher, embed_ids
from ce2de_os.evaluation import load_collection
from ce2de_os.reading import parse_json

K = 10


def write_collections(folders: Sequence[Path], teacher: Teacher, out: Path, max_length: int) -> None:
    """Write each judged collection as token ids."""
    out.mkdir(parents=True, exist_ok=True)
    for folder in folders:
        one = load_collection(folder)

        def ids(texts: Sequence[str]) -> list[list[int]]:
            found = teacher.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
            return [row.ids[: max_length - 2] for row in found]

        rows = {doc: row for row, doc in enumerate(one.doc_ids)}
        judged = [
            {str(rows[doc]): value for doc, value in one.qrels.get(query, {}).items() if doc in rows}
            for query in one.query_ids
        ]
        facts = {"documents": ids(one.documents), "queries": ids(one.queries), "judged": judged}
        (out / f"{one.name}.xz").write_bytes(lzma.compress(json.dumps(facts).encode()))


class Judged:
    """Collections as token ids, and nDCG@10 by exact search over them."""

    def __init__(self, folder: Path, facts: dict[str, Any], max_length: int) -> None:
        self._facts, self._max_length = facts, max_length
        self._found = {
            path.stem: parse_json(unpacked(path).decode(), str(path)) for path in sorted(folder.glob("*.xz"))
        }

    def measure(
        self, embed: Callable[..., torch.Tensor], device: torch.device, *, asked: bool
    ) -> dict[str, float]:
        """NDCG@10 of each collection; ``asked``: queries are read with the teacher's prefix."""
        return {
            name: round(self._ndcg(one, embed, device, asked=asked), 4) for name, one in self._found.items()
        }

    def _ndcg(
        self, one: dict[str, Any], embed: Callable[..., torch.Tensor], device: torch.device, *, asked: bool
    ) -> float:
        vectors = {}
        for kind, is_query in (("documents", False), ("queries", True)):
            rows: Ids = [np.array(row, dtype=np.uint16) for row in one[kind]]
            marks = np.full(len(rows), is_query)
            ids = whole_ids(rows, marks, self._facts, self._max_length, asked=asked)
            vectors[kind] = embed_ids(embed, ids, "fp32", device=device)
        scores = vectors["queries"] @ vectors["documents"].T
        values = [
            ndcg(np.argsort(-row, kind="stable")[:K].tolist(), judged)
            for row, judged in zip(scores, one["judged"], strict=True) if any(v > 0 for v in judged.values())
        ]  # fmt: skip
        return float(np.mean(values))


def ndcg(found: Sequence[int], judged: dict[str, int]) -> float:
    """NDCG@10 with the judgement itself as gain."""
    gains = [max(0, judged.get(str(row), 0)) for row in found]
    best = sorted((max(0, value) for value in judged.values()), reverse=True)[:K]
    shares = 1 / np.log2(np.arange(2, K + 2))
    return float(gains @ shares[: len(gains)]) / float(best @ shares[: len(best)])
