"""Legs that were fetched once, and fused again for each weight, without asking the cluster."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock

from ce2de_os.records import Hit, ScoredDoc
from ce2de_os.search.question import CANDIDATES, DENSE_WEIGHT, Question
from ce2de_os.search.searcher import HybridSearcher
from ce2de_os.search.strategy import fuse
from ce2de_os.ui.models import Fields

MOST_QUERIES = 200
"""Judged queries whose legs are fetched for the live figure."""

MOST_PAGES = 20
"""Pages of a question: each shard gives two, `CANDIDATES` documents of each leg."""

MOST_KEPT = 64
_BATCH = 10


@dataclass(frozen=True)
class Legs:
    """The candidates of one question.

    Attributes:
        bm25: the lexical leg, best first, with raw scores.
        dense: the same of the vectors.
        hits: each document, by the name that the legs give it.
    """

    bm25: list[ScoredDoc]
    dense: list[ScoredDoc]
    hits: Mapping[str, Hit]

    @classmethod
    def of(cls, hits: Sequence[Hit]) -> Legs:
        """Take a hybrid ranking apart that shows the scores of its legs."""
        named = {f"{hit.doc_id} {hit.index_name}": hit for hit in hits}
        return cls(
            [ScoredDoc(key, hit.bm25.score) for key, hit in _ranked(named, "bm25") if hit.bm25],
            [ScoredDoc(key, hit.dense.score) for key, hit in _ranked(named, "dense") if hit.dense],
            named,
        )

    def fused(self, question: Question) -> list[Hit]:
        """Rank the documents by a question's fusion and weight, as the searcher does."""
        return [
            self.hits[one.doc_id]._replace(score=one.score) for one in fuse(question, self.bm25, self.dense)
        ]


def _ranked(named: Mapping[str, Hit], leg: str) -> list[tuple[str, Hit]]:
    there = [(key, hit) for key, hit in named.items() if getattr(hit, leg) is not None]
    return sorted(there, key=lambda pair: int(getattr(pair[1], leg).rank))


class LegsCache:
    """Fetches the legs of questions, and keeps the last ones."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, Legs | dict[str, Legs]] = OrderedDict()
        self._lock = Lock()

    def one(self, searcher: HybridSearcher, index: str, text: str, fields: Fields) -> Legs:
        """Return the legs of one question; raise like `HybridSearcher.search`."""
        key = (index, text)
        kept = self._kept.get(key)
        if not isinstance(kept, Legs):
            (kept,) = _fetched(searcher, [text], fields.shards, fields.all)
            self._keep(key, kept)
        return kept

    def several(
        self, searcher: HybridSearcher, index: str, queries: Mapping[str, str], fields: Fields
    ) -> dict[str, Legs]:
        """Return the legs of judged queries, of a sample where there are many."""
        ids = sorted(queries)
        if len(ids) > MOST_QUERIES:
            ids = sorted(random.Random(0).sample(ids, MOST_QUERIES))  # noqa: S311
        key = (index, tuple((one, queries[one]) for one in ids))
        kept = self._kept.get(key)
        if not isinstance(kept, dict):
            kept = {}
            for start in range(0, len(ids), _BATCH):
                part = ids[start : start + _BATCH]
                legs = _fetched(searcher, [queries[one] for one in part], fields.shards, False)
                kept |= dict(zip(part, legs, strict=True))
            self._keep(key, kept)
        return kept

    def forget(self) -> None:
        """Forget everything, so that the next question is asked anew."""
        with self._lock:
            self._kept.clear()

    def _keep(self, key: Hashable, value: Legs | dict[str, Legs]) -> None:
        with self._lock:
            self._kept[key] = value
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)


def _fetched(
    searcher: HybridSearcher, texts: Sequence[str], shards: int, source: Sequence[str] | bool
) -> list[Legs]:
    """Ask for every page of some questions: together they have all candidates of both legs."""
    # A larger page would be more candidates, and with them other lowest scores.
    page = Question(
        "", top_k=CANDIDATES, candidates=CANDIDATES, dense_weight=DENSE_WEIGHT, explain=True, rerank_depth=0,
        source=source,
    )  # fmt: skip
    pages = [number * CANDIDATES for number in range(min(2 * shards, MOST_PAGES))]
    found = searcher.search_many([replace(page, text=text, from_=first) for text in texts for first in pages])
    several = [found[start : start + len(pages)] for start in range(0, len(found), len(pages))]
    return [Legs.of([hit for result in one for hit in result]) for one in several]
