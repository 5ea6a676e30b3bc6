"""Turn a page of documents into writes: find known vectors, and encode the other texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from opensearchpy import OpenSearch

from ce2de_os.arrays import Embeddings, TokenVectors
from ce2de_os.errors import ArtifactMismatchError
from ce2de_os.index.admin import patiently
from ce2de_os.index.base64_vectors import to_base64
from ce2de_os.index.bulk import UpdateAction, WriteAction
from ce2de_os.index.client import backend_errors, entries_of
from ce2de_os.index.json_text import JsonText, dumps
from ce2de_os.index.language_fields import language_field, text_field
from ce2de_os.index.raw import with_fields, without
from ce2de_os.index.token_field import to_json
from ce2de_os.progress import Progress
from ce2de_os.reindex.job import Counts, Job, Part
from ce2de_os.reindex.slices.detection import languages_of
from ce2de_os.reindex.slices.source import SourceDocument

PIECES = 512
"""Passages in one call of the encoder; a page with more reports its progress between the calls."""

Values = Mapping[str, Any]
"""The model's output for a text, by field: the vector or the passages, and token vectors where wanted.

A value is as OpenSearch gave it, or a `JsonText`.
"""


class DocumentEncoder(Protocol):
    """The part of an encoder that a reindex needs; `ce2de_os.OnnxEncoder` is one."""

    @property
    def fingerprint(self) -> str:
        """Name of the vector space."""

    @property
    def tokens_read(self) -> int:
        """Tokens encoded so far."""

    def encode_documents(self, texts: list[str], /) -> Embeddings:
        """Encode texts to ``(B, D)`` float32."""

    def encode_documents_and_tokens(self, texts: list[str], /) -> tuple[Embeddings, list[TokenVectors]]:
        """Encode texts to ``(B, D)`` float32, and each text's token vectors to ``(L, T)``."""

    def split(self, text: str, length: int, stride: int, /) -> list[tuple[int, int]]:
        """Split a text into passages, as character offsets."""


class Embedded(NamedTuple):
    """A page ready to be written, with its counts."""

    actions: list[WriteAction | UpdateAction]
    counts: Counts


def check_fingerprint(job_id: str, wanted: str, encoder: DocumentEncoder) -> None:
    """Reject an encoder whose vectors do not belong to the job.

    Raises:
        ArtifactMismatchError: the encoder is not the model that the job was started with.
    """
    if encoder.fingerprint != wanted:
        raise ArtifactMismatchError(
            f"job '{job_id}' was started with model {wanted[:12]}, this worker has "
            f"{encoder.fingerprint[:12]}; set CE2DE_ARTIFACT to the job's model and restart the worker"
        )


def embed(
    client: OpenSearch,
    encoder: DocumentEncoder,
    job: Job,
    part: Part,
    documents: list[SourceDocument],
    progress: Progress = lambda done, total: None,
) -> Embedded:
    """Give each document its vector: its own, the target's, or a new one of the model.

    A vector is known if its hash names the same text and model, so a text is not encoded twice. The job's
    languages, if it has any, get the text of each document in the field of its own. ``progress`` is called as
    the encoding moves on.

    Raises:
        MissingExtraError: a language must be detected, and the detector is not installed.
    """
    texts = [job.text.text_of(document.source) for document in documents]
    hashes = [job.text.hash_of(text, job.fingerprint) if text else None for text in texts]
    own = [document.source for document in documents]
    spoken = languages_of(job.languages, own, texts)
    right = [
        _carries(job, source, wanted) and _stands(job, source, language, text)
        for source, wanted, language, text in zip(own, hashes, spoken.languages, texts, strict=True)
    ]
    stored = _stored(client, job, part, documents)
    known = {
        wanted: {name: source[name] for name in job.vector.value_fields}
        for source, wanted in zip(
            [*_trusted_vectors(job, part, own), *stored], [*hashes, *hashes], strict=True
        )
        if wanted is not None and _carries(job, source, wanted)
    }
    new = {wanted: text for text, wanted in zip(texts, hashes, strict=True) if wanted and wanted not in known}
    before = encoder.tokens_read
    values = known | dict(zip(new, _encode(encoder, job, list(new.values()), progress), strict=True))
    actions = [
        _action(job, part, document, wanted, values, language, text)
        for document, wanted, is_right, language, text in zip(
            documents, hashes, right, spoken.languages, texts, strict=True
        )
        if not (job.mode == "in_place" and is_right)
    ]
    with_text = sum(wanted is not None for wanted in hashes)
    unchanged = len(documents) - len(actions)
    counts = Counts(
        documents=len(documents),
        embedded=len(new),
        tokens=encoder.tokens_read - before,
        unchanged=unchanged,
        without_text=len(documents) - with_text,
        other_languages=spoken.other,
        unknown_languages=spoken.unknown,
        reused=max(0, with_text - len(new) - unchanged),
    )
    return Embedded(actions, counts)


def _trusted_vectors(job: Job, part: Part, own: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Return the documents' own vectors if their index declares them; else nothing: they are not ours."""
    declared = job.mode == "in_place" or job.vector.name in part.dropped
    return own if declared else [{} for _ in own]


def _carries(job: Job, source: Mapping[str, Any], wanted: str | None) -> bool:
    """Return whether a document has the vectors of this text, or rightly none."""
    if source.get(job.hash_field) != wanted:
        return False
    return all((source.get(name) is None) == (wanted is None) for name in job.vector.value_fields)


def _stands(job: Job, source: Mapping[str, Any], language: str | None, text: str) -> bool:
    """Return whether a document has its text in the field of its language, if the job has languages."""
    return job.languages is None or job.languages.holds(source, job.vector.name, language, text)


def _stored(
    client: OpenSearch, job: Job, part: Part, documents: Sequence[SourceDocument]
) -> list[Mapping[str, Any]]:
    """Read the documents from the target; nothing for those that cannot be there yet."""
    nothing: list[Mapping[str, Any]] = [{} for _ in documents]
    if job.mode == "in_place" or not documents:
        return nothing
    shard = documents[0].shard
    # An index that joined later has no snapshot: any of its documents may have been copied already.
    upto = part.snapshot[shard] if 0 <= shard < len(part.snapshot) else -1
    if not part.existed and documents[-1].seq_no <= upto:
        return nothing
    wanted = [
        {"_id": document.doc_id, **({"routing": document.routing} if document.routing else {})}
        for document in documents
    ]
    fields = ",".join([*job.vector.value_fields, job.hash_field])

    def fetch() -> list[dict[str, Any]]:
        action = f"look up vectors in '{part.target}'"
        with backend_errors(action):
            answer = client.mget(
                index=part.target, body={"docs": wanted}, params={"_source_includes": fields}
            )
        return entries_of(action, answer)

    return [entry.get("_source", {}) for entry in patiently(fetch)]


def _encode(encoder: DocumentEncoder, job: Job, texts: list[str], progress: Progress) -> list[Values]:
    name, token_field = job.vector.name, job.vector.token_field
    if token_field is not None:
        embeddings, tokens = encoder.encode_documents_and_tokens(texts)
        pairs = zip(_written(job, embeddings), tokens, strict=True)
        return [{name: vector, token_field: to_json(vectors)} for vector, vectors in pairs]
    if job.text.passages is None:
        return [{name: vector} for vector in _written(job, encoder.encode_documents(texts))]
    spans = [encoder.split(text, *job.text.passages) for text in texts]
    pieces = [text[start:end] for text, found in zip(texts, spans, strict=True) for start, end in found]
    vectors = _vectors(encoder, job, pieces, progress)
    return [
        {name: JsonText(f"[{','.join(_passage(next(vectors), *span) for span in found)}]")} for found in spans
    ]


def _vectors(encoder: DocumentEncoder, job: Job, pieces: list[str], progress: Progress) -> Iterator[JsonText]:
    """Encode passages in batches, because a single document may have thousands; report the progress."""
    for start in range(0, len(pieces), PIECES):
        progress(start, len(pieces))
        yield from _written(job, encoder.encode_documents(pieces[start : start + PIECES]))


def _written(job: Job, embeddings: Embeddings) -> list[JsonText]:
    """Format each row of ``(B, D)`` as the job writes vectors."""
    return to_base64(job.vector, embeddings) if job.base64 else job.vector.encode_json(embeddings)


def _passage(vector: JsonText, start: int, end: int) -> str:
    return dumps({"vector": vector, "start": start, "end": end})


def _action(
    job: Job,
    part: Part,
    document: SourceDocument,
    wanted: str | None,
    values: Mapping[str, Values],
    language: str | None,
    text: str,
) -> WriteAction | UpdateAction:
    name = job.vector.name
    fields = {**values[wanted], job.hash_field: wanted} if wanted else {}
    own = (*job.vector.value_fields, job.hash_field)
    if job.mode == "in_place":
        cleared = dict.fromkeys(own)  # without a text the old vector must go too
        beside = job.languages.update(name, language, text) if job.languages else {}
        changes = (fields or cleared) | beside
        return UpdateAction(
            document.doc_id, document.seq_no, document.primary_term, document.routing, changes
        )
    origin = {"shard": document.shard, "seq_no": document.seq_no}
    left_out = {*own, job.vector.origin_field, *part.dropped}
    if job.languages is not None:
        left_out |= {text_field(name), language_field(name)}
        fields |= job.languages.values(name, language, text)
    fields[job.vector.origin_field] = origin
    kept = without(document.raw, left_out) if left_out & document.source.keys() else document.raw
    source = with_fields(kept, dumps(fields))
    return WriteAction(document.doc_id, document.seq_no + 1, document.routing, source)
