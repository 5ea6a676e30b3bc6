#!/usr/bin/env python3
"""Collect English training texts: from Debian packages, or from the homes of other sources.

Without ``--sources``: manuals, dictionaries, descriptions. Downloads packages by name with `apt-get download`
(nothing is installed), unpacks them with `dpkg-deb -x`, and writes one file for each package:
`OUT/<package>.txt.gz`, one paragraph or heading a line. Also the docstrings of this Python installation and
the long descriptions of Debian's packages. Needs Debian or Ubuntu, 2 GB of disk and about 5 minutes; run
`apt-get update -o Acquire::Languages=en` first.

    python scripts/collect_texts.py --out runs/texts
    ce2de distill --texts runs/texts/*.txt.gz --out runs/student

The texts keep their packages' licenses (`/usr/share/doc/<package>/copyright` in each); they are training
input and are not redistributed.

With ``--sources``: scientific abstracts, textbooks, an encyclopedia, medical questions, law. Each source is
fetched from its own site or public repository (with git, without pictures) into `OUT/homes`, and gives
`OUT/NAME.txt.gz`, passages one a line; `OUT/pairs.NAME.jsonl.gz`, titles or questions with their texts; and
`OUT/short.NAME.txt.gz`, titles and questions. `OUT/SOURCES.json` names their licenses and attributions, which
`ce2de distill` writes into the recipe. Run the same command again after an interruption: it goes on.

    python scripts/collect_texts.py --sources acl-anthology openstax medquad --out runs/texts

This way has been tested on samples in the homes' formats and on a local server, but NOT run against the
homes: an address may have changed. `scripts/texts/homes.py` names them, with the commits of the repositories.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from texts import debian
from texts.fetching import say
from texts.homes import SOURCES, Source, chosen
from texts.writing import Written, write_license, write_source

from ce2de_os.errors import Ce2deError, DataError
from ce2de_os.reading import check_plain

HOMES = "homes"


def collect_packages(out: Path, packages: Path, corpora: list[Path]) -> None:
    """Collect every package; one that this release does not have is skipped with a message."""
    packages.mkdir(parents=True, exist_ok=True)
    sources: dict[str, Callable[[], Iterable[str]]] = {
        name: lambda name=name, spec=spec: debian.package_texts(debian.unpack(name, packages), *spec)  # type: ignore[misc]
        for name, spec in debian.PACKAGES.items()
    }
    sources["python-docstrings"] = debian.docstring_texts
    sources["debian-descriptions"] = debian.description_texts
    for path in corpora:
        sources[path.name.partition(".")[0]] = lambda path=path: debian.corpus_texts(path)  # type: ignore[misc]
    for name, blocks in sources.items():
        try:
            count = debian.write_texts(out / f"{name}.txt.gz", blocks())
        except (subprocess.CalledProcessError, StopIteration, DataError) as error:
            say(f"{name}: skipped ({error})")
        else:
            say(f"{name}: {count} lines")


def collect_sources(sources: dict[str, Source], out: Path) -> bool:
    """Collect these sources; return whether all could be fetched and read."""
    written, failed = Written(), list[str]()
    for name, source in sources.items():
        try:
            say(f"{name}: from {source.home.url}")
            sections = source.read(source.home.fetch(out / HOMES / name))
            counts = write_source(name, sections, out, written, source.short)
        except (Ce2deError, OSError, EOFError, ValueError, LookupError) as error:
            say(f"{name}: failed: {error}")
            failed.append(name)
            continue
        write_license(name, source, out)
        say(f"{name}: {counts.texts:,} passages, {counts.pairs:,} pairs, {counts.short:,} titles")
    if failed:
        say(f"{len(failed)} of {len(sources)} failed: {', '.join(failed)}; run the same command to go on")
    return not failed


def main() -> None:
    """Collect packages or sources."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the texts")
    parser.add_argument(
        "--sources", nargs="+", metavar="NAME", help=f"all, openstax, arxiv or some of {', '.join(SOURCES)}"
    )
    parser.add_argument(
        "--packages", type=Path, help="folder for the unpacked packages (default: OUT/packages)"
    )
    parser.add_argument(
        "--corpus", type=Path, action="append", default=[], help="also take this corpus.jsonl[.gz]"
    )
    args = parser.parse_args()
    try:
        sources = chosen(args.sources or [])
        for path in args.corpus:  # fail before packages are downloaded
            check_plain(path)
        args.out.mkdir(parents=True, exist_ok=True)
    except (Ce2deError, OSError) as error:
        parser.error(str(error))
    if not args.sources:
        collect_packages(args.out, args.packages or args.out / "packages", args.corpus)
        return
    if not collect_sources(sources, args.out):
        sys.exit(1)


if __name__ == "__main__":
    main()
