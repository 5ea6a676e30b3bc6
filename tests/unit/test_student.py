"""StudentModel: pooling, read-outs, saving and loading."""

from __future__ import annotations

import pytest
import torch
from transformers import BertConfig, BertModel

from ce2de_os.errors import DataError
from ce2de_os.student import StudentModel, mean_pool, pad, pooled_layer


def tiny_student(readout: str = "all", *, pooled: int = 0) -> StudentModel:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=40, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=16, initializer_range=0.4,
    )  # fmt: skip
    return StudentModel(BertModel(config, add_pooling_layer=False), 8, readout, pooled=pooled).eval()


def test_mean_pool_ignores_padding():
    states = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [100.0, 100.0]]])
    assert mean_pool(states, torch.tensor([[1, 1, 0]])).tolist() == [[(1 + 3) / 2, (2 + 6) / 2]]


def test_mean_pool_of_no_tokens_is_zero():
    assert mean_pool(torch.ones(1, 2, 3), torch.zeros(1, 2)).tolist() == [[0.0, 0.0, 0.0]]


def test_pad_fills_on_the_right():
    ids, mask = pad([[5, 6, 7], [8]])
    assert ids.tolist() == [[5, 6, 7, 0, 0, 0, 0, 0], [8, 0, 0, 0, 0, 0, 0, 0]]
    assert mask.tolist() == [[1, 1, 1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]]


@pytest.mark.parametrize(("readout", "width"), [("all", 3 * 8), ("last", 8)])
def test_head_reads_the_chosen_depths(readout, width):
    student = tiny_student(readout)
    ids, mask = pad([[1, 2, 3], [4, 5]])
    assert student.features(ids, mask).shape == (2, width)
    lengths = student(ids, mask).norm(dim=1)
    assert torch.allclose(lengths, torch.ones(2), atol=1e-6)


def test_plain_depths_are_those_of_the_body():
    student = tiny_student()
    ids, mask = pad([[1, 2, 3], [4, 5]])
    states = student.body(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
    expected = torch.cat([mean_pool(state, mask) for state in states], dim=1)
    torch.testing.assert_close(student.features(ids, mask), expected)


def test_pooled_layer_is_the_layer_asked_by_the_mean():
    """Keys and values formed for every token, as in the plain layer, and one query a text."""
    student = tiny_student(pooled=1)
    layer = student.body.encoder.layer[1]
    own, states, mask = layer.attention.self, torch.randn(1, 5, 8), torch.tensor([[1, 1, 1, 1, 0]])
    query = states[:, :4].mean(dim=1)
    heads = []
    for head in range(2):
        part = slice(4 * head, 4 * head + 4)
        asked = own.query(query)[:, part]
        keys, values = own.key(states[0, :4])[:, part], own.value(states[0, :4])[:, part]
        heads.append(torch.softmax(asked @ keys.T / 4**0.5, dim=-1) @ values)
    attended = layer.attention.output(torch.cat(heads, dim=1), query)
    expected = layer.output(layer.intermediate(attended), attended)
    torch.testing.assert_close(pooled_layer(layer, states, query, mask), expected, atol=1e-5, rtol=1e-5)


def test_each_pooled_layer_asks_with_the_answer_of_the_one_before():
    student = tiny_student(pooled=2)
    ids, mask = pad([[1, 2, 3], [4, 5]])
    states = student.body.embeddings(input_ids=ids)
    first, second = student.body.encoder.layer
    mean = mean_pool(states, mask)
    once = pooled_layer(first, states, mean, mask)
    expected = torch.cat([mean, once, pooled_layer(second, states, once, mask)], dim=1)
    torch.testing.assert_close(student.features(ids, mask), expected)


@pytest.mark.parametrize("pooled", [0, 1, 2])
def test_embedding_does_not_depend_on_padding(pooled):
    student = tiny_student(pooled=pooled)
    alone = student(*pad([[4, 5]]))
    padded = student(*pad([[1, 2, 3, 9, 9], [4, 5]]))[1:]
    assert torch.allclose(alone, padded, atol=1e-6)


def test_save_and_load_give_the_same_embeddings(tmp_path):
    student = tiny_student("last", pooled=2)
    student.save(tmp_path / "run")
    loaded = StudentModel.load(tmp_path / "run")
    assert (loaded.readout, loaded.pooled) == ("last", 2)
    assert torch.equal(loaded(*pad([[1, 2, 3]])), student(*pad([[1, 2, 3]])))


def test_missing_folder_is_one_clear_error(tmp_path):
    with pytest.raises(DataError, match="not a student"):
        StudentModel.load(tmp_path / "nothing")


def test_truncated_weights_are_one_clear_error(tmp_path):
    tiny_student().save(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(DataError, match="not a student"):
        StudentModel.load(tmp_path)
