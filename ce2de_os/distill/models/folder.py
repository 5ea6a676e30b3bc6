"""Write the folder of a finished student: a Hugging Face and sentence-transformers model, with its recipe."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ce2de_os.distill.data.prefixes import Prefixes
from ce2de_os.distill.models.hub import bare_tokenizer
from ce2de_os.student import HEAD_FOLDER, TOKENIZER_FILE, StudentModel
from ce2de_os.writing import saving

RECIPE_FILE, SAMPLE_FILE, README_FILE = "recipe.json", "sample.json", "README.md"
POOLING_FOLDER, NORMALIZE_FOLDER = "1_Pooling", "3_Normalize"
_THEIRS = "sentence_transformers.models"
_OURS = "ce2de_os.student_module.StudentModule"


def write_student(
    folder: Path,
    student: StudentModel,
    tokenizer: Any,  # noqa: ANN401 - transformers has no types
    max_length: int,
    sample: Sequence[str],
    recipe: dict[str, Any],
) -> None:
    """Write everything; ``recipe.json`` comes last, so that its presence means that the folder is complete.

    ``tokenizer`` is that of transformers; ``sample`` are texts that the training has not seen, on which the
    export measures.

    Raises:
        DataError: the folder cannot be written to.
    """
    with saving(folder):
        student.save(folder)
        tokenizer.model_max_length = max_length
        tokenizer.save_pretrained(folder)
        bare_tokenizer(tokenizer).save(str(folder / TOKENIZER_FILE))
        if student.readout == "last" and not student.pooled:
            _write_plain(folder, student, max_length)
        else:
            _write_json(folder / "modules.json", [_module(0, "", _OURS)])
        prefixes = Prefixes.of(recipe)
        if any(prefixes):
            _write_json(folder / "config_sentence_transformers.json", {"prompts": prefixes._asdict()})
        if recipe.get("text_sources"):
            (folder / README_FILE).write_text(_readme(recipe), encoding="utf-8")
        _write_json(folder / SAMPLE_FILE, list(sample))
        _write_json(folder / RECIPE_FILE, recipe)


def _readme(recipe: dict[str, Any]) -> str:
    """Return a page that names the sources of the texts, as their licenses ask."""
    rows = [
        f"- {name}: {source['attribution']}. License: {source['license']}."
        for name, source in recipe["text_sources"].items()
    ]
    head = [
        f"# A student of {Path(recipe['teacher']).name}", "",
        "Made by `ce2de distill`; `recipe.json` has every setting.", "",
        "## Sources of the training texts", "",
    ]  # fmt: skip
    return "\n".join([*head, *rows]) + "\n"


def _write_plain(folder: Path, student: StudentModel, max_length: int) -> None:
    """Write the chain of sentence-transformers' own modules: transformer, pooling, linear, normalize."""
    width = student.body.config.hidden_size
    modules = [
        ("", "Transformer"),
        (POOLING_FOLDER, "Pooling"),
        (HEAD_FOLDER, "Dense"),
        (NORMALIZE_FOLDER, "Normalize"),
    ]
    for name in (POOLING_FOLDER, NORMALIZE_FOLDER):
        (folder / name).mkdir(exist_ok=True)
    _write_json(
        folder / "modules.json",
        [_module(n, path, f"{_THEIRS}.{kind}") for n, (path, kind) in enumerate(modules)],
    )
    _write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_length, "do_lower_case": False})
    _write_json(
        folder / POOLING_FOLDER / "config.json",
        {
            "word_embedding_dimension": width,
            "pooling_mode_mean_tokens": student.pooling == "mean",
            "pooling_mode_cls_token": student.pooling == "cls",
        },
    )
    _write_json(
        folder / HEAD_FOLDER / "config.json",
        {
            "in_features": width,
            "out_features": student.dim,
            "bias": True,
            "activation_function": "torch.nn.modules.linear.Identity",
        },
    )


def _module(number: int, path: str, kind: str) -> dict[str, Any]:
    return {"idx": number, "name": str(number), "path": path, "type": kind}


def _write_json(path: Path, value: Any) -> None:  # noqa: ANN401 - whatever JSON holds
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
