"""Files that never end, wait for a writer, or unpack to more than a machine has: one error, at once."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from ce2de_os import records
from ce2de_os.arrays import read_array
from ce2de_os.cli.connect import _key
from ce2de_os.distill.data.pairs import read_pairs
from ce2de_os.distill.data.queries import queries_from_file, query_texts
from ce2de_os.distill.data.score_file import exclusive, is_finished, read_scores, work_note
from ce2de_os.distill.data.texts import packed_passages, read_lines
from ce2de_os.distill.data.translations import read_parallel, read_translation
from ce2de_os.distill.training.teacher_progress import _read as read_progress
from ce2de_os.distill.training.teacher_progress import last_checkpoint
from ce2de_os.errors import Ce2deError, DataError
from ce2de_os.evaluation import load_qrels, read_run
from ce2de_os.evaluation.passages import read_mapping
from ce2de_os.export.folder import new_folder
from ce2de_os.records import read_documents, read_qrels, read_queries, text_lines
from ce2de_os.server.keys import Keys
from ce2de_os.student import HEAD_FOLDER, STUDENT_FILE, StudentModel
from ce2de_os.translate.documents import corpus_originals, survey
from ce2de_os.translate.imported import _rows

pytestmark = pytest.mark.timeout(60)

TEXTS = {
    "documents": read_documents,
    "queries": read_queries,
    "judgments": read_qrels,
    "judgments by query": load_qrels,
    "a run": read_run,
    "passages of documents": lambda path: read_mapping(path, {"p"}),
    "queries of a training": queries_from_file,
    "texts of queries": query_texts,
    "pairs": read_pairs,
    "scores": read_scores,
    "passages": lambda path: packed_passages(path, 1000),
    "texts": read_lines,
    "parallel texts": lambda path: read_parallel(path, "s"),
    "a translation": read_translation,
    "an import": _rows,
    "originals": lambda path: [survey(corpus_originals(path))],
}
SETTINGS = {
    "keys of the service": Keys,
    "a key for the connection": _key,
    "the progress of a teacher": read_progress,
    "a note of scores": lambda path: is_finished(path.with_suffix(""), "work"),
}


def pipe(path: Path) -> None:
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.mkdir()


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def loop(path: Path) -> None:
    path.symlink_to(path)


ODD = {"a pipe": pipe, "a folder": folder, "a device": device, "a loop of links": loop}


def read(reader, path: Path) -> None:
    for _ in reader(path) or ():
        pass


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", TEXTS | SETTINGS)
def test_what_is_no_plain_file_is_refused_by_every_reader(tmp_path, name, odd):
    path = tmp_path / ("out.work" if name in SETTINGS else "texts.jsonl")
    (tmp_path / "out").touch()
    ODD[odd](path)
    with pytest.raises(Ce2deError, match=r"not a plain|Too many levels|cannot be read|other queries"):
        read((TEXTS | SETTINGS)[name], path)


@pytest.fixture(scope="module")
def bomb(tmp_path_factory):
    """Lines that most readers skip, so that nothing else stops them."""
    path = tmp_path_factory.mktemp("bomb") / "texts.jsonl.gz"
    path.write_bytes(gzip.compress((b" " * 9_999 + b"\n") * 1800))
    return path


@pytest.mark.parametrize("name", TEXTS)
def test_a_gzip_bomb_is_refused_by_every_reader(bomb, name):
    with pytest.raises(DataError, match="unpacks to more than 250 times its size"):
        read(TEXTS[name], bomb)


def test_texts_that_repeat_themselves_are_no_bomb(tmp_path):
    path = tmp_path / "run.gz"
    lines = "".join(f"q{number % 50} Q0 d{number} {number % 100} 1.5 tag\n" for number in range(300_000))
    path.write_bytes(gzip.compress(lines.encode(), 9))
    assert sum(1 for _ in text_lines(path)) == 300_000


@pytest.mark.parametrize("name", TEXTS)
def test_a_line_without_an_end_is_refused_by_every_reader(tmp_path, name, monkeypatch):
    monkeypatch.setattr(records, "LINE_CHARS", 50_000)
    path = tmp_path / "texts.jsonl"
    path.write_bytes(b"x" * 50_001)
    with pytest.raises(DataError, match=r":1: got a line of more than 50,000 characters"):
        read(TEXTS[name], path)


def test_of_a_line_of_four_gigabytes_only_a_part_is_read(tmp_path):
    path = tmp_path / "texts.txt"
    with path.open("wb") as file:
        file.truncate(2**32)
    with pytest.raises(DataError, match=":1: got a line of more than 100,000,000 characters; split it"):
        read(read_lines, path)


@pytest.mark.parametrize("size", [records.LINE_CHARS // 1000, 1])
def test_a_long_line_within_the_limit_is_read_whole(tmp_path, size):
    path = tmp_path / "texts.txt"
    path.write_text("é" * size + "\nb\r\nc")
    assert list(text_lines(path)) == ["é" * size + "\n", "b\n", "c"]


def test_settings_larger_than_any_are_refused(tmp_path):
    path = tmp_path / "keys"
    path.touch(0o600)
    with path.open("wb") as file:
        file.truncate(2**40)
    for reader in (Keys, _key, read_progress):
        with pytest.raises(Ce2deError, match="larger than"):
            reader(path)


@pytest.mark.parametrize("odd", ODD)
def test_the_file_of_a_run_that_is_none(tmp_path, odd):
    path = tmp_path / "scores.partial"
    ODD[odd](path)
    with pytest.raises(DataError, match=r"not a plain file|cannot be written"), exclusive(path):
        raise AssertionError("not to be reached")


def test_a_note_that_is_missing_or_another(tmp_path):
    out = tmp_path / "scores"
    out.touch()
    with pytest.raises(DataError, match="comes from other queries"):
        is_finished(out, "work")
    work_note(out).write_text("work\n")
    assert is_finished(out, "work")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"dev": 7}', '{"dev": [[1]]}', '{"dev": [], "x": 1}'])
def test_a_damaged_checkpoint_of_a_teacher_is_named(tmp_path, text):
    (tmp_path / "progress.json").write_text(text)
    with pytest.raises(DataError, match=r"progress\.json: "):
        read_progress(tmp_path / "progress.json")


def test_a_folder_that_only_looks_like_a_checkpoint(tmp_path):
    for name in ("checkpoint-mine", "checkpoint-7"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "progress.json").touch()
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-7")


def npy(shape: str, content: bytes = b"") -> bytes:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    padded = header.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded.encode() + content


@pytest.mark.parametrize(
    "content",
    [
        npy("(1000000000000,)"),
        npy("(4,)", b"1234"),
        npy("(-1,)"),
        b"",
        b"PK\x03\x04",
        b"\x93NUMPY\x01\x00\xff\xff{",
        b"\x80\x04N.",
    ],
)
def test_an_array_that_is_none_counts_as_absent(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    assert read_array(tmp_path / "a.npy") is None


@pytest.mark.parametrize("odd", ODD)
def test_an_array_that_is_no_file_counts_as_absent(tmp_path, odd):
    ODD[odd](tmp_path / "a.npy")
    assert read_array(tmp_path / "a.npy") is None


@pytest.mark.parametrize("shape", [(0, 4), (3, 4), ()])
def test_an_array_is_read_as_it_was_written(tmp_path, shape):
    array = np.arange(np.prod(shape), dtype=np.float16).reshape(shape)
    np.save(tmp_path / "a.npy", array)
    found = read_array(tmp_path / "a.npy")
    assert found is not None
    assert type(found) is np.ndarray
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


def test_an_output_that_is_a_loop_of_links(tmp_path):
    loop(tmp_path / "out")
    with pytest.raises(DataError, match="out: "), new_folder(tmp_path / "out"):
        raise AssertionError("not to be reached")


@pytest.mark.parametrize("odd", ODD)
def test_weights_of_a_student_that_are_no_file(tmp_path, odd):
    (tmp_path / HEAD_FOLDER).mkdir()
    (tmp_path / STUDENT_FILE).write_text('{"dim": 8, "readout": "mean", "pooled": false}')
    (tmp_path / "config.json").write_text(
        '{"model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, '
        '"intermediate_size": 8, "vocab_size": 9}'
    )
    ODD[odd](tmp_path / "model.safetensors")
    with pytest.raises(DataError, match="not a student"):
        StudentModel.load(tmp_path)


def test_packs_for_another_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[2] / "scripts"), *sys.path])
    import gpu_packs

    path = tmp_path / "ids.xz"
    path.write_bytes(lzma.compress(b"abc"))
    assert gpu_packs.unpacked(path) == b"abc"
    monkeypatch.setattr(gpu_packs, "PACK_BYTES", 2)
    with pytest.raises(DataError, match=r"ids\.xz: cut off, or more than"):
        gpu_packs.unpacked(path)
    path.write_bytes(b"abc")
    with pytest.raises(DataError, match=r"ids\.xz: damaged"):
        gpu_packs.unpacked(path)


def test_a_file_that_is_cut_off_while_it_is_read(tmp_path):
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb") as file:
        file.write(os.urandom(100_000).hex().encode())
    (tmp_path / "a.gz").write_bytes(packed.getvalue()[:-50])
    with pytest.raises(DataError, match=r"a\.gz: .*; expected UTF-8 text, packed with gzip or not"):
        read(read_lines, tmp_path / "a.gz")
