#!/usr/bin/env python3
"""Make a corpus of pairs, whose titles are the queries of ``ce2de distill --query-field title``.

    python scripts/pairs_corpus.py runs/sources/pairs.*.jsonl.gz --most 40000 --out runs/pairs.corpus.jsonl.gz

A pair becomes a document: its query is the title, its positive the text. Candidates for a query are the texts
of other pairs, which ``ce2de distill`` finds. Pairs are drawn at random; a query comes once.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ce2de_os.distill.data.pairs import TrainingPair, read_pairs, select_pairs


def main() -> None:
    """Read, draw and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pairs", type=Path, nargs="+", help="files of pairs, see 'ce2de train teacher'")
    parser.add_argument("--most", type=int, default=40_000, help="pairs to take (default: 40000)")
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--out", type=Path, required=True, help="corpus.jsonl.gz to write")
    args = parser.parse_args()
    found = [pair for path in args.pairs for pair in read_pairs(path)]
    first: dict[str, TrainingPair] = {}
    for pair in found:
        first.setdefault(pair.query.casefold(), pair)
    chosen, _ = select_pairs(first.values(), args.most, args.seed)
    with gzip.open(args.out, "wt", encoding="utf-8") as file:
        for number, pair in enumerate(chosen):
            document = {"_id": str(number), "title": pair.query, "text": pair.positive}
            file.write(json.dumps(document, ensure_ascii=False) + "\n")
    print(f"{len(chosen):,} of {len(found):,} pairs: {args.out}")  # noqa: T201


if __name__ == "__main__":
    main()
