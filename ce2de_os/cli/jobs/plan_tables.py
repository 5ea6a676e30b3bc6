"""A plan for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ce2de_os.cli.flags import with_flags
from ce2de_os.reindex.planning.verdict import counted, duration, gigabytes

if TYPE_CHECKING:
    from ce2de_os.reindex.planning.query_model import QueryModel
    from ce2de_os.reindex.planning.record import Plan
    from ce2de_os.reindex.setup.finding import Finding

_LISTED = 20  # indices and nodes shown one by one
_WORKERS = (1, 2, 4, 8, 16)  # shown where no number and no time was asked for


def show(plan: Plan) -> None:
    """Print the plan on stdout."""
    console = Console(soft_wrap=True, highlight=False)
    console.print(Text(f"{plan.mode}: {plan.mode_reason}", style="bold"))
    console.print(_facts(plan))
    if len(plan.indices) > 1:
        console.print(_indices_table(plan))
    console.print(_memory_table(plan))
    console.print("\n".join(verdict_lines(plan)), markup=False)


def verdict_lines(plan: Plan) -> Iterator[str]:
    """Yield the verdict, the reasons with their remedies, and what else to know."""
    yield "It fits." if plan.fits else "It does NOT fit:"
    yield from _finding_lines(plan.refusals)
    if plan.warnings:
        yield "Know also:"
        yield from _finding_lines(plan.warnings)


def fact_rows(plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each fact of the plan."""
    yield "source", _source(plan)
    yield "model", f"{plan.model.name} ({plan.model.fingerprint[:12]}), {plan.model.dim} dimensions"
    yield "tokens", _tokens(plan)
    if plan.sample.languages is not None:
        yield "languages", _languages(plan)
    yield "time", _time(plan)
    if plan.query_model is not None:
        yield "queries", _queries(plan, plan.query_model)
    yield "memory", _memory(plan)
    yield "disk", _disk(plan)
    yield "shards", _shards(plan)
    yield "heap", _heap(plan)


def _source(plan: Plan) -> str:
    store = sum(index.store_bytes for index in plan.indices)
    primaries = counted(sum(index.shards for index in plan.indices), "primary shard")
    names = plan.indices[0].name if len(plan.indices) == 1 else f"{len(plan.indices)} indices"
    return (
        f"{names}: {plan.documents:,} documents, {primaries}, {gigabytes(store)}; "
        f"{plan.sample.text_share:.1%} have text to embed"
    )


def _tokens(plan: Plan) -> str:
    sample = plan.sample
    return (
        f"mean {sample.mean_tokens:.0f}, p50 {sample.p50_tokens}, p95 {sample.p95_tokens}; "
        f"{sample.cut_share:.1%} are cut at {plan.model.max_length}; about {plan.tokens:,.0f} to encode "
        f"(sample of {sample.documents} documents, seed {sample.seed})"
    )


def _languages(plan: Plan) -> str:
    found = plan.sample.languages or {}
    each = ", ".join(f"{name} {number / plan.sample.with_text:.1%}" for name, number in found.items())
    spec = plan.request.job.languages
    how = f"read from {spec.field}, else detected" if spec and spec.field else "detected"
    return f"{each or 'unknown: no text in the sample'} ({how}; other: in none of the languages wanted)"


def _time(plan: Plan) -> str:
    time = plan.time
    if time.seconds is None or time.docs_per_s is None:
        return "unknown: no text in the sample"
    if time.within_s is None and plan.request.workers is None:
        told = ", ".join(f"{number}: {duration(time.seconds / number)}" for number in _WORKERS)
        told = f"workers {told}"
    else:
        told = f"{counted(time.workers, 'worker')}: {duration(time.seconds)}"
    return (
        f"{told} (encoding alone, {time.docs_per_s:,.0f} docs/s measured on one core here; "
        "how fast the cluster writes was not measured)"
    )


def _queries(plan: Plan, model: QueryModel) -> str:
    planned_s = plan.time.seconds or 0.0
    return (
        f"{model.name} ({model.fingerprint[:12]}): {model.query_ms:.1f} ms for one query on one core here, "
        f"{plan.model.name} {model.document_model_query_ms:.1f} ms; to embed the documents too, "
        f"{counted(plan.time.workers, 'worker')} would take {duration(model.seconds)} instead of "
        f"{duration(planned_s)} ({planned_s / model.seconds:.1f}x as fast)"
    )


def _memory(plan: Plan) -> str:
    memory, field = plan.memory, plan.request.field
    limit = f"below the k-NN breaker ({memory.limit})" if memory.limit else "outside the heaps"
    return (
        f"{gigabytes(memory.needed_bytes)} for {field.engine} {memory.option}, m {field.m}, "
        f"replicas included; {_rooms(memory.rooms)} {limit}"
    )


def _disk(plan: Plan) -> str:
    disk = plan.disk
    until = f"until the watermark ({disk.watermark})" if disk.watermark else "free"
    texts = f", text by language {gigabytes(disk.texts_bytes)}" if disk.texts_bytes else ""
    return (
        f"{gigabytes(disk.needed_bytes)} more: documents {gigabytes(disk.documents_bytes)}, vectors "
        f"{gigabytes(disk.vectors_bytes)}{texts}, headroom for merges {gigabytes(disk.headroom_bytes)}, "
        f"replicas included; {_rooms(disk.rooms)} {until}"
    )


def _rooms(rooms: dict[str, float]) -> str:
    if not rooms:
        return "unknown how much is"
    each = ", ".join(f"{name} {gigabytes(room)}" for name, room in list(rooms.items())[:_LISTED])
    more = f", … {len(rooms) - _LISTED} more nodes" if len(rooms) > _LISTED else ""
    return f"{gigabytes(sum(rooms.values()))} ({each}{more})"


def _shards(plan: Plan) -> str:
    shards = plan.shards
    advice = f"{shards.fewest}" if shards.most <= shards.fewest else f"{shards.fewest} to {shards.most}"
    slices = counted(shards.slices, "slice")
    return (
        f"{shards.shards}, at most {gigabytes(shards.largest_shard_bytes)} and {shards.most_documents:,} "
        f"documents each at the end; advised: {advice} (10-50 GB each); {slices} for workers"
    )


def _heap(plan: Plan) -> str:
    told = [
        f"{node.name} {gigabytes(node.heap_used_bytes)} of {gigabytes(node.heap_bytes)}, "
        f"parent breaker at {gigabytes(node.parent_breaker_bytes)}"
        for node in plan.cluster.nodes[:_LISTED]
        if node.heap_used_bytes is not None
        and node.heap_bytes is not None
        and node.parent_breaker_bytes is not None
    ]
    return "; ".join(told) or "unknown"


def _facts(plan: Plan) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, sentence in fact_rows(plan):
        table.add_row(name, Text(sentence))
    return table


def _indices_table(plan: Plan) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("index", overflow="fold")
    for name in ("documents", "size", "shards", "replicas", "index.knn"):
        table.add_column(name, justify="right")
    for index in plan.indices[:_LISTED]:
        table.add_row(
            Text(index.name),
            f"{index.documents:,}",
            gigabytes(index.store_bytes),
            str(index.shards),
            str(index.replicas),
            "true" if index.knn else "false",
        )
    if len(plan.indices) > _LISTED:
        table.add_row(f"… {len(plan.indices) - _LISTED} more, see --json")
    return table


def _memory_table(plan: Plan) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="Vectors in memory", title_justify="left")
    for name in ("engine", "option", "stored as"):
        table.add_column(name, no_wrap=True)
    for name in ("bytes/vector", "1 copy, GB", "all, GB", "disk, GB"):
        table.add_column(name, justify="right", no_wrap=True)
    chosen = (plan.request.field.engine, plan.memory.option)
    for row in plan.memory_table:
        table.add_row(
            row.engine,
            row.option,
            row.stored_as,
            f"{row.bytes_per_vector:,.1f}",
            gigabytes(row.primaries_bytes).removesuffix(" GB"),
            gigabytes(row.total_bytes).removesuffix(" GB"),
            gigabytes(row.disk_bytes).removesuffix(" GB"),
            style="bold" if (row.engine, row.option) == chosen else "",
        )
    return table


def _finding_lines(findings: Sequence[Finding]) -> Iterator[str]:
    for finding in findings:
        yield f"- {with_flags(finding.reason)}"
        yield f"  to do: {with_flags(finding.action)}"
