"""Check that target and source hold the same: all documents by version, a sample by content, the mapping."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ce2de_os import deep_json
from ce2de_os.index import admin
from ce2de_os.index.client import backend_errors, entries_of
from ce2de_os.reindex.compare import IndexComparison, compare
from ce2de_os.reindex.drift import carry_fields, own_fields
from ce2de_os.reindex.verify.report import VerifyReport
from ce2de_os.reindex.verify.subject import Subject

_TOLD = 5
"""Most ids in a problem."""

_INFINITE = {"Infinity": math.inf, "-Infinity": -math.inf}
"""What OpenSearch writes for numbers beyond a double, such as ``1E400``, where it writes them anew."""


def check_documents(subject: Subject, report: VerifyReport) -> None:
    """Compare every document's version, up to where the target has been brought."""
    client, part = subject.client, subject.part
    found = compare(client, part, subject.job.vector.origin_field, subject.upto, subject.refused)
    newest = admin.checkpoints(client, part.source)
    late = {shard: max(0, newest.get(shard, -1) - last) for shard, last in subject.upto.items()}
    surplus = found.surplus_count - _explained(found, late)
    report.lost += found.lost_count
    report.stale += found.stale_count
    report.surplus += surplus
    again = "; start the same job again, which copies them"
    if found.lost_count:
        report.problems.append(
            f"{found.lost_count} documents of '{part.source}' are missing in '{part.target}': "
            f"{_ids(found.lost, found.lost_count)}{again}"
        )
    if found.stale_count:
        report.problems.append(
            f"'{part.target}' has {found.stale_count} documents at another version than '{part.source}': "
            f"{_ids(found.stale, found.stale_count)}{again}"
        )
    if surplus:
        report.problems.append(
            f"'{part.target}' has {surplus} documents more than '{part.source}': "
            f"{_ids(found.surplus, surplus)}; start the same job again, which removes them"
        )


def check_contents(subject: Subject, report: VerifyReport) -> None:
    """Compare what a sample of documents contains; a pipeline may change it, then nothing is compared."""
    if subject.job.pipeline is not None:
        return
    hits = subject.some
    left_out = {*own_fields(subject.job.vector), *subject.part.dropped}
    for hit, entry in zip(hits, _in_source(subject, hits), strict=True):
        origin = hit["_source"].get(subject.job.vector.origin_field) or {}
        if not entry.get("found") or entry["_seq_no"] != origin.get("seq_no"):
            continue  # it is another version: the comparison of all documents reports that
        report.compared += 1
        names = sorted({*entry["_source"], *hit["_source"]} - left_out)
        wrong = [name for name in names if not same(entry["_source"].get(name), hit["_source"].get(name))]
        if wrong:
            report.problems.append(
                f"document '{hit['_id']}' has other values in '{subject.part.target}' than in "
                f"'{subject.part.source}': {', '.join(wrong[:_TOLD])}; copy it again into another `target`"
            )
            return


def same(one: Any, other: Any) -> bool:  # noqa: ANN401 - any JSON values
    """Return whether two values are equal, numbers as doubles: OpenSearch rewrites those of k-NN indices."""
    return deep_json.equal(one, other, _same_leaf)


def _same_leaf(one: Any, other: Any) -> bool:  # noqa: ANN401
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    one, other = (_INFINITE.get(value, value) if isinstance(value, str) else value for value in (one, other))
    if isinstance(one, int | float) and isinstance(other, int | float):
        try:
            return one == other or float(one) == float(other)
        except OverflowError:  # a whole number that no double holds
            return False
    return bool(one == other)


def check_mapping(subject: Subject, report: VerifyReport) -> None:
    """Add the source's new fields to the target's mapping; report a problem if that fails."""
    for difference in carry_fields(subject.client, subject.job, subject.part):
        report.problems.append(f"{difference}; start again with another `target`, which gets today's mapping")


def _explained(found: IndexComparison, late: dict[int, int]) -> int:
    """Count the surplus documents that may have been deleted after the compared operations."""
    return sum(min(count, late.get(shard, 0)) for shard, count in found.surplus_by_shard.items())


def _ids(documents: Sequence[Any], count: int) -> str:
    told = ", ".join(f"'{one.doc_id}'" for one in documents[:_TOLD])
    return told if count <= _TOLD else f"{told} …"


def _in_source(subject: Subject, hits: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    if not hits:
        return []
    docs = [
        {"_id": hit["_id"], **({"routing": hit["_routing"]} if hit.get("_routing") else {})} for hit in hits
    ]
    action = f"look up documents of '{subject.part.source}'"
    with backend_errors(action):
        answer = subject.client.mget(
            index=subject.part.source, body={"docs": docs}, params={"preference": "_primary"}
        )
    return entries_of(action, answer)
