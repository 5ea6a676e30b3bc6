"""Documents in several languages: combine them to one collection, and split rankings by language.

The translations of a document share its id. In a mixed collection the language precedes it, ``it:ID``,
so that each translation is a document of its own; all those of a relevant document are relevant.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Set

import numpy as np

from ce2de_os.errors import DataError
from ce2de_os.evaluation.collection import Collection, Judged, texts_by_id
from ce2de_os.evaluation.metrics import Qrels, Runs
from ce2de_os.records import Document, ScoredDoc

LanguageOf = Callable[[str], str]
"""Maps a document's id to its language; raises `DataError` if that is not known."""


def mixed_id(language: str, doc_id: str) -> str:
    """Return the id of a document's translation in a mixed collection."""
    return f"{language}:{doc_id}"


def mixed_language(languages: Set[str]) -> LanguageOf:
    """Return a function that reads a document's language from its id, before the first colon."""

    def language_of(doc_id: str) -> str:
        language, colon, _ = doc_id.partition(":")
        if not colon or language not in languages:
            known = " or ".join(f"'{one}:'" for one in sorted(languages))
            raise DataError(f"document '{doc_id}': its language is not known; expected {known} before its id")
        return language

    return language_of


def listed_language(listed: Mapping[str, str]) -> LanguageOf:
    """Return a function that looks up the language of a document in a list."""

    def language_of(doc_id: str) -> str:
        try:
            return listed[doc_id]
        except KeyError:
            raise DataError(
                f"document '{doc_id}': its language is not known; expected every document in the list"
            ) from None

    return language_of


def mixed_collection(corpora: Mapping[str, Iterable[Document]], judged: Judged) -> Collection:
    """Combine all languages' documents to one collection, with the judgments of `mixed_qrels`.

    Args:
        corpora: each language's documents, such as ``{"it": read_documents(path), …}``.
        judged: queries, and judgments by the ids that the translations share.

    Raises:
        DataError: no language has a relevant document.
    """
    texts = {language: texts_by_id(documents, language) for language, documents in corpora.items()}
    qrels = mixed_qrels({language: held.keys() for language, held in texts.items()}, judged.qrels)
    mixed = {
        mixed_id(language, name): text for language, held in texts.items() for name, text in held.items()
    }
    return Collection(
        "+".join(corpora), list(mixed), list(mixed.values()), list(qrels),
        [judged.queries[query_id] for query_id in qrels], qrels,
    )  # fmt: skip


def mixed_qrels(held: Mapping[str, Set[str]], qrels: Qrels) -> dict[str, dict[str, int]]:
    """Return the judgments of a mixed collection: each applies to every translation present.

    Documents that no language holds are left out, and then queries without a relevant document.

    Args:
        held: the ids that each language has a document of.
        qrels: judgments by these ids.

    Raises:
        DataError: no relevant document is left.
    """
    mixed = {
        query_id: {
            mixed_id(language, doc_id): grade
            for doc_id, grade in judged.items() for language, ids in held.items() if doc_id in ids
        }
        for query_id, judged in qrels.items()
    }  # fmt: skip
    kept = _with_relevant(mixed)
    if not kept:
        first = next((doc_id for judged in qrels.values() for doc_id in judged), "")
        raise DataError(
            f"no relevant document is in {', '.join(held)}, the first one judged is '{first}'; expected "
            "judgments by the ids that the corpora use, without a language"
        )
    return kept


def qrels_by_language(qrels: Qrels, language_of: LanguageOf) -> dict[str, dict[str, dict[str, int]]]:
    """Return each language's judgments of the queries with a relevant document in it, sorted."""
    found: dict[str, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for query_id, judged in qrels.items():
        for doc_id, grade in judged.items():
            found[language_of(doc_id)][query_id][doc_id] = grade
    kept = {language: _with_relevant(found[language]) for language in sorted(found)}
    return {language: one for language, one in kept.items() if one}


def runs_by_language(runs: Runs, language_of: LanguageOf) -> dict[str, dict[str, list[ScoredDoc]]]:
    """Return each language's part of the rankings, in the same order."""
    found: dict[str, dict[str, list[ScoredDoc]]] = defaultdict(lambda: defaultdict(list))
    for query_id, run in runs.items():
        for document in run:
            found[language_of(document.doc_id)][query_id].append(document)
    return {language: dict(one) for language, one in found.items()}


def ranked_shares(runs: Runs, language_of: LanguageOf, top_k: int) -> dict[str, float]:
    """Compute each language's share of the first ``top_k`` documents of a query, averaged over queries.

    Queries without results do not count; empty if no query has results.
    """
    return _shares([[language_of(document.doc_id) for document in run[:top_k]] for run in runs.values()])


def relevant_shares(qrels: Qrels, language_of: LanguageOf) -> dict[str, float]:
    """Compute each language's share of the relevant documents of a query, averaged over the queries."""
    return _shares(
        [[language_of(doc_id) for doc_id, grade in judged.items() if grade > 0] for judged in qrels.values()]
    )


def _shares(languages: Iterable[list[str]]) -> dict[str, float]:
    counted = [found for found in languages if found]
    names = sorted({language for found in counted for language in found})
    return {name: float(np.mean([found.count(name) / len(found) for found in counted])) for name in names}


def _with_relevant(qrels: Mapping[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    return {
        query_id: judged for query_id, judged in qrels.items() if any(grade > 0 for grade in judged.values())
    }
