"""Verification: decides whether the alias may move to the targets.

Of a copy every document's version is compared with the source's, and a sample's content and vectors. Of the
fields for the languages of the text it is verified that each text is in the field of one language.
"""

from __future__ import annotations

from collections.abc import Callable

from opensearchpy import OpenSearch

from ce2de_os.index import admin
from ce2de_os.reindex import dead_letters, identity
from ce2de_os.reindex.job import Job
from ce2de_os.reindex.slices.embedding import DocumentEncoder
from ce2de_os.reindex.verify.answers import agreement, check_answers
from ce2de_os.reindex.verify.exact import check_contents, check_documents, check_mapping
from ce2de_os.reindex.verify.report import VerifyReport
from ce2de_os.reindex.verify.subject import subjects
from ce2de_os.reindex.verify.vectors import check_languages, check_vectors

__all__ = ["VerifyReport", "agreement", "verify"]


def verify(
    client: OpenSearch,
    encoder: DocumentEncoder,
    job: Job,
    lag: Callable[[], int],
    accept_rejected: bool = False,
) -> VerifyReport:
    """Compare sources and targets: all documents, a sample of contents and vectors, mappings and answers.

    Writes may continue: operations that the targets have not seen yet are no differences. ``lag`` is their
    number.
    """
    report = VerifyReport(refused=dead_letters.count(client, job.job_id))
    report.problems += [*identity.problems(client, job), *identity.foreign_targets(client, job)]
    if report.problems:
        return report  # a comparison would mean nothing then
    if report.refused and not accept_rejected:
        report.problems.append(
            f"{report.refused} documents were rejected; see: ce2de reindex dlq list {job.job_id}"
        )
    for subject in subjects(client, job):
        if job.mode == "copy":
            check_mapping(subject, report)
            check_documents(subject, report)
            check_contents(subject, report)
        check_vectors(subject, encoder, report)
        check_languages(subject, report)
        if job.mode == "copy":
            check_answers(subject, report)
    report.source_documents = sum(admin.count(client, part.source) for part in job.parts)
    report.target_documents = sum(admin.count(client, part.target) for part in job.parts)
    report.moving = lag()
    if 0 < report.target_documents <= report.without_vector and not report.moving:
        report.problems.append(
            f"no document has text in {', '.join(job.text.fields)}, so there are no vectors; see what the "
            "documents hold, and start again with other `text_fields`"
        )
    return report
