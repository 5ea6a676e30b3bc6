#!/usr/bin/env python3
"""Debian's package descriptions and their translations by people, as corpora that share their ids.

Reads apt's lists: one document for each distinct long description, `title` its one-line description. Run
`apt-get update -o Acquire::Languages=en,it,de` first.

    python scripts/collect_translations.py --out runs/translations --languages it de
    ce2de distill --corpus runs/translations/corpus.en.jsonl.gz \\
        --set languages.translations.it=runs/translations/corpus.it.jsonl.gz \\
        --set languages.translations.de=runs/translations/corpus.de.jsonl.gz \\
        --set languages.missing_translations=skip …

`--hold-out` names documents to leave out of all languages, one id a line or a `qrels.tsv`: those that are
kept for evaluation. The translations come from the Debian Description Translation Project; they are training
input and are not redistributed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

APT_GET, APT_HELPER = "/usr/bin/apt-get", "/usr/lib/apt/apt-helper"


class Description(NamedTuple):
    """A package's description in one language; ``key`` is the hash of the English one, which all share."""

    package: str
    key: str
    title: str
    text: str


def descriptions(text: str, language: str) -> Iterator[Description]:
    """Yield the entries of a Translation list, as apt keeps it."""
    for stanza in text.split("\n\n"):
        package = re.search(r"^Package: (\S+)", stanza, re.MULTILINE)
        key = re.search(r"^Description-md5: (\S+)", stanza, re.MULTILINE)
        _, found, body = stanza.partition(f"\nDescription-{language}: ")
        if package and key and found:
            title, _, rest = body.partition("\n")
            long = "\n".join(line for line in rest.splitlines() if line.startswith(" "))
            yield Description(
                package[1], key[1], title.strip(), " ".join(long.replace("\n .\n", "\n").split())
            )


def lists(language: str) -> Iterator[str]:
    """Yield the texts of apt's Translation lists of a language."""
    found = subprocess.run(
        [APT_GET, "-o", f"Acquire::Languages={language}", "indextargets", "--format", "$(FILENAME)",
         "Identifier: Translations"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    for path in sorted(set(found.stdout.split())):
        if path.partition("Translation-")[2].startswith(language):
            data = subprocess.run([APT_HELPER, "cat-file", path], check=True, capture_output=True).stdout
            yield data.decode("utf-8", "replace")


def corpus(language: str) -> dict[str, Description]:
    """Collect the descriptions of a language by key; of several packages, the first by name counts."""
    found: dict[str, Description] = {}
    for text in lists(language):
        for one in descriptions(text, language):
            known = found.get(one.key)
            if one.text and (known is None or one.package < known.package):
                found[one.key] = one
    return found


def distinct(found: dict[str, Description]) -> dict[str, Description]:
    """Keep the first package by name for each long description: packages of one source share theirs."""
    first: dict[str, Description] = {}
    for one in sorted(found.values()):
        first.setdefault(one.text, one)
    return {one.key: one for one in first.values()}


def held_out(path: Path | None) -> set[str]:
    """Read the document ids of a list or of a ``qrels.tsv``."""
    if path is None:
        return set()
    rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return {row[1] if len(row) > 1 else row[0] for row in rows}


def main() -> None:
    """Write ``corpus.LANGUAGE.jsonl.gz`` for English and each language."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the corpora")
    parser.add_argument("--languages", nargs="+", default=["it", "de"], help="besides English")
    parser.add_argument("--hold-out", type=Path, help="ids of documents to leave out, or a qrels.tsv")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    english = distinct(corpus("en"))
    without = held_out(args.hold_out)
    names = {key: one.package for key, one in english.items() if one.package not in without}
    for language in ("en", *args.languages):
        found = english if language == "en" else corpus(language)
        kept = [(names[key], one) for key, one in found.items() if key in names]
        if not kept:
            raise SystemExit(
                f"apt has no descriptions in '{language}'; run: "
                f"apt-get update -o Acquire::Languages=en,{language}"
            )
        with gzip.open(args.out / f"corpus.{language}.jsonl.gz", "wt", encoding="utf-8") as file:
            for name, one in sorted(kept):
                row = {"_id": name, "title": one.title, "text": one.text}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        sys.stderr.write(f"{language}: {len(kept):,} documents\n")


if __name__ == "__main__":
    main()
