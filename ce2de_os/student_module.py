"""The student as a module of sentence-transformers, for forms that its own modules cannot express.

A student that reads its last layer with one query per token is a plain chain of sentence-transformers'
modules and needs nothing of this package. One that reads all depths, or whose last layers are pooled, names
this module in its ``modules.json``; sentence-transformers loads it where this package is installed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sentence_transformers.base.modules import InputModule
from torch import Tensor
from transformers import AutoTokenizer

from ce2de_os.student import StudentModel


class StudentModule(InputModule):  # type: ignore[misc]
    """A module from texts to the student's embeddings."""

    def __init__(self, student: StudentModel, tokenizer: Any) -> None:  # noqa: ANN401 - no types
        super().__init__()
        self.student = student
        self.tokenizer = tokenizer
        self.max_seq_length: int = tokenizer.model_max_length

    def preprocess(
        self,
        inputs: list[str],
        prompt: str | None = None,
        **_: Any,  # noqa: ANN401
    ) -> dict[str, Tensor]:
        """Tokenize texts to ids and mask, ``(B, L)`` int64, cut to ``max_seq_length``."""
        texts = [(prompt or "") + text for text in inputs]
        encoded = self.tokenizer(
            texts, padding=True, truncation=True, max_length=self.max_seq_length, return_tensors="pt"
        )
        return {name: encoded[name] for name in ("input_ids", "attention_mask")}

    def forward(self, features: dict[str, Tensor], **_: Any) -> dict[str, Tensor]:  # noqa: ANN401
        """Add ``sentence_embedding``, ``(B, D)`` with rows of length 1."""
        features["sentence_embedding"] = self.student(features["input_ids"], features["attention_mask"])
        return features

    def get_sentence_embedding_dimension(self) -> int:
        """Return the length of one embedding."""
        return self.student.dim

    def get_embedding_dimension(self) -> int:
        """Return the length of one embedding."""
        return self.student.dim

    def save(self, output_path: str, *_: Any, **__: Any) -> None:  # noqa: ANN401
        """Write the student and its tokenizer into ``output_path``."""
        self.student.save(Path(output_path))
        self.tokenizer.save_pretrained(output_path)

    @classmethod
    def load(cls, model_name_or_path: str, *_: Any, **__: Any) -> StudentModule:  # noqa: ANN401
        """Read a student's folder."""
        student = StudentModel.load(Path(model_name_or_path))
        return cls(student, AutoTokenizer.from_pretrained(model_name_or_path))
