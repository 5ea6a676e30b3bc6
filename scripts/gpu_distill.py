#!/usr/bin/env python3
"""Distil a student on a machine that has a GPU and PyTorch, and is reached with small files only.

At home, pack the teacher, the texts and collections to measure on:

    python scripts/gpu_distill.py pack --teacher teachers/bge-small --texts runs/all.passages.jsonl.gz \\
        --megabytes 28 --collections data/cranfield data/cisi --out packs

`packs/teacher`, `packs/texts-1`, `packs/texts-2`, … and `packs/collections` are to be brought there with this
repository, all at once or one after the other: each call keeps what it is given in ``--keep`` and says what
is missing. When teacher and texts are there, it reads, trains, measures and writes:

    python scripts/gpu_distill.py train --packs packs/* --keep /tmp/distil --out out --seconds 540

``out`` gets ``student.json``, ``student-1.safetensors``, … (16 bits, at most 14 MB each), ``figures.json``
and ``log.txt``; the student is written every minute, so that a call that is cut off leaves one too. The same
call again goes on: neither the teacher's reading nor the training begins anew. Needed there: torch,
transformers, tokenizers, accelerate, safetensors, numpy, onnxruntime. At home again, make a folder for
``ce2de export``:

    python scripts/gpu_distill.py join --parts out --tokenizer packs/teacher --out runs/student
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[0]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from gpu_judged import Judged, write_collections
from gpu_packs import (
    BITS_PER_TOKEN,
    TEACHER_FILE,
    TEXTS_FILE,
    Texts,
    read_json,
    read_student,
    read_texts,
    whole_ids,
    write_student,
    write_teacher,
    write_texts,
)
from transformers import AutoTokenizer

from ce2de_os.arrays import read_array, write_array
from ce2de_os.distill.config import DistillConfig
from ce2de_os.distill.data.prefixes import Prefixes
from ce2de_os.distill.data.texts import TrainingPassage, packed_passages
from ce2de_os.distill.models.bodies import as_bert
from ce2de_os.distill.models.folder import write_student as write_folder
from ce2de_os.distill.models.hub import best_device
from ce2de_os.distill.models.init import cut_student, solve_head
from ce2de_os.distill.models.teacher import Teacher, embed_ids, load_teacher, with_said_prefixes
from ce2de_os.distill.precision import resolve
from ce2de_os.distill.training.batches import TrainingSet
from ce2de_os.distill.training.trainer import Progress, train
from ce2de_os.student import StudentModel

MAX_LENGTH = 256
PART_BYTES = 14_000_000  # of one file of the student
CHUNK = 200_000  # texts of the teacher's reading that are kept together
SAMPLE_STEP, SAMPLE = 500, 400  # raw texts kept aside, on which an export measures
WRITE_SECONDS, RESERVE_SECONDS = 60.0, 45.0
HEAD_TEXTS = 10_000


class Log:
    """Lines with the seconds since the beginning, on the screen and in a file."""

    def __init__(self, path: Path) -> None:
        self.began = time.monotonic()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path

    def __call__(self, text: str) -> None:
        """Write one line."""
        line = f"{self.seconds:7.1f} s  {text}"
        print(line, flush=True)  # noqa: T201
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self.began


# ---- pack ----


def pack(args: argparse.Namespace) -> None:
    """Write the packs."""
    teacher = load_teacher(args.teacher)
    said = with_said_prefixes(DistillConfig(teacher=args.teacher)).teacher_prefixes
    prefixes = said if args.query_prefix is None else Prefixes(args.query_prefix, said.document)
    if prefixes.document:
        sys.exit(f"{args.teacher}: expects '{prefixes.document}' before documents, which no pack can say yet")
    write_teacher(teacher, prefixes, args.out / "teacher")
    write_collections(args.collections, teacher, args.out / "collections", MAX_LENGTH)
    passages = packed_passages(args.texts, args.words)
    aside = passages[:: max(1, min(SAMPLE_STEP, len(passages) // 4))][:SAMPLE]
    kept = set(aside)
    for number, part in enumerate(parts([one for one in passages if one not in kept], args.megabytes), 1):
        sample = [passage.text for passage in aside] if number == 1 else []
        size = write_texts(part, teacher, MAX_LENGTH, sample, args.out / f"texts-{number}")
        print(f"{args.out}/texts-{number}: {len(part):,} texts, {size / 1e6:.1f} MB")  # noqa: T201


def parts(passages: Sequence[TrainingPassage], megabytes: float) -> Iterator[list[TrainingPassage]]:
    """Consecutive passages that will have about so many megabytes."""
    most = megabytes * 8e6 / BITS_PER_TOKEN / 1.7  # words: an English one has 1.7 pieces, marks included
    part: list[TrainingPassage] = []
    words = 0
    for passage in passages:
        part.append(passage)
        words += passage.text.count(" ") + 1
        if words >= most:
            yield part
            part, words = [], 0
    if part:
        yield part


# ---- train ----


def run(args: argparse.Namespace) -> None:
    """Keep what is given; with teacher and texts there, make the student."""
    log = Log(args.out / "log.txt")
    for source in args.packs:
        if is_pack(source):
            shutil.copytree(source, args.keep / source.name, dirs_exist_ok=True)
    packs = sorted(path.parent for path in args.keep.glob(f"texts-*/{TEXTS_FILE}"))
    missing = [
        name for name, there in (("teacher", teacher_is_there(args.keep)), ("texts", packs)) if not there
    ]
    if missing:
        log(f"kept in {args.keep}; still missing: {', '.join(missing)}")
        return
    torch.set_float32_matmul_precision("high")
    device = best_device()
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    log(f"{name}, torch {torch.__version__}; packs {', '.join(path.name for path in packs)}")
    teacher = load_teacher(str(args.keep / "teacher"))
    facts = read_json(args.keep / "teacher" / TEACHER_FILE)
    texts = read_texts(packs)
    log(f"{len(texts.ids):,} texts, {texts.tokens:,} tokens, {int(texts.is_query.sum()):,} queries")
    targets = read(teacher, texts, facts, args, log)
    judged = Judged(args.keep / "collections", facts, MAX_LENGTH)
    figures: dict[str, Any] = {"teacher": judged.measure(teacher.embed, device, asked=True), "curve": []}
    log(f"teacher {figures['teacher']}")
    student, progress = distil(teacher, texts, targets, facts, args, judged, figures, log)
    figures["student"] = judged.measure(student, device, asked=False)
    log(f"student {figures['student']}")
    write(student, progress, texts, facts, figures, args)
    log("done")


def is_pack(folder: Path) -> bool:
    """Return whether a folder is one that `pack` wrote."""
    there = [(folder / name).is_file() for name in (TEACHER_FILE, TEXTS_FILE)]
    return any(there) or (folder.name == "collections" and any(folder.glob("*.xz")))


def teacher_is_there(keep: Path) -> bool:
    """Return whether the teacher pack is whole."""
    return (keep / "teacher" / TEACHER_FILE).is_file()


def read(teacher: Teacher, texts: Texts, facts: dict[str, Any], args: argparse.Namespace, log: Log) -> Any:  # noqa: ANN401
    """Compute the teacher's embeddings of all texts, float16, chunk by chunk; kept chunks are reused."""
    rows = whole_ids(texts.ids, texts.is_query, facts, MAX_LENGTH, asked=True)
    found = []
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        path = args.keep / f"vectors-{start}-{len(part)}-{sum(map(len, part))}.npy"
        vectors = read_array(path)
        if vectors is None:
            began = time.monotonic()
            vectors = embed_ids(teacher.embed, part, "fp32", device=teacher.device).astype(np.float16)
            write_array(path, vectors)
            rate = sum(map(len, part)) / (time.monotonic() - began)
            log(f"teacher has read {start + len(part):,} texts, {rate:,.0f} tokens/s")
        found.append(vectors)
    return np.concatenate(found)


def distil(
    teacher: Teacher, texts: Texts, targets: Any, facts: dict[str, Any], args: argparse.Namespace,  # noqa: ANN401
    judged: Judged, figures: dict[str, Any], log: Log,
) -> tuple[StudentModel, Progress]:  # fmt: skip
    """Cut and train the student until the time of this call is over."""
    config = settings(args, facts)
    torch.manual_seed(config.seed)
    body = as_bert(teacher.model.cpu(), teacher.name)
    student = cut_student(body, config.layers, dim=teacher.dim, readout=config.readout, pooled=config.pooled)
    ids = whole_ids(texts.ids, texts.is_query, facts, MAX_LENGTH, asked=False)
    checkpoint = args.keep / "checkpoint.pt"
    precision = resolve("auto", best_device().type)
    if not checkpoint.exists():
        solve_head(student, ids[:HEAD_TEXTS], targets[:HEAD_TEXTS].astype(np.float32), "fp32")
        log("head solved")
    written = time.monotonic()

    def report(progress: Progress, done: float) -> None:
        nonlocal written
        if time.monotonic() - written > WRITE_SECONDS:
            rate = progress.tokens / max(progress.elapsed_s, 1e-9)
            log(f"{done:.0%} {progress.tokens:,} tokens, {rate:,.0f} tokens/s, loss {progress.loss:.4f}")
            write(student, progress, texts, facts, figures, args)
            written = time.monotonic()

    def measure(model: StudentModel) -> None:
        """Log the figures; they do not choose: the last weights are taken."""
        found = judged.measure(model, best_device(), asked=False)
        figures["curve"].append(found)
        log(f"student {found}")

    left = args.seconds - log.seconds - RESERVE_SECONDS
    earlier = earlier_seconds(checkpoint)
    config = settings(args, facts, minutes=max(1.0, left + earlier) / 60)
    log(f"training for {max(1.0, left):.0f} s in {precision}, {earlier:.0f} s before")
    data = TrainingSet(ids, targets, 0)
    progress = train(student, data, config, precision, checkpoint, report, measure)
    log(f"trained on {progress.tokens:,} tokens in {progress.steps:,} steps, loss {progress.loss:.4f}")
    return student, progress


def earlier_seconds(checkpoint: Path) -> float:
    """How long a training that was cut off has gone on."""
    if not checkpoint.is_file():
        return 0.0
    return float(torch.load(checkpoint, weights_only=True, map_location="cpu")["progress"]["elapsed_s"])


def settings(args: argparse.Namespace, facts: dict[str, Any], minutes: float = 1.0) -> DistillConfig:
    """Return the settings of the training."""
    return DistillConfig(
        teacher=facts["name"], teacher_query_prefix=facts["query_prefix"], layers=tuple(args.layers),
        pooled=args.pooled, readout=args.readout, losses=args.losses, minutes=minutes,
        max_length=MAX_LENGTH, batch_tokens=args.batch_tokens, batch_texts=args.batch_tokens // 16,
        lr=args.lr, decay=args.decay, seed=args.seed,
    )  # fmt: skip


def write(
    student: StudentModel, progress: Progress, texts: Texts, facts: dict[str, Any], figures: dict[str, Any],
    args: argparse.Namespace,
) -> None:  # fmt: skip
    """Write the student as it is now, and the figures."""
    recipe = {
        **settings(args, facts).plain(), "texts": texts.counts, "passages": len(texts.ids),
        "passage_tokens": texts.tokens + 2 * len(texts.ids), "tokens_seen": progress.tokens,
        "steps": progress.steps, "final_loss": round(progress.loss, 4), "queries": 0,
        "query_candidates": {}, "curve": [list(point) for point in progress.curve], "dev": [],
        "dev_metric": "none", "space": facts["space"], "preparation_minutes": 0.0,
        "training_minutes": round(progress.elapsed_s / 60, 1),
        "precision": resolve("auto", best_device().type),
        "machine": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
        "versions": {"torch": torch.__version__}, "command": "scripts/gpu_distill.py train",
        "text_files": [], "translations": [], "queries_left_out": 0,
    }  # fmt: skip
    write_student(student, {"recipe": recipe, "sample": texts.sample}, args.out, PART_BYTES)
    (args.out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


# ---- join ----


def join(args: argparse.Namespace) -> None:
    """Make the parts a finished student's folder, as `ce2de distill` leaves it."""
    student, facts = read_student(args.parts)
    tokenizer = AutoTokenizer.from_pretrained(str(args.tokenizer))
    write_folder(args.out, student, tokenizer, MAX_LENGTH, facts["sample"], facts["recipe"])
    print(f"{args.out}: export it with ce2de export {args.out} --out MODEL")  # noqa: T201


def layers(text: str) -> list[int | None]:
    """``0,11`` to numbers; ``new`` is a random layer."""
    return [None if part == "new" else int(part) for part in text.split(",")]


def losses(text: str) -> dict[str, float]:
    """``l2,cosine=0.5`` to weights."""
    pairs = (part.strip().partition("=") for part in text.split(","))
    return {name: float(weight or 1.0) for name, _, weight in pairs}


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(required=True)
    one = verbs.add_parser("pack", help="write teacher, texts and collections")
    one.add_argument("--teacher", required=True, help="a folder, with PyTorch weights or a model.onnx")
    one.add_argument(
        "--query-prefix", help="what the teacher reads before queries (default: what its files say)"
    )
    one.add_argument("--texts", type=Path, required=True, help="a packed file of scripts/pack_texts.py")
    one.add_argument("--words", type=int, default=10**10, help="words of it to take")
    one.add_argument("--megabytes", type=float, default=28.0, help="of one texts pack, about")
    one.add_argument("--collections", type=Path, nargs="*", default=[])
    one.add_argument("--out", type=Path, required=True)
    one.set_defaults(verb=pack)
    two = verbs.add_parser("train", help="read, train, measure; needs what pack wrote")
    two.add_argument("--packs", type=Path, nargs="*", default=[], help="folders that pack wrote")
    two.add_argument("--keep", type=Path, required=True, help="folder that lasts from call to call")
    two.add_argument("--out", type=Path, required=True, help="folder for student, figures and log")
    two.add_argument("--seconds", type=float, default=540.0, help="of this call, all included")
    two.add_argument("--layers", type=layers, default=[0, 11])
    two.add_argument("--pooled", type=int, default=0)
    two.add_argument("--readout", choices=["all", "last"], default="all")
    two.add_argument("--losses", type=losses, default={"l2": 1.0}, help="such as l2=1,cosine=0.5")
    two.add_argument("--batch-tokens", type=int, default=16384)
    two.add_argument("--lr", type=float, default=6e-4)
    two.add_argument("--decay", type=float, default=0.4)
    two.add_argument("--seed", type=int, default=13)
    two.set_defaults(verb=run)
    three = verbs.add_parser("join", help="make the parts a student's folder")
    three.add_argument("--parts", type=Path, required=True)
    three.add_argument("--tokenizer", type=Path, required=True, help="the teacher pack")
    three.add_argument("--out", type=Path, required=True)
    three.set_defaults(verb=join)
    args = parser.parse_args(arguments)
    args.verb(args)


if __name__ == "__main__":
    main()
