from __future__ import annotations

import pytest

from tests.unit.distill.tiny import save_tiny_teacher, write_texts


@pytest.fixture(scope="session")
def teacher_folder(tmp_path_factory):
    """A random three-layer BERT with a word-level vocabulary, in Hugging Face's format."""
    return save_tiny_teacher(tmp_path_factory.mktemp("teacher"))


@pytest.fixture
def teacher(teacher_folder):
    from ce2de_os.distill.models.teacher import load_teacher

    return load_teacher(str(teacher_folder))


@pytest.fixture
def text_file(tmp_path):
    return write_texts(tmp_path / "texts.txt")
