"""Reasons for and against a plan, each with what to do: refusals, which mean no, and warnings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from ce2de_os.reindex.planning import capacity
from ce2de_os.reindex.planning.capacity import GB
from ce2de_os.reindex.planning.record import Plan
from ce2de_os.reindex.setup.finding import Finding

_HEAP_PRESSURE = 0.85  # share of the parent breaker's limit that a heap should not reach before a heavy load


def refusals(plan: Plan) -> tuple[Finding, ...]:
    """Return the reasons why the job cannot be done as planned; empty if it fits."""
    checks = (_way, _text, _disk, _memory, _plugin, _shard_limits, _blocks, _time)
    return _findings(plan, checks)


def warnings(plan: Plan) -> tuple[Finding, ...]:
    """Return the warnings for a job that is possible."""
    checks = (
        _fields,
        _left_out,
        _settings,
        _low_watermark,
        _file_cache,
        _shard_sizes,
        _slices,
        _replicas,
        _heap,
        _unseen,
    )
    return _findings(plan, checks)


def _findings(plan: Plan, checks: tuple[Callable[[Plan], Iterator[Finding]], ...]) -> tuple[Finding, ...]:
    return tuple(finding for check in checks for finding in check(plan))


def _way(plan: Plan) -> Iterator[Finding]:
    lacking = [index.name for index in plan.indices if not index.knn]
    if plan.mode == "in_place" and lacking:
        yield Finding(
            f"index.knn is off in {', '.join(lacking)} and cannot be switched on later",
            "use `mode=copy`, which makes a new index and moves an alias to it",
        )


def _text(plan: Plan) -> Iterator[Finding]:
    if not plan.sample.with_text:
        fields = ", ".join(plan.request.job.text.fields)
        yield Finding(
            f"none of {plan.sample.documents} documents drawn has text in {fields}",
            "name other `text_fields`, or draw more documents with `sample`",
        )


def _disk(plan: Plan) -> Iterator[Finding]:
    disk = plan.disk
    if not disk.unplaced:
        return
    until = f"below the disk watermark {disk.watermark}" if disk.watermark else "free"
    yield Finding(
        f"disk: {gigabytes(disk.needed_bytes)} needed, {gigabytes(sum(disk.rooms.values()))} {until} "
        f"on {_nodes(disk.rooms)}; {_homeless(plan, disk.unplaced)}",
        "add data nodes or disk, delete old indices, lower the replicas"
        + ("" if plan.mode == "in_place" else ", or plan fewer indices at a time"),
    )


def _memory(plan: Plan) -> Iterator[Finding]:
    memory = plan.memory
    if memory.limit is None:
        return
    if plan.cluster.settings.get("knn.circuit_breaker.triggered") == "true":
        yield Finding(
            "the k-NN circuit breaker is triggered, so faiss vectors are rejected",
            "free memory with POST _plugins/_knn/clear_cache, or raise knn.memory.circuit_breaker.limit",
        )
    if memory.unplaced:
        yield Finding(
            f"k-NN memory: {gigabytes(memory.needed_bytes)} needed, {gigabytes(sum(memory.rooms.values()))} "
            f"below knn.memory.circuit_breaker.limit ({memory.limit}) on {_nodes(memory.rooms)}; "
            f"{_homeless(plan, memory.unplaced)}",
            f"{_smaller_storage(plan)}raise the limit, add memory or data nodes, or use `engine=lucene`",
        )


def _smaller_storage(plan: Plan) -> str:
    """Return advice to use the largest storage of the same engine that fits; ``""`` if none fits."""
    rows = [row for row in plan.memory_table if row.engine == plan.request.field.engine]
    for row in sorted(rows, key=lambda row: row.total_bytes, reverse=True):
        sizes = [
            row.bytes_per_vector * load.vectors
            for load in plan.loads
            for _ in range(load.shards * load.copies)
        ]
        if row.total_bytes < plan.memory.needed_bytes and not capacity.unplaced(
            sizes, plan.memory.rooms.values()
        ):
            setting = "data_type" if row.option == capacity.BYTE else "compression_level"
            return f"`{setting}={row.option}` takes {gigabytes(row.total_bytes)} and fits; or "
    return ""


def _plugin(plan: Plan) -> Iterator[Finding]:
    if plan.cluster.knn_installed is False:
        yield Finding("the cluster has no k-NN plugin", "install opensearch-knn on every node")


def _shard_limits(plan: Plan) -> Iterator[Finding]:
    if plan.shards.most_documents > capacity.LUCENE_MAX_DOCUMENTS:
        yield Finding(
            f"a shard would hold {plan.shards.most_documents:,} documents, "
            f"Lucene's limit is {capacity.LUCENE_MAX_DOCUMENTS:,}",
            f"split the source first (POST INDEX/_split) so that there are {plan.shards.fewest} shards",
        )
    nodes, present = plan.cluster.data_nodes, plan.cluster.open_shards
    if plan.mode == "in_place" or nodes is None or present is None:
        return
    new = sum(index.shards * (index.replicas + 1) for index in plan.indices)
    most = int(plan.cluster.settings["cluster.max_shards_per_node"]) * nodes
    if present + new > most:
        yield Finding(
            f"{new} new shards and {present} present ones are more than the {most} that "
            "cluster.max_shards_per_node allows",
            "delete old indices, add data nodes, or raise cluster.max_shards_per_node",
        )


def _blocks(plan: Plan) -> Iterator[Finding]:
    names = ("cluster.blocks.read_only", "cluster.blocks.read_only_allow_delete")
    found = [name for name in names if plan.cluster.settings.get(name) == "true"]
    if plan.mode == "in_place":
        found += [f"{block} of {index.name}" for index in plan.indices for block in index.blocks]
    if found:
        yield Finding(
            f"writing is blocked: {', '.join(found)}",
            "free disk if that was the reason, then set the block to null",
        )


def _time(plan: Plan) -> Iterator[Finding]:
    time = plan.time
    if time.seconds is None or time.within_s is None or time.docs_per_s is None:
        return
    if time.seconds > time.within_s * (1 + 1e-9):
        wanted = capacity.workers_for(plan.vectors, time.docs_per_s, time.within_s)
        yield Finding(
            f"{counted(time.workers, 'worker')} would take {duration(time.seconds)}, "
            f"wanted within {duration(time.within_s)}",
            f"start {wanted} workers, or give it more time",
        )


def _fields(plan: Plan) -> Iterator[Finding]:
    if plan.missing_fields:
        yield Finding(
            f"not in every index: {', '.join(plan.missing_fields)}",
            "those documents are embedded by their other fields, or not at all",
        )


def _left_out(plan: Plan) -> Iterator[Finding]:
    for index in plan.indices:
        if index.left_out:
            yield Finding(
                f"{index.name} leaves fields out of _source: {', '.join(index.left_out)}",
                "they are lost when a document is written again; load it again from its origin to keep "
                "them, or start with `accept_excluded_fields`",
            )


def _settings(plan: Plan) -> Iterator[Finding]:
    if plan.mode == "in_place":
        return
    for index in plan.indices:
        if index.left_behind:
            yield Finding(
                f"a copy of {index.name} does not get these settings: {', '.join(index.left_behind)}",
                "set those that you need on the new index before the alias moves (start with `hold`)",
            )


def _low_watermark(plan: Plan) -> Iterator[Finding]:
    low = plan.cluster.watermarks["low"]
    if low is None or plan.disk.unplaced:
        return
    left = sum(capacity.room(node.disk_bytes, node.disk_free_bytes, low) for node in plan.cluster.nodes)
    if plan.cluster.nodes and plan.disk.needed_bytes > left:
        yield Finding(
            f"disks would pass the low watermark ({low})",
            "replicas may then stay unassigned; free disk or add data nodes",
        )


def _file_cache(plan: Plan) -> Iterator[Finding]:
    memory = plan.memory
    if memory.limit is None and memory.rooms and memory.needed_bytes > sum(memory.rooms.values()):
        yield Finding(
            f"{gigabytes(memory.needed_bytes)} of vectors and graph, but only "
            f"{gigabytes(sum(memory.rooms.values()))} of memory outside the heaps",
            "searches will read from disk; see the table for a `compression_level` that takes less",
        )


def _shard_sizes(plan: Plan) -> Iterator[Finding]:
    shards = plan.shards
    if shards.largest_shard_bytes > capacity.LARGEST_SHARD_BYTES:
        yield Finding(
            f"the largest shard would be {gigabytes(shards.largest_shard_bytes)}, 10-50 GB is advised",
            f"split the source first (POST INDEX/_split): {_range(shards.fewest, shards.most)} in all",
        )
    elif shards.shards > shards.most and shards.primaries_bytes > capacity.SMALLEST_SHARD_BYTES:
        mean = shards.primaries_bytes / shards.shards
        yield Finding(
            f"{shards.shards} shards of {gigabytes(mean)} are small, 10-50 GB is advised",
            f"{_range(shards.fewest, shards.most)} would do; shrink them afterwards (POST INDEX/_shrink)",
        )


def _slices(plan: Plan) -> Iterator[Finding]:
    if plan.time.workers > plan.shards.slices:
        yield Finding(
            f"{plan.time.workers} workers, but only {counted(plan.shards.slices, 'slice')} to work on",
            f"more than {counted(plan.shards.slices, 'worker')} will not make it faster",
        )


def _replicas(plan: Plan) -> Iterator[Finding]:
    nodes = plan.cluster.data_nodes
    wanted = max(index.replicas for index in plan.indices)
    if nodes is not None and wanted + 1 > nodes:
        yield Finding(
            f"{counted(wanted, 'replica')}, but {counted(nodes, 'data node')}: the rest stay unassigned",
            "memory and disk are planned for the copies that find a node",
        )


def _heap(plan: Plan) -> Iterator[Finding]:
    for node in plan.cluster.nodes:
        used, limit = node.heap_used_bytes, node.parent_breaker_bytes
        if used is not None and limit is not None and used > _HEAP_PRESSURE * limit:
            yield Finding(
                f"{node.name}: heap at {gigabytes(used)}, the parent breaker refuses requests at "
                f"{gigabytes(limit)}",
                "load at a quieter hour, or give OpenSearch a larger heap",
            )


def _unseen(plan: Plan) -> Iterator[Finding]:
    for what in plan.cluster.unseen:
        yield Finding(f"could not see the {what}", "ask for it, or check that part by hand")


def gigabytes(number: float) -> str:
    """Format bytes as decimal gigabytes: three decimals below one, one below a thousand, else none."""
    value = number / GB
    if 0 < value < 0.001:
        return "<0.001 GB"
    decimals = 3 if value < 1 else 1 if value < 1000 else 0
    return f"{value:,.{decimals}f} GB"


def duration(seconds: float) -> str:
    """Format seconds in the two largest units: ``45 s``, ``12 min``, ``3 h 20 min``, ``8 d 4 h``."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 1 else "<1 s"
    minutes = round(seconds / 60)
    hours, minutes = divmod(minutes, 60)
    days, left = divmod(hours, 24)
    if days:
        return f"{days} d {left} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def counted(number: int, thing: str) -> str:
    """Format a count with its noun: ``1 worker``, ``2 workers``."""
    return f"{number} {thing}" + ("" if number == 1 else "s")


def _range(fewest: int, most: int) -> str:
    return counted(fewest, "shard") if most <= fewest else f"{fewest} to {most} shards"


def _nodes(rooms: Mapping[str, float]) -> str:
    return counted(len(rooms), "data node")


def _homeless(plan: Plan, unplaced: int) -> str:
    copies = sum(load.shards * load.copies for load in plan.loads)
    return f"{unplaced} of {copies} shard copies find no room"
