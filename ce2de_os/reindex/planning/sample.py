"""Measure a random sample of a source's documents: length of the texts, speed of encoding here."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from opensearchpy import OpenSearch

from ce2de_os import deep_json
from ce2de_os.index import admin
from ce2de_os.index.client import WHOLE, backend_errors
from ce2de_os.index.documents import document_text, random_order
from ce2de_os.index.language_fields import LanguageSpec
from ce2de_os.model.runtime import load_tokenizer
from ce2de_os.reading import readable
from ce2de_os.reindex.slices.detection import languages_of

if TYPE_CHECKING:
    from ce2de_os.model.encoder import OnnxEncoder

SEED = 20_240_229  # the same documents are drawn each time, as long as they do not change
_UNCUT = 2**30  # tokens; longer than any text
_WARM_UP = 8  # texts encoded before the clock starts


@dataclass(frozen=True)
class Sample:
    """Estimates for all documents, from a sample.

    Attributes:
        documents: number of documents drawn.
        with_text: number of them with text in the fields.
        seed: seed of the draw.
        mean_tokens: mean length of a text, special tokens and prefix included, before it is cut to
            ``max_length``.
        p50_tokens: half of the texts have at most this number of tokens.
        p95_tokens: 95% of the texts have at most this number of tokens.
        mean_encoded_tokens: mean length of a text after it is cut.
        cut_share: share of the texts that are longer than ``max_length``.
        docs_per_s: texts encoded in a second on one core of this machine; ``None`` if there are none.
        languages: documents by language, those in none of the wanted ones under ``"other"``, the largest
            number first; ``None``: no languages are wanted.
        embedded_share: the embedded text's share of the documents' JSON; 0 where no languages are wanted.
    """

    documents: int
    with_text: int
    seed: int
    mean_tokens: float
    p50_tokens: int
    p95_tokens: int
    mean_encoded_tokens: float
    cut_share: float
    docs_per_s: float | None
    languages: Mapping[str, int] | None = None
    embedded_share: float = 0.0

    @property
    def text_share(self) -> float:
        """Share of the documents that get a vector."""
        return self.with_text / self.documents if self.documents else 0.0


class Drawn(NamedTuple):
    """Documents drawn at random: their texts, ``""`` for those without, and the counts of languages.

    ``languages`` and ``embedded_share`` are those of `Sample`.
    """

    texts: list[str]
    languages: Mapping[str, int] | None = None
    embedded_share: float = 0.0


def draw(
    client: OpenSearch,
    source: str,
    text_fields: Sequence[str],
    size: int,
    seed: int = SEED,
    languages: LanguageSpec | None = None,
) -> Drawn:
    """Draw ``size`` documents; where ``languages`` are wanted, the documents are read whole.

    Raises:
        BackendError: OpenSearch rejects the request or does not answer.
        MissingExtraError: a language must be detected, and the detector is not installed.
    """
    body = {
        "size": min(size, admin.most_hits(client, source)),
        "query": random_order({"match_all": {}}, seed),
        "_source": list(text_fields) if languages is None else True,
        "track_total_hits": False,
    }
    with backend_errors(f"draw a sample of '{source}'"):
        answer = client.search(index=source, body=body, params=WHOLE)
    sources = [hit.get("_source") or {} for hit in answer["hits"]["hits"]]
    texts = [document_text(source, text_fields) for source in sources]
    if languages is None:
        return Drawn(texts)
    found = Counter(filter(None, languages_of(languages, sources, texts).languages))
    return Drawn(texts, dict(found.most_common()), embedded_share(sources, texts))


def embedded_share(sources: Sequence[Mapping[str, Any]], texts: Sequence[str]) -> float:
    """Return the share of the documents' JSON that their embedded text would take as an extra field."""
    whole = sum(len(deep_json.dumps(source)) for source in sources)
    return sum(len(deep_json.dumps(text)) for text in texts if text) / max(1, whole)


def measure(encoder: OnnxEncoder, drawn: Drawn, seed: int = SEED) -> Sample:
    """Count the texts' tokens and encode them against the clock."""
    with_text = [text for text in drawn.texts if text]
    lengths = token_counts(encoder, with_text)
    rate = docs_per_s(encoder, with_text)
    found = summarize(len(drawn.texts), lengths, encoder.artifact.max_length, seed, rate)
    return replace(found, languages=drawn.languages, embedded_share=drawn.embedded_share)


def summarize(
    documents: int, lengths: Sequence[int], max_length: int, seed: int, rate: float | None
) -> Sample:
    """Compute the statistics of texts from the number of tokens of each."""
    ordered = sorted(lengths)
    return Sample(
        documents=documents,
        with_text=len(ordered),
        seed=seed,
        mean_tokens=fmean(ordered) if ordered else 0.0,
        p50_tokens=percentile(ordered, 50),
        p95_tokens=percentile(ordered, 95),
        mean_encoded_tokens=fmean(min(length, max_length) for length in ordered) if ordered else 0.0,
        cut_share=sum(length > max_length for length in ordered) / max(1, len(ordered)),
        docs_per_s=rate,
    )


def percentile(ordered: Sequence[int], percent: int) -> int:
    """Return the smallest value that ``percent`` of the sorted values do not exceed; 0 without values."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else 0


def token_counts(encoder: OnnxEncoder, texts: Sequence[str]) -> list[int]:
    """Count the tokens of each text as a document, without cutting it to ``max_length``."""
    artifact = encoder.artifact
    tokenizer = load_tokenizer(artifact, _UNCUT)
    # One by one: a sample may hold documents of megabytes.
    return [len(tokenizer.encode(artifact.document_prefix + readable(text)).ids) for text in texts]


def docs_per_s(encoder: OnnxEncoder, texts: Sequence[str]) -> float | None:
    """Measure the texts encoded per second; ``None`` if there are none."""
    if not texts:
        return None
    encoder.encode_documents(texts[:_WARM_UP])
    started = time.monotonic()
    encoder.encode_documents(texts)
    return len(texts) / max(time.monotonic() - started, 1e-6)
