"""Real texts to measure on: documents and queries of the collections in a folder, spread evenly."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from ce2de_os.records import read_documents, read_queries

_CORPORA = ("corpus.jsonl", "corpus.en.jsonl.gz", "corpus.jsonl.gz")
_HISTOGRAM = (16, 32, 64, 128, 192, 256)


def documents(data: Path, count: int) -> list[str]:
    """``count`` documents, the same share from every collection below ``data``, at even distances."""
    found = [path for folder in _collections(data) for name in _CORPORA if (path := folder / name).is_file()]
    corpora = [[f"{doc.title}\n{doc.text}".strip() for doc in read_documents(path)] for path in found]
    return _even(corpora, count, f"{data}: no collection there; expected folders with corpus.jsonl")


def queries(data: Path, count: int) -> list[str]:
    """``count`` queries, likewise."""
    found = [path for folder in _collections(data) for path in sorted(folder.glob("queries*.jsonl"))]
    collections = [[query.text for query in read_queries(path)] for path in found]
    return _even(collections, count, f"{data}: no queries there; expected folders with queries.jsonl")


def histogram(lengths: Sequence[int]) -> dict[str, int]:
    """How many texts have how many tokens: ``{"≤16": …, "≤32": …, …}``; what is longer counts last."""
    counts = dict.fromkeys((f"≤{limit}" for limit in _HISTOGRAM), 0)
    for length in lengths:
        limit = next((limit for limit in _HISTOGRAM if length <= limit), _HISTOGRAM[-1])
        counts[f"≤{limit}"] += 1
    return counts


def _collections(data: Path) -> list[Path]:
    return sorted(path for path in data.iterdir() if path.is_dir()) if data.is_dir() else []


def _even(sources: Sequence[Sequence[str]], count: int, complaint: str) -> list[str]:
    sources = [source for source in sources if source]
    if not sources:
        raise SystemExit(complaint)
    share = -(-count // len(sources))
    taken = [source[:: max(1, len(source) // share)][:share] for source in sources]
    in_turn = [text for group in zip_longest(*taken) for text in group if text]  # any part of it is mixed
    return in_turn[:count]
