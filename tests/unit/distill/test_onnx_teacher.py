"""A teacher in an ONNX file: its weights where they can be taken out, its embeddings where not."""

from __future__ import annotations

import json
import shutil
from importlib import import_module

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.float16 import convert_float_to_float16
from optimum.exporters.onnx.model_configs import BertOnnxConfig, DistilBertOnnxConfig
from transformers import AutoModel, AutoModelForSequenceClassification

from ce2de_os.arrays import cosine
from ce2de_os.distill.config import DistillConfig
from ce2de_os.distill.models.bodies import as_bert
from ce2de_os.distill.models.full_depth import write_full_depth
from ce2de_os.distill.models.layers import load_de_layers
from ce2de_os.distill.models.onnx_teacher import LEAST_COSINE, OnnxBody, has_layers
from ce2de_os.distill.models.teacher import embed_ids, load_teacher, teacher_shards
from ce2de_os.distill.recipe import distill
from ce2de_os.errors import ConfigError, DataError
from ce2de_os.export.onnx_model import FLOAT_FILE, export_model
from tests.unit.distill.tiny import WORDS, save_tiny_model, write_texts

IDS = [[2, 9, 3], [2, *range(5, 40), 3], [2, 30, 31, 3]]


def export_tiny(model, folder, task="feature-extraction"):
    """Write a model's ONNX file as ``model.onnx``."""
    kind = {"bert": BertOnnxConfig, "distilbert": DistilBertOnnxConfig}[model.config.model_type]
    export_model(model, kind(model.config, task=task), folder)
    (folder / FLOAT_FILE).rename(folder / "model.onnx")


def write_pooling(folder, kind):
    (folder / "1_Pooling").mkdir()
    says = {"pooling_mode_cls_token": kind == "cls", "pooling_mode_mean_tokens": kind == "mean"}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(says))


@pytest.fixture(scope="module")
def pytorch_folder(tmp_path_factory):
    folder = save_tiny_model(tmp_path_factory.mktemp("pytorch"), "bert")
    write_pooling(folder, "cls")
    return folder


@pytest.fixture(scope="module")
def exported(pytorch_folder, tmp_path_factory):
    """What fastembed or LangChain4j have of it, with how it pools."""
    folder = tmp_path_factory.mktemp("onnx")
    export_tiny(AutoModel.from_pretrained(pytorch_folder), folder)
    shutil.copy(pytorch_folder / "tokenizer.json", folder)
    write_pooling(folder, "cls")
    return folder


@pytest.fixture
def onnx_folder(exported, tmp_path):
    return shutil.copytree(exported, tmp_path / "teacher")


def vectors(folder):
    return embed_ids(load_teacher(str(folder)).embed, IDS, "fp32")


def test_the_weights_of_a_bert_are_those_of_its_pytorch_form(pytorch_folder, onnx_folder):
    """The number of heads is found without a config.json; equal weights share a cache of embeddings."""
    own, other = load_teacher(str(onnx_folder)), load_teacher(str(pytorch_folder))
    assert own.digest == other.digest
    assert own.pooling == "cls"
    assert own.model.config.num_attention_heads == other.model.config.num_attention_heads
    assert own.tokenizer.encode(" ".join(WORDS)).ids == other.tokenizer.encode(" ".join(WORDS)).ids
    assert cosine(vectors(onnx_folder), vectors(pytorch_folder)).min() >= LEAST_COSINE


def test_embeddings_are_those_of_onnx_runtime(onnx_folder):
    reader = OnnxBody(onnx_folder / "model.onnx")
    ids = np.array([IDS[1]])
    first = reader.states(ids, np.ones_like(ids))[:, 0]
    assert cosine(vectors(onnx_folder)[1:2], first).min() >= LEAST_COSINE


def test_a_student_is_cut_from_an_onnx_teacher(onnx_folder, tmp_path):
    config = DistillConfig(
        teacher=str(onnx_folder), layers=(0, 2), unique_tokens=4000, tokens=1000, batch_tokens=512,
        precision="fp32", threads=1,
    )  # fmt: skip
    texts = write_texts(tmp_path / "texts.txt", lines=300)
    recipe = distill([texts], config, tmp_path / "run", phase=nothing, report=nothing)
    assert recipe["layers"] == [0, 2]


def nothing(*_):
    pass


def test_the_layout_of_optimum_is_found(exported, tmp_path):
    (tmp_path / "onnx").mkdir()
    shutil.copy(exported / "model.onnx", tmp_path / "onnx")
    shutil.copy(exported / "tokenizer.json", tmp_path)
    write_pooling(tmp_path, "mean")
    assert load_teacher(str(tmp_path)).pooling == "mean"


def test_pytorch_weights_beside_the_onnx_file_come_first(pytorch_folder, onnx_folder, monkeypatch):
    shutil.copytree(pytorch_folder, onnx_folder, dirs_exist_ok=True)
    monkeypatch.setattr(import_module("ce2de_os.distill.models.teacher"), "load_onnx", None)
    assert load_teacher(str(onnx_folder)).pooling == "cls"


def test_a_folder_that_does_not_say_how_it_pools_is_told(onnx_folder):
    shutil.rmtree(onnx_folder / "1_Pooling")
    with pytest.raises(ConfigError, match=r"its pooling is unknown; write 1_Pooling/config.json"):
        load_teacher(str(onnx_folder))


def quantized(path):
    quantize_dynamic(path, path, weight_type=QuantType.QInt8)


def halved(path):
    onnx.save(convert_float_to_float16(onnx.load(path), keep_io_types=True), path)


@pytest.mark.parametrize(
    ("change", "reason", "least"),
    [(quantized, "it is quantized; use the float32 file", 0.98), (halved, "it is in 16 bits", 0.999)],
)
def test_a_changed_graph_gives_embeddings_but_no_layers(
    pytorch_folder, onnx_folder, tmp_path, change, reason, least
):  # fmt: skip
    change(onnx_folder / "model.onnx")
    teacher = load_teacher(str(onnx_folder))
    assert cosine(vectors(onnx_folder), vectors(pytorch_folder)).min() > least
    assert not has_layers(str(onnx_folder))
    run = tmp_path / "run"
    run.mkdir()
    (run / "sample.json").write_text("[]")
    (run / "recipe.json").write_text(json.dumps({"teacher": str(onnx_folder), "max_length": 64}))
    for take in (
        lambda: as_bert(teacher.model, teacher.name),
        lambda: load_de_layers(str(onnx_folder)),
        lambda: write_full_depth(run, tmp_path / "full"),
    ):
        with pytest.raises(ConfigError, match=reason):
            take()


def test_the_layers_of_a_bert_can_be_read(onnx_folder, pytorch_folder):
    assert has_layers(str(onnx_folder))
    assert load_de_layers(str(onnx_folder)).base == load_de_layers(str(pytorch_folder)).base


def test_a_graph_that_pools_gives_its_own_embeddings(pytorch_folder, onnx_folder):
    shutil.rmtree(onnx_folder / "1_Pooling")
    path = onnx_folder / "model.onnx"
    model = onnx.load(path)
    helper = onnx.helper
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(0), "first"))
    states = model.graph.output[0].name
    model.graph.node.append(helper.make_node("Gather", [states, "first"], ["sentence_embedding"], axis=1))
    del model.graph.output[:]
    kind = helper.make_tensor_value_info("sentence_embedding", onnx.TensorProto.FLOAT, ["batch", 32])
    model.graph.output.append(kind)
    onnx.save(model, path)
    assert cosine(vectors(onnx_folder), vectors(pytorch_folder)).min() > 0.9999
    with pytest.raises(ConfigError, match="its graph pools the states"):
        as_bert(load_teacher(str(onnx_folder)).model, "it")


def test_a_classifier_is_refused(pytorch_folder, onnx_folder):
    model = AutoModelForSequenceClassification.from_pretrained(pytorch_folder)
    export_tiny(model, onnx_folder, "text-classification")
    with pytest.raises(
        ConfigError, match="not a sentence encoder: got the outputs logits, expected last_hidden"
    ):
        load_teacher(str(onnx_folder))


def test_an_opset_that_is_not_known_is_told(onnx_folder):
    path = onnx_folder / "model.onnx"
    model = onnx.load(path)
    model.opset_import[0].version = 99
    path.write_bytes(model.SerializeToString())
    advice = "export the model again with a lower opset"
    with pytest.raises(ConfigError, match=rf"cannot load it[^;]*; [^;]*{advice}[^;]*$"):
        load_teacher(str(onnx_folder))


def test_weights_in_a_second_file_are_read_and_their_absence_is_told(pytorch_folder, onnx_folder):
    path = onnx_folder / "model.onnx"
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="model.onnx_data", size_threshold=64)
    assert cosine(vectors(onnx_folder), vectors(pytorch_folder)).min() >= LEAST_COSINE
    data = (onnx_folder / "model.onnx_data").read_bytes()
    (onnx_folder / "model.onnx_data").write_bytes(data[:100])
    with pytest.raises(ConfigError, match=r"model.onnx_data', which has 100 bytes, expected at least .*copy"):
        load_teacher(str(onnx_folder))
    (onnx_folder / "model.onnx_data").unlink()
    with pytest.raises(
        ConfigError, match=r"keeps its weights in 'model.onnx_data', which is not in its folder"
    ):
        load_teacher(str(onnx_folder))


def test_a_tokenizer_with_more_words_than_the_table_is_refused(onnx_folder):
    path = onnx_folder / "tokenizer.json"
    says = json.loads(path.read_text())
    says["model"]["vocab"] |= {f"more{number}": 100 + number for number in range(100)}
    path.write_text(json.dumps(says))
    with pytest.raises(ConfigError, match="tokenizer does not belong to the model"):
        load_teacher(str(onnx_folder))


@pytest.mark.parametrize("text", ["", "{}", "[]", "version https://git-lfs.github.com/spec/v1\n"])
def test_a_tokenizer_that_is_none_is_refused(onnx_folder, text):
    (onnx_folder / "tokenizer.json").write_text(text)
    with pytest.raises(ConfigError, match=r"its tokenizer cannot be loaded .*; expected a tokenizer.json"):
        load_teacher(str(onnx_folder))


def test_a_token_id_beyond_the_table_is_refused(onnx_folder):
    change_vocabulary(onnx_folder, lambda words: words | {"bab": 5000})
    with pytest.raises(ConfigError, match="largest token id is 5,000, expected less than 65, the rows"):
        load_teacher(str(onnx_folder))


def test_a_tokenizer_without_its_unknown_token_is_refused(onnx_folder):
    change_vocabulary(onnx_folder, lambda words: {word: words[word] for word in words if word != "[UNK]"})
    with pytest.raises(ConfigError, match=r"its tokenizer cannot be loaded .*Missing \[UNK\]"):
        load_teacher(str(onnx_folder))


def change_vocabulary(folder, change):
    path = folder / "tokenizer.json"
    says = json.loads(path.read_text())
    says["model"]["vocab"] = change(says["model"]["vocab"])
    says["added_tokens"] = [one for one in says["added_tokens"] if one["content"] in says["model"]["vocab"]]
    path.write_text(json.dumps(says))


@pytest.mark.parametrize("heads", [7, "four", -4, 0, 2.0])
def test_a_number_of_heads_that_cannot_be_gives_embeddings_but_no_layers(onnx_folder, pytorch_folder, heads):
    shutil.copy(pytorch_folder / "config.json", onnx_folder)
    says = json.loads((onnx_folder / "config.json").read_text())
    (onnx_folder / "config.json").write_text(json.dumps(says | {"num_attention_heads": heads}))
    teacher = load_teacher(str(onnx_folder))
    with pytest.raises(ConfigError, match=r"num_attention_heads .*, expected a divisor of 32"):
        as_bert(teacher.model, teacher.name)


@pytest.mark.parametrize(
    "says",
    [
        {"pooling_mode_max_tokens": True},
        {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True},
        {"pooling_mode": "lasttoken"},
    ],
)
def test_another_pooling_is_refused(onnx_folder, says):
    (onnx_folder / "1_Pooling" / "config.json").write_text(json.dumps(says))
    with pytest.raises(ConfigError, match=r"got the pooling .*, expected that of the first token"):
        load_teacher(str(onnx_folder))


@pytest.mark.parametrize(("texts", "length"), [(1, 128), (2, 3)])
def test_a_graph_for_inputs_of_one_size_is_refused(onnx_folder, texts, length):
    model = onnx.load(onnx_folder / "model.onnx")
    for one in model.graph.input:
        for dim, value in zip(one.type.tensor_type.shape.dim, (texts, length), strict=True):
            dim.dim_value = value
    onnx.save(model, onnx_folder / "model.onnx")
    with pytest.raises(ConfigError, match="expected a graph that reads int64 token ids of any number"):
        load_teacher(str(onnx_folder))


def test_embeddings_that_are_not_finite_are_refused_and_not_kept(onnx_folder, text_file, tmp_path):
    model = onnx.load(onnx_folder / "model.onnx")
    for tensor in model.graph.initializer:
        if tensor.name.endswith("word_embeddings.weight"):
            broken = np.full_like(onnx.numpy_helper.to_array(tensor), np.nan)
            tensor.CopyFrom(onnx.numpy_helper.from_array(broken, tensor.name))
    onnx.save(model, onnx_folder / "model.onnx")
    teacher = load_teacher(str(onnx_folder))
    with pytest.raises(DataError, match="gives embeddings that are not finite"):
        list(teacher_shards(teacher, IDS, tmp_path / "cache", "fp32"))
    assert not (tmp_path / "cache").exists()


def test_a_missing_tokenizer_is_told(onnx_folder):
    (onnx_folder / "tokenizer.json").unlink()
    with pytest.raises(ConfigError, match=r"its tokenizer cannot be loaded \(there is no tokenizer.json"):
        load_teacher(str(onnx_folder))


def test_a_file_that_is_no_graph_is_told(onnx_folder):
    (onnx_folder / "model.onnx").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ConfigError, match="is not an ONNX file"):
        load_teacher(str(onnx_folder))


def test_the_weights_of_another_family_stay_in_the_graph(tmp_path):
    folder = save_tiny_model(tmp_path / "pytorch", "distilbert")
    model = AutoModel.from_pretrained(folder)
    other = tmp_path / "onnx"
    other.mkdir()
    export_tiny(model, other)
    shutil.copy(folder / "tokenizer.json", other)
    write_pooling(other, "mean")
    teacher = load_teacher(str(other))
    assert cosine(vectors(other), vectors(folder)).min() >= LEAST_COSINE
    with pytest.raises(ConfigError, match="it is not a BERT, or lost its names"):
        as_bert(teacher.model, teacher.name)
