"""The JSON-lines score format: rankings with their scores, one query a line.

::

    ["q1", ["d7", 4.25], ["d3", -1.5]]

It is the format of the score files published with Translate-Distill (Yang et al., ECIR 2024, arXiv
2401.04810). Candidates and teachers' scores are both kept in it; a name that ends in ``.gz`` means gzip.

While such a file grows it is plain text under the name ``FILE.partial``, with a first line that names
the work. A run that was killed at any byte resumes after the last complete part.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from ce2de_os.errors import DataError
from ce2de_os.reading import check_plain, read_text
from ce2de_os.records import ScoredDoc, text_lines
from ce2de_os.writing import replacing

Ranking = tuple[str, list[ScoredDoc]]
"""A query id and its documents with their scores, in any order."""

DECIMALS = 6
_LARGEST = 1e30  # of a score; beyond it float32 arithmetic overflows
_EXPECTED = 'expected a line such as ["q1", ["d7", 4.25], ["d3", -1.5]]'
_NAMED = 3  # most ids in a message


def read_scores(path: Path) -> Iterator[Ranking]:
    """Stream a score file; ids written as numbers become strings.

    Raises:
        DataError: the file cannot be read, is cut off or empty, a line is something else, a score is not
            finite, or a query or a document of a query comes twice; the message names file and line.
    """
    seen: set[str] = set()
    for number, line in enumerate(text_lines(path), start=1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        query_id, ranking = _parse(line, place)
        if query_id in seen:
            raise DataError(f"{place}: query '{query_id}' comes a second time; expected one line per query")
        seen.add(query_id)
        yield query_id, ranking
    if not seen:
        raise DataError(f"{path}: holds no scores; {_EXPECTED}")


def write_scores(path: Path, rankings: Iterable[Ranking]) -> None:
    """Write a whole score file to a temporary file, then rename it; scores are rounded to six decimals."""
    with replacing(path) as file:
        for ranking in rankings:
            file.write(_line(ranking))


def only_known(
    rankings: Iterable[Ranking],
    where: object,
    query_ids: Container[str],
    doc_ids: Container[str],
    drop_unknown: bool = False,
) -> list[Ranking]:
    """Return the rankings of ``where`` (a file, for messages), if queries and documents are known.

    With ``drop_unknown``, unknown ones are left out, and so are queries with no documents left.

    Raises:
        DataError: a query or document is unknown; or nothing is left.
    """
    kept: list[Ranking] = []
    queries: dict[str, None] = {}
    documents: dict[str, None] = {}
    for query_id, ranking in rankings:
        if query_id not in query_ids:
            queries[query_id] = None
            continue
        documents |= dict.fromkeys(doc.doc_id for doc in ranking if doc.doc_id not in doc_ids)
        known = [doc for doc in ranking if doc.doc_id in doc_ids]
        if known:
            kept.append((query_id, known))
    if (queries or documents) and not drop_unknown:
        unknown = [_told(ids, kind) for ids, kind in ((queries, "queries"), (documents, "documents")) if ids]
        raise DataError(
            f"{where}: names {' and '.join(unknown)} that are not in this collection; give all queries "
            "and documents it was made from, or drop unknown ones"
        )
    if not kept:
        raise DataError(f"{where}: none of its queries and documents is in this collection")
    return kept


def write_in_parts(
    out: Path,
    work: str,
    query_ids: Sequence[str],
    parts: Sequence[range],
    compute: Callable[[range], list[Ranking]],
    done: Callable[[int], None],
) -> None:
    """Write a score file part by part; the same call resumes after an interruption.

    An interrupted part is computed again, so the file is the same as from an uninterrupted run. Rankings
    without documents are left out of the finished file; if no other is left, there is no file.
    ``FILE.work`` stays next to it and shows a later call that it is finished.

    Args:
        out: the file to write.
        work: names everything the scores depend on.
        query_ids: the queries, in the order of the file.
        parts: consecutive ranges of positions in ``query_ids``, together all of them.
        compute: returns the rankings of a part, in its order.
        done: receives the number of finished queries.

    Raises:
        DataError: ``out`` or its partial file belongs to other work, or another run is writing it.
    """
    if is_finished(out, work):
        done(len(query_ids))
        return
    partial = out.with_name(f"{out.name}.partial")
    with exclusive(partial) as file:
        ends = _usable(file, partial, work, query_ids)
        remaining = [part for part in parts if part.stop >= len(ends)]
        whole = remaining[0].start if remaining else len(query_ids)
        file.truncate(ends[whole])
        file.seek(ends[whole])
        done(whole)
        for part in remaining:
            rankings = compute(part)
            _append(file, partial, rankings)
            done(part.stop)
        _finish(partial, out, work)
    partial.unlink(missing_ok=True)


def is_finished(out: Path, work: str) -> bool:
    """Return whether ``out`` is there as the result of ``work``.

    Raises:
        DataError: it is there and comes from something else.
    """
    if not out.exists():
        return False
    note = work_note(out)
    if not note.exists() or read_text(note).strip() != work:
        raise DataError(
            f"{out}: exists and comes from other queries, documents or settings; "
            "remove it or choose another file"
        )
    return True


def _finish(partial: Path, out: Path, work: str) -> None:
    lines = (line for line in islice(text_lines(partial), 1, None) if len(json.loads(line)) > 1)
    first = next(lines, None)
    if first is None:
        return
    with replacing(work_note(out)) as note:
        note.write(f"{work}\n")
    with replacing(out) as file:
        file.write(first)
        file.writelines(lines)


def work_note(out: Path) -> Path:
    """Return the path of the note that says which work ``out`` is the result of."""
    return out.with_name(f"{out.name}.work")


@contextmanager
def exclusive(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading and writing, made if it is not there, by one process at a time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        check_plain(path)
        file = path.open("r+b")
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(f"{path}: another run is writing this file; wait for it, or stop it") from error
        yield file


def _append(file: BinaryIO, path: Path, rankings: Iterable[Ranking]) -> None:
    try:
        file.write("".join(map(_line, rankings)).encode("ascii"))
        file.flush()
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from error


def _usable(file: BinaryIO, path: Path, work: str, query_ids: Sequence[str]) -> list[int]:
    """Return where the first line, which is written if missing, and each good line end.

    What follows the last good line was torn when a run was killed.
    """
    first = json.dumps({"work": work}).encode("ascii") + b"\n"
    found = file.readline()
    if not found.endswith(b"\n"):
        file.truncate(0)
        file.seek(0)
        file.write(first)
    elif found != first:
        raise DataError(
            f"{path}: was begun with other queries, documents or settings; continue with those, or remove it "
            "to begin again"
        )
    ends = [len(first)]
    for line, query_id in zip(file, query_ids, strict=False):
        if not line.endswith(b"\n") or not _is_of(line, query_id):
            break
        ends.append(ends[-1] + len(line))
    return ends


def _is_of(line: bytes, query_id: str) -> bool:
    try:
        return _parse(line.decode("ascii"), "")[0] == query_id
    except (DataError, UnicodeDecodeError):
        return False


def _line(ranking: Ranking) -> str:
    query_id, documents = ranking
    return json.dumps([query_id, *([doc_id, round(score, DECIMALS)] for doc_id, score in documents)]) + "\n"


def _parse(line: str, place: str) -> Ranking:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{place}: not JSON ({error}); {_EXPECTED}; if the file was cut off, download or make it again"
        ) from error
    if not isinstance(row, list) or not row:
        raise DataError(f"{place}: got {line.strip():.60}; {_EXPECTED}")
    ranking = [_scored(entry, place) for entry in row[1:]]
    if len({document.doc_id for document in ranking}) != len(ranking):
        raise DataError(f"{place}: a document of query '{row[0]}' comes twice; expected one score for each")
    return _id(row[0], place), ranking


def _scored(entry: object, place: str) -> ScoredDoc:
    if not isinstance(entry, list) or len(entry) != 2:
        raise DataError(f"{place}: got {entry!r:.60}; {_EXPECTED}")
    doc_id, score = entry
    number = isinstance(score, int | float) and not isinstance(score, bool)
    if not number or not -_LARGEST <= score <= _LARGEST:  # NaN fails the comparison
        raise DataError(f"{place}: document '{doc_id}' has the score {score!r:.40}, expected a finite number")
    return ScoredDoc(_id(doc_id, place), float(score))


def _id(value: object, place: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise DataError(f"{place}: got {value!r:.60} as an id; {_EXPECTED}")
    return str(value)


def _told(ids: Iterable[str], kind: str) -> str:
    names = list(ids)
    return f"{len(names):,} {kind} ({', '.join(names[:_NAMED])}{', …' if len(names) > _NAMED else ''})"
