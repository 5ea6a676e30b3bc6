"""Questions translated word by word, with FreeDict's dictionaries: a baseline that needs no model.

    apt-get download dict-freedict-eng-deu && dpkg-deb -x dict-freedict-eng-deu_*.deb freedict
    python -m benchmarks.glossed_queries --queries DATA/debian/queries.dev.jsonl \\
        --dictionary freedict/usr/share/dictd/freedict-eng-deu.dict.dz --out queries.de.tsv
    python -m benchmarks.translate_distill … --translated-queries de=queries.de.tsv

The longest phrase of up to three words that the dictionary has is replaced by its first translation; words
that it does not have stay as they are, as the names of programs should.
"""

from __future__ import annotations

import argparse
import gzip
import re
from collections.abc import Iterator
from pathlib import Path

from ce2de_os.records import read_queries

LONGEST = 3  # words of a phrase that is looked up


def entries(text: str) -> Iterator[tuple[str, str]]:
    """Headword and first translation of each entry of a dictionary in dictd's format."""
    head = ""
    for line in text.splitlines():
        found = re.match(r"(\S[^/]*?) /.*/", line)
        if found:
            head = found[1].casefold()
        elif head and line.strip() and not line.startswith((" ", "\t")):
            first = re.sub(r"^\d+\.|<[^>]*>|\[[^\]]*\]|\([^)]*\)", "", line).split(",")[0].split(";")[0]
            yield head, " ".join(first.split())
            head = ""


def gloss(text: str, dictionary: dict[str, str]) -> str:
    """``text`` with every phrase replaced that the dictionary has."""
    words, done = re.findall(r"[\w+.#-]+", text), []
    while words:
        for length in range(min(LONGEST, len(words)), 0, -1):
            phrase = " ".join(words[:length])
            if length == 1 or phrase.casefold() in dictionary:
                done.append(_translated(phrase, dictionary))
                words = words[length:]
                break
    return " ".join(done)


def _translated(phrase: str, dictionary: dict[str, str]) -> str:
    word = phrase.casefold()
    singular = word.removesuffix("s") if len(word) > 3 else word
    return dictionary.get(word) or dictionary.get(singular) or phrase


def main() -> None:
    """Read the dictionary, write the questions as ``id<TAB>text``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--queries", type=Path, required=True)
    parser.add_argument("--dictionary", type=Path, required=True, help="a .dict.dz file")
    parser.add_argument("--out", type=Path, required=True, help=".tsv file to write")
    args = parser.parse_args()
    dictionary: dict[str, str] = {}
    for head, translation in entries(gzip.decompress(args.dictionary.read_bytes()).decode("utf-8")):
        dictionary.setdefault(head, translation)
    rows = [f"{query.query_id}\t{gloss(query.text, dictionary)}\n" for query in read_queries(args.queries)]
    args.out.write_text("".join(rows), encoding="utf-8")
    print(f"{len(rows)} questions, {len(dictionary):,} words in the dictionary")


if __name__ == "__main__":
    main()
