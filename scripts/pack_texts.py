#!/usr/bin/env python3
"""Pack training texts into one file of passages and queries, mixed so that its beginning is a fair sample.

Passages are cut from the lines of ``--texts`` to lengths from 3 to 170 words; each line of ``--queries``
(titles, questions, headings) is a query as it is, and so is each title of a ``.jsonl`` file there. A source's
share grows with its size to the power 0.7, times its ``--weight``. Repeats are left out, and so is everything
that shares two sequences of 8 words with a document or a query of a ``--held-out`` collection.

    python scripts/pack_texts.py --texts texts/*.txt.gz --queries short/*.txt.gz pairs/*.jsonl.gz \\
        --weight britannica-early=0.3 --held-out data/cranfield --words 15000000 \\
        --out runs/all.passages.jsonl.gz
    ce2de distill --texts runs/all.passages.jsonl.gz --set texts.unique_tokens=4000000 --out runs/student

`ce2de distill` reads the first passages of such a file, as many as ``texts.unique_tokens`` says. What
``SOURCES.json`` in the texts' folders says of their licenses is written into that of the packed file too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ce2de_os.distill.data.sources import SOURCES_FILE, licenses, read_sources
from ce2de_os.distill.data.texts import PACKED, cut_passages, read_lines, source_name
from ce2de_os.errors import Ce2deError, ConfigError, DataError
from ce2de_os.reading import readable
from ce2de_os.records import json_lines, read_documents, read_queries
from ce2de_os.writing import replacing

SHINGLE = 8
SHARE_POWER = 0.7
_WORD = re.compile(r"[a-z0-9]+")


class Row(NamedTuple):
    """A text, where it is from, and whether it is a query."""

    text: str
    source: str
    query: bool


class Filter:
    """Lets each text through once, and none of held-out collections."""

    def __init__(self, collections: Sequence[Path]) -> None:
        self._seen: set[bytes] = set()
        self._held: set[int] = set()
        self._whole: set[str] = set()
        self.refused = 0
        for text in held_out_texts(collections):
            words = _WORD.findall(text.lower())
            self._held.update(shingles(words))
            self._whole.add(" ".join(words))

    def passes(self, text: str) -> bool:
        """Return whether the text is new and shares nothing with what is held out."""
        words = _WORD.findall(text.lower())
        key = hashlib.blake2b("".join(words).encode(), digest_size=12).digest()
        if not words or key in self._seen:
            return False
        self._seen.add(key)
        common = sum(one in self._held for one in shingles(words))
        if common >= 2 or " ".join(words) in self._whole:
            self.refused += 1
            return False
        return True


def shingles(words: Sequence[str]) -> Iterator[int]:
    """Yield the hash of every sequence of `SHINGLE` words."""
    for start in range(len(words) - SHINGLE + 1):
        yield hash(tuple(words[start : start + SHINGLE]))


def held_out_texts(collections: Sequence[Path]) -> Iterator[str]:
    """Documents, titles and queries of collections in the BEIR layout; `DataError` where there are none."""
    for folder in collections:
        corpora, queries = (sorted(folder.glob(f"{name}*.jsonl*")) for name in ("corpus", "queries"))
        if not corpora:
            raise DataError(f"{folder}: has no corpus.jsonl to hold out; name the folder of a collection")
        for path in corpora:
            for document in read_documents(path):
                yield document.text
                yield document.title
        for path in queries:
            yield from (query.text for query in read_queries(path))


def documents_of(path: Path, words: int, short: int, rng: random.Random) -> list[Row]:
    """Passages cut from one file's lines taken in random order, about ``words`` words of them.

    Those of at most ``short`` words are queries.
    """
    lines = list(read_lines(path))
    rng.shuffle(lines)
    taken, count = [], 0
    for line in lines:
        taken.append(line)
        count += line.count(" ") + 1
        if count >= words:
            break
    return [
        Row(text, source_name(path), query=text.count(" ") < short) for text in cut_passages(iter(taken), rng)
    ]


def queries_of(path: Path) -> list[Row]:
    """Each line of a ``.txt``, or each title of a ``.jsonl`` file; `DataError` where no row has one."""
    name = source_name(path)
    if ".jsonl" in path.suffixes:
        titles = [readable(str(row.get("title") or "")) for _, row in json_lines(path)]
        if not any(titles):
            raise DataError(f'{path}: no row has a title; expected {{"title": …}}, or a .txt, a query a line')
        return [Row(title, name, query=True) for title in titles]
    return [Row(line, name, query=True) for line in read_lines(path)]


def shares(sizes: dict[Path, int], weights: dict[str, float], total: int) -> dict[Path, int]:
    """Divide ``total`` in proportion to ``weight * size ** 0.7``, no share above its size."""
    wanted = {path: weights.get(source_name(path), 1.0) * size**SHARE_POWER for path, size in sizes.items()}
    found: dict[Path, int] = {}
    left = float(total)
    for path in sorted(sizes, key=lambda one: sizes[one] / wanted[one] if wanted[one] else 0.0):
        waiting = sum(wanted[other] for other in sizes if other not in found)
        found[path] = min(sizes[path], int(left * wanted[path] / waiting)) if waiting else 0
        left -= found[path]
    return found


def mixed(pools: Sequence[Sequence[Row]], rng: random.Random) -> list[Row]:
    """All rows, each pool spread evenly from the first to the last."""
    placed = []
    for pool in pools:
        order = list(pool)
        rng.shuffle(order)
        placed += [((n + rng.random()) / len(order), row) for n, row in enumerate(order)]
    placed.sort(key=lambda one: one[0])
    return [row for _, row in placed]


def pack(args: argparse.Namespace) -> list[Row]:
    """Choose and mix the rows of the file."""
    rng = random.Random(args.seed)  # noqa: S311 - sampling, not secrets
    sieve = Filter(args.held_out)
    sizes = {path: sum(line.count(" ") + 1 for line in read_lines(path)) for path in args.texts}
    weights = dict(args.weight)
    unknown = sorted(weights.keys() - {source_name(path) for path in (*args.texts, *args.queries)})
    if unknown:
        raise ConfigError(f"--weight: got {unknown[0]}, expected the name of a file without its endings")
    pools = []
    for path, words in shares(sizes, weights, args.words).items():
        pools.append([row for row in documents_of(path, words, args.short, rng) if sieve.passes(row.text)])
    asked = {path: [row for row in queries_of(path) if sieve.passes(row.text)] for path in args.queries}
    counts = {path: sum(row.text.count(" ") + 1 for row in rows) for path, rows in asked.items()}
    for path, words in shares(counts, weights, int(args.words * args.query_share)).items():
        rows = asked[path]
        rng.shuffle(rows)
        pools.append(rows[: round(len(rows) * words / max(1, counts[path]))])
    if not any(pools):
        raise DataError("no text is left; expected prose that is not in the held-out collections")
    print(f"{sieve.refused:,} texts left out that share words with held-out collections")  # noqa: T201
    return mixed([pool for pool in pools if pool], rng)


def write_sources(paths: Sequence[Path], out: Path) -> None:
    """Add what is known of the sources' licenses to the list in the folder of ``out``."""
    path = out.parent / SOURCES_FILE
    known = read_sources(path) if path.exists() else {}
    found = licenses(paths, {source_name(one) for one in paths})
    if found:
        with replacing(path) as file:
            file.write(json.dumps(known | found, indent=2, ensure_ascii=False) + "\n")


def main() -> None:
    """Write the file and say what is in it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=Path, nargs="+", required=True, help="files to cut passages from")
    parser.add_argument("--queries", type=Path, nargs="*", default=[], help="files of queries or titles")
    parser.add_argument("--query-share", type=_share, default=0.12, help="words of queries, of all --words")
    parser.add_argument("--short", type=int, default=12, help="passages of at most so many words are queries")
    parser.add_argument("--weight", type=_weight, action="append", default=[], metavar="SOURCE=NUMBER")
    parser.add_argument("--held-out", type=Path, nargs="*", default=[], help="collections not to learn from")
    parser.add_argument("--words", type=_count, default=15_000_000, help="words of passages to take")
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--out", type=Path, required=True, help=f"file to write, named …{PACKED}.gz")
    args = parser.parse_args()
    if not args.out.name.removesuffix(".gz").endswith(PACKED):
        parser.error(f"--out: got {args.out.name}, expected a name that ends in {PACKED}.gz")
    try:
        rows = pack(args)
        with replacing(args.out) as file:
            for row in rows:
                file.write(json.dumps(row._asdict(), ensure_ascii=False) + "\n")
        write_sources([*args.texts, *args.queries], args.out)
    except Ce2deError as error:
        sys.exit(f"pack_texts.py: {error}")
    asked = [row for row in rows if row.query]
    words = sum(row.text.count(" ") + 1 for row in rows)
    print(f"{args.out}: {len(rows):,} texts, {len(asked):,} of them queries, {words:,} words")  # noqa: T201


def _weight(text: str) -> tuple[str, float]:
    name, _, number = text.rpartition("=")
    try:
        weight = float(number)
    except ValueError:
        weight = math.nan
    if not name or not 0 <= weight < math.inf:
        raise argparse.ArgumentTypeError(f"got '{text}', expected SOURCE=NUMBER, such as britannica=0.3")
    return name, weight


def _share(text: str) -> float:
    with suppress(ValueError):
        if 0 <= float(text) <= 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"got '{text}', expected a number from 0 to 1")


def _count(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"got '{text}', expected a whole number above 0")


if __name__ == "__main__":
    main()
