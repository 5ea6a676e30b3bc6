"""``scripts/pairs_corpus.py``: pairs become documents whose titles are queries."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

from ce2de_os.distill.data.pairs import TrainingPair, write_pairs

ROOT = Path(__file__).parents[3]


def test_each_pair_becomes_a_document_once(tmp_path):
    first, second = tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl.gz"
    write_pairs(
        first, [TrainingPair("What is a flea?", "A small insect."), TrainingPair("équerre", "a tool")]
    )
    write_pairs(second, [TrainingPair("What is a flea?", "A small insect."), TrainingPair("same", "Same")])
    out = tmp_path / "corpus.jsonl.gz"
    command = [sys.executable, ROOT / "scripts" / "pairs_corpus.py", first, second, "--out", out]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=True)
    assert done.stdout == f"2 of 4 pairs: {out}\n"
    with gzip.open(out, "rt", encoding="utf-8") as file:
        found = [json.loads(line) for line in file]
    assert found == [
        {"_id": "0", "title": "What is a flea?", "text": "A small insect."},
        {"_id": "1", "title": "équerre", "text": "a tool"},
    ]


def test_it_takes_at_most_so_many(tmp_path):
    pairs = tmp_path / "a.jsonl"
    write_pairs(pairs, [TrainingPair(f"q{number}", f"text {number}") for number in range(50)])
    out = tmp_path / "corpus.jsonl.gz"
    script = str(ROOT / "scripts" / "pairs_corpus.py")
    subprocess.run([sys.executable, script, str(pairs), "--most", "7", "--out", str(out)], check=True)
    assert len(gzip.decompress(out.read_bytes()).splitlines()) == 7
