"""Loading a teacher and keeping its embeddings."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from ce2de_os.distill.models import teacher as module
from ce2de_os.distill.models.layers import load_de_layers
from ce2de_os.distill.models.teacher import embed_ids, load_teacher, teacher_shards
from ce2de_os.distill.precision import autocast, resolve
from ce2de_os.errors import ConfigError
from ce2de_os.student import pad

IDS = [[2, 10 + n % 40, 3] for n in range(50)]


def test_embeddings_have_length_one_and_keep_the_order(teacher):
    ids = [[2, 9, 3], [2, 9, 8, 7, 6, 3], [2, 7, 3]]
    embeddings = embed_ids(teacher.embed, ids, "fp32", batch_tokens=6)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, atol=1e-6)
    alone = embed_ids(teacher.embed, [ids[2]], "fp32")
    np.testing.assert_allclose(embeddings[2], alone[0], atol=1e-6)


POOLING_FILES = ({"pooling_mode_cls_token": True}, {"embedding_dimension": 32, "pooling_mode": "cls"})


@pytest.mark.parametrize("says", POOLING_FILES)
def test_cls_pooling_is_read_from_the_pooling_file(teacher_folder, tmp_path, says):
    teacher = load_teacher(str(with_pooling(teacher_folder, tmp_path / "cls", says)))
    ids, mask = pad([[2, 9, 8, 3]])
    with torch.no_grad():
        first = teacher.model(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]
        expected = torch.nn.functional.normalize(first, dim=1)
        torch.testing.assert_close(teacher.embed(ids, mask), expected)


def test_the_pooling_of_a_hub_id_is_read_too(teacher_folder, tmp_path):
    """From the hub's cache, laid out as huggingface_hub lays it out, by a process that is offline."""
    repository = tmp_path / "hub" / "models--someone--small"
    with_pooling(teacher_folder, repository / "snapshots" / ("a" * 40), POOLING_FILES[0])
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    code = "from ce2de_os.distill.models import teacher; print(teacher.load_teacher('someone/small').pooling)"
    offline = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=offline, capture_output=True, text=True)
    assert done.stdout.strip() == "cls", done.stderr


def with_pooling(teacher_folder, folder, says):
    """A copy of the teacher with a pooling file of sentence-transformers."""
    shutil.copytree(teacher_folder, folder)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(says))
    return folder


def test_shards_are_kept_and_read_again(teacher, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SHARD_TOKENS", sum(map(len, IDS[:20])))
    shards = list(teacher_shards(teacher, IDS, tmp_path, "fp32"))
    # Each text has three tokens.
    assert [shard.shape for shard in shards] == [(20, 32), (20, 32), (10, 32)]
    whole = embed_ids(teacher.embed, IDS, "fp32")
    np.testing.assert_allclose(np.concatenate(shards), whole, atol=1e-3)
    assert shards[0].dtype == np.float16
    # A kept shard is read, not computed: what is put in its place comes back.
    for path in tmp_path.glob("*.npy"):
        np.save(path, np.zeros((1, 32), np.float16))
    assert all((shard == 0).all() for shard in teacher_shards(teacher, IDS, tmp_path, "fp32"))


@pytest.mark.parametrize("damage", [b"", b"no array"])
def test_a_damaged_shard_is_computed_anew(teacher, tmp_path, damage):
    (whole,) = teacher_shards(teacher, IDS, tmp_path, "fp32")
    (path,) = tmp_path.glob("*.npy")
    path.write_bytes(damage)
    (again,) = teacher_shards(teacher, IDS, tmp_path, "fp32")
    np.testing.assert_array_equal(again, whole)
    np.testing.assert_array_equal(np.load(path), whole)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
@pytest.mark.parametrize("content", [b"version https://git-lfs.github.com/spec/v1", b"", b"[]", b"\0" * 64])
def test_a_damaged_file_of_a_teacher_is_one_line(teacher_folder, tmp_path, name, content):
    folder = shutil.copytree(teacher_folder, tmp_path / "damaged")
    (folder / "vocab.txt").unlink()  # else the tokenizer would be made of it
    (folder / name).write_bytes(content)
    for load in (load_teacher, load_de_layers):
        with pytest.raises(ConfigError, match="cannot be loaded") as caught:
            load(str(folder))
        assert "\n" not in str(caught.value)


def test_a_teacher_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_teacher(str(tmp_path / "nothing"))


def test_precision_is_resolved_to_what_the_cpu_can_do():
    assert resolve("fp32") == "fp32"
    assert resolve("bf16") == "bf16"
    assert resolve("auto") in ("bf16", "fp32")


def test_autocast_changes_the_format_of_products():
    left = torch.ones(4, 4)
    with autocast("bf16"):
        assert (left @ left).dtype == torch.bfloat16
    with autocast("fp32"):
        assert (left @ left).dtype == torch.float32
