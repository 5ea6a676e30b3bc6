"""Choose mirror or handover by the place of the alias, and describe the choice in a sentence."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from opensearchpy import OpenSearch

from ce2de_os.errors import ConfigError
from ce2de_os.index import aliases
from ce2de_os.index.admin import IndexInfo
from ce2de_os.reindex.job import HANDOVER, MAX_BLOCK_S, MIRROR, TARGET, Job, Mode, Way
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.checks import read_only, refuse
from ce2de_os.reindex.setup.finding import Finding
from ce2de_os.reindex.setup.versions import external


def choose_way(
    client: OpenSearch, request: JobRequest, sources: Sequence[IndexInfo], mode: Mode, *, known: bool
) -> Way | None:
    """Choose the way: if the alias points to the source already, applications write through it.

    ``None`` in place, where there is nothing to move. ``known``: whether the ledger has the job, whose own
    handover may have blocked the source.

    Raises:
        ConfigError: a handover is impossible, or the alias covers only some of the sources.
    """
    if mode == "in_place":
        return None
    names = [source.name for source in sources]
    members = aliases.definitions(client, str(request.alias))
    within = [name for name in names if name in members]
    way = natural_way(within) if request.way == "auto" else request.way
    if way == HANDOVER:
        _check_handover(request, names, within)
        if not known:
            refuse(of_handover(client, sources, asked=request.way == HANDOVER))
    return way


def of_handover(
    client: OpenSearch, sources: Sequence[IndexInfo], *, asked: bool = False
) -> Iterator[Finding]:
    """Yield what prevents a new handover; ``asked``: the request names it, and so accepts what is unsure."""
    for source in sources:
        if block := read_only(source):
            yield Finding(
                f"'{source.name}' is read-only (index.{block}), so no application writes there that a "
                "handover could move",
                f"set index.{block} to null, or use `way=mirror`",
            )
    for source in sources if not asked else ():
        yield from external(client, source)


def natural_way(within: Collection[str]) -> Way:
    """Choose a handover where the alias points to some of the sources, ``within``, already."""
    return HANDOVER if within else MIRROR


def _check_handover(request: JobRequest, names: Sequence[str], within: Sequence[str]) -> None:
    streams = [name for name in names if name.startswith(".ds-")]
    if streams:
        raise ConfigError(
            f"'{request.source}' is a data stream, and applications write to that; an alias cannot take it "
            "over: "
            "use `way=mirror` with a new alias"
        )
    outside = [name for name in names if name not in within]
    if within and outside:
        raise ConfigError(
            f"alias '{request.alias}' points to '{within[0]}', but not to '{outside[0]}', which is to be "
            "copied "
            "too; name the alias as the source, or a new alias with `way=mirror`"
        )
    if not request.block and any(_pipelines(request)):
        raise ConfigError(
            "`block=False` with `pipeline` is not possible: late writes would run through it twice"
        )


def _pipelines(request: JobRequest) -> tuple[str, ...]:
    return (request.pipeline,) if request.pipeline else ()


def meaning(job: Job) -> str:
    """Describe in a sentence or two what a job means for the applications."""
    if job.truth == TARGET and job.mode == "copy":
        return (
            f"Handed over: applications write through '{job.alias}' to {', '.join(job.targets)}; "
            f"{', '.join(job.sources)} stays as it was, read-only, for a rollback."
        )
    names = ", ".join(job.sources)
    return sentence(job.way, job.source, str(job.alias), names, block=job.block, max_block_s=job.max_block_s)


def sentence(
    way: Way | None,
    source: str,
    alias: str,
    names: str,
    *,
    block: bool = True,
    max_block_s: float = MAX_BLOCK_S,
) -> str:
    """Describe what a way means for applications; ``names`` are the physical indices of the ``source``."""
    if way is None:
        return f"In place: applications still use '{source}'; its documents get a vector field."
    if way == MIRROR:
        return (
            f"Mirror: applications still write to '{source}' and search '{alias}'. Workers copy every "
            f"change within seconds.  A write through '{alias}' is rejected."
        )
    if block:
        return (
            f"Handover: applications write through '{alias}'. At the switch, writes are rejected for a "
            f"moment (at most {max_block_s:g} s), then they go to the new index. "
            f"{names} stays as it is, read-only, for a rollback."
        )
    return (
        f"Handover without a block: applications write through '{alias}' all the time. Writes that "
        f"still reach {names} are copied afterwards; documents written on both sides are reported."
    )
