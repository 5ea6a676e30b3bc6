"""Copy new fields of a source's mapping to its target, so that they are indexed in the same way."""

from __future__ import annotations

from opensearchpy import OpenSearch

from ce2de_os.index.language_fields import language_field, text_field
from ce2de_os.index.target_body import origin_property
from ce2de_os.index.vector_field import VectorField
from ce2de_os.reindex.job import Job, Part
from ce2de_os.reindex.mapping_drift import carry_over


def own_fields(vector: VectorField) -> frozenset[str]:
    """Return the fields that a job adds to a document."""
    beside = (text_field(vector.name), language_field(vector.name))
    return frozenset({*vector.value_fields, vector.hash_field, vector.origin_field, *beside})


def carry_fields(client: OpenSearch, job: Job, part: Part) -> list[str]:
    """Add the new fields of the source to a copy; return the reasons of failures, by field.

    Called after the checkpoint was read up to which documents are copied: then whatever field one of them was
    the first to use is in the source's mapping already.
    """
    if job.mode != "copy":
        return []
    own = origin_property(job.vector)
    return carry_over(client, part.source, part.target, own, {*part.dropped, *own_fields(job.vector)})
