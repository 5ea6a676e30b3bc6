"""A cross-encoder exported as a reranker: PyTorch's logits, their order in int8, and the folder."""

from __future__ import annotations

import errno
import json
import random
import shutil

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from scipy import stats

from ce2de_os.cli import cli
from ce2de_os.distill.models.cross_encoder import load_cross_encoder
from ce2de_os.errors import ArtifactError, DataError, ParityError
from ce2de_os.export import cross_encoder
from ce2de_os.export.cross_encoder import compare_logits, export_cross_encoder
from ce2de_os.export.folder import new_folder
from ce2de_os.model.artifact import Artifact
from ce2de_os.model.reranker import OnnxReranker
from tests.contract import keys_agree
from tests.unit.distill.tiny import WORDS, save_tiny_cross_encoder

RNG = random.Random(0)


def words(count):
    return " ".join(RNG.choices(WORDS, k=count))


GROUPS = [(words(4), [words(RNG.randint(2, 40)) for _ in range(8)]) for _ in range(12)]
PAIRS = [(query, document) for query, documents in GROUPS for document in documents]


def save_tiny_roberta(folder):
    """No token types, positions counted from 2, padding 1."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaForSequenceClassification

    torch.manual_seed(11)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    backend = Tokenizer(
        models.WordLevel({token: row for row, token in enumerate([*special, *WORDS])}, unk_token="<unk>")
    )
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", cls_token="<s>", sep_token="</s>",
        pad_token="<pad>", unk_token="<unk>", mask_token="<mask>", model_max_length=128,
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip
    config = RobertaConfig(
        vocab_size=len(special) + len(WORDS), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=130, type_vocab_size=1, num_labels=1, pad_token_id=1,
        initializer_range=0.3,
    )  # fmt: skip
    RobertaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_tiny_distilbert(folder):
    """Other names in its configuration and its layers, and no token types."""
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    save_tiny_cross_encoder(folder)
    vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
    torch.manual_seed(11)
    config = DistilBertConfig(
        vocab_size=vocabulary, dim=32, hidden_dim=64, n_heads=4, n_layers=2, num_labels=1,
        max_position_embeddings=130, initializer_range=0.3,
    )  # fmt: skip
    DistilBertForSequenceClassification(config).save_pretrained(folder)
    return folder


SAVE = {"bert": save_tiny_cross_encoder, "roberta": save_tiny_roberta, "distilbert": save_tiny_distilbert}


@pytest.fixture(scope="module", params=SAVE)
def exported(request, tmp_path_factory):
    """``(model folder, reranker folder, parity)``."""
    folder = tmp_path_factory.mktemp(request.param)
    model = SAVE[request.param](folder / "ce")
    encoder = load_cross_encoder(str(model), precision="fp32")
    _, parity = export_cross_encoder(encoder, folder / "reranker", groups=GROUPS)
    return model, folder / "reranker", parity


def test_int8_keeps_the_order_of_pytorch(exported):
    model, folder, parity = exported
    expected = load_cross_encoder(str(model), precision="fp32").logits(PAIRS)
    logits = OnnxReranker(folder).score_pairs(PAIRS)
    assert logits.shape == (len(PAIRS),)
    assert stats.spearmanr(logits, expected).statistic > 0.97
    assert np.abs(logits - expected).mean() < 0.2 * expected.std()
    assert parity.pairs == len(PAIRS)
    assert parity.spearman == pytest.approx(stats.spearmanr(logits, expected).statistic, abs=1e-3)


def test_the_float_graph_gives_the_logits_of_pytorch(exported, tmp_path, monkeypatch):
    model, _, _ = exported
    copied = []

    def unquantized(path, folder, config):
        copied.append(path)
        return path

    monkeypatch.setattr(cross_encoder, "quantize", unquantized)
    monkeypatch.setattr(cross_encoder, "fix_scales", lambda *_: None)
    encoder = load_cross_encoder(str(model), precision="fp32")
    export_cross_encoder(encoder, tmp_path / "float", groups=GROUPS)
    assert copied
    np.testing.assert_allclose(
        OnnxReranker(tmp_path / "float").score_pairs(PAIRS), encoder.logits(PAIRS), atol=1e-4
    )


def test_a_logit_does_not_depend_on_the_batch(exported):
    reranker = OnnxReranker(exported[1])
    together = reranker.score_pairs(PAIRS)
    alone = np.concatenate([reranker.score_pairs([pair]) for pair in PAIRS])
    # Fixed scales: only the order of float sums differs, and seldom the rounding of an activation.
    np.testing.assert_allclose(together, alone, atol=0.02 * together.std())


def test_scoring_documents_is_scoring_pairs(exported):
    reranker = OnnxReranker(exported[1], threads=2, batch_tokens=64)
    query, documents = GROUPS[0]
    np.testing.assert_array_equal(
        reranker.score(query, documents), reranker.score_pairs([(query, text) for text in documents])
    )
    assert reranker.score(query, []).shape == (0,)
    odd = reranker.score("\ud800 " + query, ["", "x" * 100_000, "bab " * 5000])
    assert np.isfinite(odd).all()


def test_reranker_and_encoder_folders_are_not_mixed_up(exported):
    with pytest.raises(ArtifactError, match="kind 'reranker', expected 'encoder'"):
        Artifact.load(exported[1])
    with pytest.raises(ArtifactError, match="kind 'encoder', expected 'reranker'"):
        OnnxReranker(Artifact.load())


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "canary.jsonl"])
def test_a_damaged_file_is_refused(exported, tmp_path, name):
    folder = shutil.copytree(exported[1], tmp_path / "copy")
    (folder / name).write_bytes((folder / name).read_bytes()[:-20])
    with pytest.raises(ArtifactError, match=f"{name}: damaged"):
        OnnxReranker(folder)


def test_wrong_logits_are_refused(exported, tmp_path):
    folder = shutil.copytree(exported[1], tmp_path / "copy")
    rows = [json.loads(line) for line in (folder / "canary.jsonl").read_text().splitlines()]
    rows[3]["logit"] += 10.0
    (folder / "canary.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    known = Artifact.load(exported[1], kind="reranker")
    kept = ("kind", "name", "dim", "max_length", "pooling", "source", "recipe")
    changed = Artifact.create(folder, **{key: getattr(known, key) for key in kept})
    assert changed.fingerprint == known.fingerprint  # canaries decide no logit
    with pytest.raises(ParityError, match="wrong logits"):
        OnnxReranker(folder)


def test_a_model_that_int8_reorders_is_refused(exported, tmp_path, monkeypatch):
    monkeypatch.setattr(cross_encoder, "MIN_SPEARMAN", 1.01)
    with pytest.raises(ParityError, match="orders pairs differently"):
        export_cross_encoder(load_cross_encoder(str(exported[0]), precision="fp32"), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_parity_by_hand():
    reference = np.array([1.0, 2.0, 3.0, 0.0, 4.0], dtype=np.float32)
    quantized = np.array([1.5, 1.0, 3.0, 0.0, 5.0], dtype=np.float32)
    parity = compare_logits(reference, quantized, [3, 2])
    assert parity.mean_change == pytest.approx((0.5 + 1 + 0 + 0 + 1) / 5)
    assert parity.max_change == 1.0
    # First query: of its three pairs one is turned round, tau (2 - 1) / 3; second: tau 1.
    assert parity.kendall == pytest.approx((1 / 3 + 1) / 2, abs=1e-4)
    # Ranks 2 3 4 1 5 and 3 2 4 1 5: 1 - 6 * (1 + 1) / (5 * 24)
    assert parity.spearman == pytest.approx(1 - 6 * 2 / (5 * 24), abs=1e-4)


def test_parity_of_ties_is_that_of_scipy():
    reference = np.array([1.0, 1.0, 2.0, 3.0], dtype=np.float32)
    quantized = np.array([1.0, 2.0, 2.0, 3.0], dtype=np.float32)
    expected = stats.spearmanr(reference, quantized).statistic
    assert compare_logits(reference, quantized, [4]).spearman == pytest.approx(expected, abs=1e-4)


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    (tmp_path / "old").mkdir()
    message = r"out: cannot be written \(No space left on device\); free"
    with pytest.raises(DataError, match=message), new_folder(tmp_path / "out") as folder:
        (folder / "model.onnx").touch()
        raise OSError(errno.ENOSPC, "No space left on device")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").touch()
    with pytest.raises(DataError, match="is not a model folder"), new_folder(tmp_path / "out"):
        pass
    assert (tmp_path / "out" / "thesis.txt").exists()


def test_the_command_tells_a_cross_encoder_from_a_student(exported, tmp_path):
    pairs = tmp_path / "pairs.jsonl"
    rows = [{"query": q, "positive": d[0], "negatives": d[1:]} for q, d in GROUPS]
    pairs.write_text("\n".join(map(json.dumps, rows)) + "\n")
    arguments = ["export", str(exported[0]), "--out", str(tmp_path / "rr"), "--pairs", str(pairs), "--json"]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    keys_agree("export of a cross-encoder", facts)
    assert facts["kind"] == "reranker"
    assert facts["pairs"] == len(PAIRS)
    assert facts["fingerprint"] == OnnxReranker(tmp_path / "rr").fingerprint
