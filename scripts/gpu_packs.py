"""Pack the data of a training into a few small folders, for a machine with a GPU and nothing else.

A **teacher** pack holds an encoder in 16 bits without pooler, a **texts** pack token ids without special
tokens, a **collection** pack a judged collection as token ids. A **student** comes back in parts of a few
megabytes, in 16 bits.
"""

from __future__ import annotations

import json
import lzma
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel

from ce2de_os.distill.data.prefixes import Prefixes
from ce2de_os.distill.data.texts import TrainingPassage
from ce2de_os.distill.models.bodies import as_bert
from ce2de_os.distill.models.hub import load_tokenizer
from ce2de_os.distill.models.onnx_teacher import POOLING_FILE
from ce2de_os.distill.models.teacher import Teacher
from ce2de_os.errors import DataError
from ce2de_os.reading import RUN_BYTES, read_bytes, read_object
from ce2de_os.student import StudentModel

TEACHER_FILE, TEXTS_FILE, STUDENT_FILE = "teacher.json", "texts.json", "student.json"
PACK_BYTES = 4_000_000_000
"""Most bytes of an unpacked file: two thousand million tokens."""

BITS_PER_TOKEN = 9.5  # of English in WordPieces after compression
# Ids are two bytes each, which the compressor must know.
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9, "lc": 0, "lp": 1, "pb": 1}]
_BODY = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
    "max_position_embeddings", "type_vocab_size", "layer_norm_eps", "pad_token_id",
)  # fmt: skip

Ids = list[NDArray[np.uint16]]


@dataclass(frozen=True)
class Texts:
    """Token ids of texts without special tokens, which of them are queries, and texts by source."""

    ids: Ids
    is_query: NDArray[np.bool_]
    counts: dict[str, int]
    sample: list[str]

    @property
    def tokens(self) -> int:
        """Tokens, special ones left out."""
        return sum(map(len, self.ids))


def write_teacher(teacher: Teacher, prefixes: Prefixes, folder: Path) -> None:
    """Write a teacher pack; `load_teacher` reads the folder like any other."""
    folder.mkdir(parents=True, exist_ok=True)
    body = as_bert(teacher.model.cpu(), teacher.name)
    tokenizer = load_tokenizer(teacher.name, body.config.vocab_size)
    tokenizer.save_pretrained(folder)
    body.half().save_pretrained(folder)
    body.float()
    (folder / POOLING_FILE).parent.mkdir(exist_ok=True)
    says = {"pooling_mode_cls_token": teacher.pooling == "cls"}
    says["pooling_mode_mean_tokens"] = not says["pooling_mode_cls_token"]
    _write_json(folder / POOLING_FILE, says)
    start, end = _special_tokens(teacher)
    facts = {
        "name": teacher.name, "space": teacher.space_of(prefixes), "start": start, "end": end,
        "query_prefix": prefixes.query, "query_ids": _bare_ids(teacher, prefixes.query),
    }  # fmt: skip
    _write_json(folder / TEACHER_FILE, facts)


def write_texts(
    passages: Sequence[TrainingPassage],
    teacher: Teacher,
    max_length: int,
    sample: Sequence[str],
    folder: Path,
) -> int:
    """Write a texts pack and return its size in bytes; ``sample`` are raw texts that are not in it."""
    if teacher.tokenizer.get_vocab_size() > 2**16:
        raise DataError(f"{folder}: the vocabulary has more than 65,536 pieces; they do not fit two bytes")
    folder.mkdir(parents=True, exist_ok=True)
    sources = sorted({passage.source for passage in passages})
    rows: Ids = []
    for start in range(0, len(passages), 8192):
        part = [passage.text for passage in passages[start : start + 8192]]
        found = teacher.tokenizer.encode_batch_fast(part, add_special_tokens=False)
        rows += [np.array(one.ids[: max_length - 2], dtype=np.uint16) for one in found]
    lengths = np.array([len(row) for row in rows], dtype=np.uint16)
    kinds = np.array(
        [2 * sources.index(passage.source) + bool(passage.is_query) for passage in passages], dtype=np.uint16
    )
    for name, values in (("ids", np.concatenate(rows)), ("lengths", lengths), ("kinds", kinds)):
        packed = lzma.compress(values.astype("<u2").tobytes(), filters=_FILTERS)
        (folder / f"{name}.xz").write_bytes(packed)
    _write_json(folder / TEXTS_FILE, {"sources": sources, "sample": list(sample)})
    return sum(path.stat().st_size for path in folder.iterdir())


def read_texts(folders: Sequence[Path]) -> Texts:
    """Read the texts of several packs, one after the other.

    Raises:
        DataError: a pack is damaged.
    """
    ids: Ids = []
    queries, counts, sample = [], dict[str, int](), list[str]()
    for folder in folders:
        facts = read_json(folder / TEXTS_FILE)
        flat, lengths, kinds = (
            np.frombuffer(unpacked(folder / f"{name}.xz"), dtype="<u2")
            for name in ("ids", "lengths", "kinds")
        )
        ends = np.cumsum(lengths, dtype=np.int64)
        ids += [flat[end - length : end] for end, length in zip(ends, lengths.tolist(), strict=True)]
        queries.append(kinds % 2 == 1)
        for number, source in enumerate(facts["sources"]):
            counts[source] = counts.get(source, 0) + int((kinds // 2 == number).sum())
        sample += facts["sample"]
    return Texts(ids, np.concatenate(queries), counts, sample)


def unpacked(path: Path) -> bytes:
    """Unpack a file of a pack.

    Raises:
        DataError: it is damaged, or unpacks to more than a pack has.
    """
    unpacker = lzma.LZMADecompressor()
    try:
        content = unpacker.decompress(read_bytes(path, RUN_BYTES), PACK_BYTES)
    except lzma.LZMAError as error:
        raise DataError(f"{path}: damaged ({error}); pack the texts again") from error
    if not unpacker.eof:
        raise DataError(f"{path}: cut off, or more than {PACK_BYTES / 1e9:.0f} GB; pack the texts again")
    return content


def whole_ids(
    ids: Ids, is_query: NDArray[np.bool_], facts: dict[str, Any], max_length: int, *, asked: bool
) -> Ids:
    """Add special tokens to the ids, and if ``asked`` the teacher's prefix to those of queries.

    The result is cut to ``max_length``.
    """
    start, end = (np.array(facts[name], dtype=np.uint16) for name in ("start", "end"))
    before = np.concatenate([start, np.array(facts["query_ids"], dtype=np.uint16)]) if asked else start
    return [
        np.concatenate([first, row[: max_length - len(first) - len(end)], end])
        for row, first in zip(ids, (before if one else start for one in is_query.tolist()), strict=True)
    ]


def write_student(student: StudentModel, facts: dict[str, Any], folder: Path, most_bytes: int) -> None:
    """Write a student in 16 bits in files of about ``most_bytes`` at most, ``student.json`` last."""
    folder.mkdir(parents=True, exist_ok=True)
    pieces = list(_pieces(student.state_dict(), most_bytes))
    for number, piece in enumerate(pieces, start=1):
        save_file(piece, folder / f"student-{number}.safetensors")
    config = {name: getattr(student.body.config, name) for name in _BODY}
    built = {"dim": student.dim, "readout": student.readout, "pooled": student.pooled}
    _write_json(folder / STUDENT_FILE, {"body": config, **built, "parts": len(pieces), "facts": facts})


def read_student(folder: Path) -> tuple[StudentModel, dict[str, Any]]:
    """Load the student that `write_student` wrote, and the facts with it.

    Raises:
        DataError: the folder does not hold all of it.
    """
    says = read_json(folder / STUDENT_FILE)
    config = BertConfig(**says["body"], hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    config._attn_implementation = "eager"
    body = BertModel(config, add_pooling_layer=False)
    student = StudentModel(body, says["dim"], says["readout"], pooled=says["pooled"])
    found: dict[str, list[torch.Tensor]] = {}
    for number in range(1, says["parts"] + 1):
        path = folder / f"student-{number}.safetensors"
        if not path.is_file():
            raise DataError(f"{path}: is missing; bring all {says['parts']} parts")
        for name, tensor in sorted(load_file(path).items()):
            found.setdefault(name.partition("@")[0], []).append(tensor.float())
    student.load_state_dict({name: torch.cat(parts) for name, parts in found.items()})
    return student.eval(), says["facts"]


def _pieces(weights: dict[str, torch.Tensor], most_bytes: int) -> Iterator[dict[str, torch.Tensor]]:
    """Group tensors; a large one is cut into blocks of rows, named ``name@00``, ``name@01``, ..."""
    group: dict[str, torch.Tensor] = {}
    size = 0
    for name, tensor in weights.items():
        halves = tensor.detach().cpu().half().contiguous()
        rows = max(1, most_bytes // max(1, 2 * math.prod(halves.shape[1:])))
        for number, block in enumerate(torch.split(halves, rows)):
            if group and size + 2 * block.numel() > most_bytes:
                yield group
                group, size = {}, 0
            group[f"{name}@{number:02d}"] = block.clone()
            size += 2 * block.numel()
    yield group


def _special_tokens(teacher: Teacher) -> tuple[list[int], list[int]]:
    """Return the special tokens before and after a text."""
    ids, bare = teacher.tokenizer.encode("a").ids, _bare_ids(teacher, "a")
    first = ids.index(bare[0])
    return ids[:first], ids[first + len(bare) :]


def _bare_ids(teacher: Teacher, text: str) -> list[int]:
    ids: list[int] = teacher.tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def read_json(path: Path) -> dict[str, Any]:
    """Read the object in a JSON file.

    Raises:
        DataError: there is none.
    """
    try:
        return read_object(path, RUN_BYTES)
    except DataError as error:
        raise DataError(f"{error}; write the pack again") from error


def _write_json(path: Path, value: Any) -> None:  # noqa: ANN401 - whatever JSON holds
    beside = path.with_name(f"{path.name}.partial")
    beside.write_text(json.dumps(value, ensure_ascii=False) + "\n", encoding="utf-8")
    beside.replace(path)
