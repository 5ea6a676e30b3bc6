"""Find the indices that a job reads, and check them before anything is created."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from opensearchpy import OpenSearch

from ce2de_os.errors import ConfigError, DataError, IndexSchemaError
from ce2de_os.index import admin
from ce2de_os.index.admin import IndexInfo
from ce2de_os.index.metadata import fields_from
from ce2de_os.index.vector_field import ORIGIN_SUFFIX
from ce2de_os.reindex.job import TARGET, Job, Mode
from ce2de_os.reindex.request import VECTOR_FIELD, JobRequest, Model
from ce2de_os.reindex.setup.checks import usable_fields, why_unknown


def resolve(client: OpenSearch, name: str, served: Collection[str] = ()) -> list[IndexInfo]:
    """Return the physical indices behind a name, without those that are copies of others of them.

    An alias that shows copies means their sources. Only where applications write to a copy, because it
    has taken over (``served``), that is the source, and what it was copied from is left out.
    """
    found = {info.name: info for info in admin.describe_all(client, name)}
    for info in list(found.values()):
        origin = origin_of(info)
        if origin is None:
            continue
        if info.name in served:
            found.pop(origin, None)
        elif admin.exists(client, origin):
            found.pop(info.name, None)
            for source in admin.describe_all(client, origin):
                found.setdefault(source.name, source)
    return [found[key] for key in sorted(found)]


def origin_of(info: IndexInfo) -> str | None:
    """Return the index that this index is a copy of, with any model; ``None``: it is no copy of ours."""
    origins = (entry.source for entry in fields_from(info.mappings))
    return next((origin for origin in origins if origin not in ("", info.name)), None)


def served_targets(jobs: Iterable[Job]) -> frozenset[str]:
    """Return the copies that have taken over: applications write to them."""
    return frozenset(
        target for job in jobs if job.mode == "copy" and job.truth == TARGET for target in job.targets
    )


def new_members(client: OpenSearch, job: Job) -> list[str]:
    """Return the indices that have appeared behind a job's source and that the job does not cover."""
    covered = {*job.sources, *job.targets}
    try:
        found = resolve(client, job.source, job.targets if job.truth == TARGET else ())
    except IndexSchemaError:  # all are gone; the reader reports it
        return []
    return [info.name for info in found if info.name not in covered]


def choose_mode(
    names: Sequence[str], without_knn: Sequence[str], wanted: str, target: str | None
) -> tuple[Mode, str]:
    """Choose in place where every index can carry vectors, else a copy; return the reason too.

    ``without_knn`` are those of ``names`` that were created without ``index.knn``, which cannot be changed
    later.
    """
    if wanted == "copy":
        return "copy", "asked for: new index and alias swap"
    if wanted == "in_place":
        return "in_place", "asked for: add a second vector field, the documents stay where they are"
    if without_knn:
        which = "" if len(without_knn) == len(names) else f" in {', '.join(without_knn)}"
        return "copy", f"index.knn is off{which} and cannot be switched on later: new index and alias swap"
    if target is not None:
        return "copy", f"a target is named, '{target}': new index and alias swap"
    return (
        "in_place",
        "index.knn is on already: add a second vector field, no second copy of the documents",
    )


def mode_of(sources: Sequence[IndexInfo], request: JobRequest) -> Mode:
    """Choose the mode of a job.

    Raises:
        ConfigError: in place was asked for and is impossible.
    """
    without = [source.name for source in sources if str(source.settings.get("knn")).lower() != "true"]
    names = [source.name for source in sources]
    mode, _ = choose_mode(names, without, request.mode, request.target)
    if mode == "in_place" and without:
        raise ConfigError(
            f"'{without[0]}' was created without index.knn, which cannot be switched on later; "
            "use `mode=copy`"
        )
    return mode


def field_name(sources: Sequence[IndexInfo], mode: Mode, model: Model) -> str:
    """Choose the field for the vectors: in place, if another model has the usual one, a name of its own."""
    if mode == "copy":
        return VECTOR_FIELD
    taken = False
    for source in sources:
        ours = {entry.vector_field: entry for entry in fields_from(source.mappings)}
        mine = [name for name, entry in ours.items() if entry.fingerprint == model.fingerprint]
        if mine:
            return mine[0]
        taken = taken or VECTOR_FIELD in source.mappings.get("properties", {})
    return f"{VECTOR_FIELD}_{model.fingerprint[:8]}" if taken else VECTOR_FIELD


def check_source(source: IndexInfo, request: JobRequest) -> None:
    """Reject an index whose documents cannot be read whole, or that lacks a field to embed."""
    _check_kept(source, request)
    fields = dict(admin.field_paths(source.mappings))
    ours = {entry.vector_field for entry in fields_from(source.mappings)}
    if VECTOR_FIELD in fields and VECTOR_FIELD not in ours:
        raise ConfigError(f"'{source.name}' already has a field '{VECTOR_FIELD}'; name an index without it")
    origin = f"{VECTOR_FIELD}{ORIGIN_SUFFIX}"
    if origin in source.mappings.get("properties", {}) and VECTOR_FIELD not in ours:
        raise ConfigError(
            f"'{source.name}' has a field '{origin}' of its own, in which a copy says what each document was "
            "copied from; rename that field, or name an index without it"
        )
    named = request.languages.field if request.languages else None
    if named is not None and named not in fields:
        raise DataError(
            f"'{source.name}' has no field '{named}'; name the one that holds each document's language, or "
            "leave `language_field` out, so that it is detected"
        )
    missing = [field for field in request.text.fields if field not in fields]
    if missing or not request.text.fields:
        why = why_unknown(source.mappings, missing[0]) if missing else ""
        raise DataError(
            f"'{source.name}' has no field '{', '.join(missing)}'; {why}the fields that hold text are: "
            f"{', '.join(usable_fields(source.mappings)) or 'none'}; see `text_fields`"
        )


def _check_kept(source: IndexInfo, request: JobRequest) -> None:
    """Reject a source whose documents cannot be read whole."""
    stored = source.mappings.get("_source", {})
    if stored.get("enabled") is False:
        raise ConfigError(
            f"'{source.name}' does not keep the _source, so its documents cannot be read; "
            "load it again from its origin with _source enabled"
        )
    left_out = [*stored.get("excludes", []), *(["all but includes"] if stored.get("includes") else [])]
    if left_out and not request.accept_excluded_fields:
        raise ConfigError(
            f"'{source.name}' does not keep the whole _source ({', '.join(left_out)}), so these fields would "
            "be lost when its documents are written again; if they may be, add `accept_excluded_fields`"
        )


def check_alias(request: JobRequest, mode: Mode) -> None:
    """Reject a copy without an alias."""
    if request.alias is None and mode == "copy":
        raise ConfigError("name the alias that will point to the new index: `alias=articles-search`")
