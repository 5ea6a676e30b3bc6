"""Texts of the product: plain words of the field, American spelling; the glossary knows the classes."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import ce2de_os
from tests.plain_words import FOREIGN

ROOT = Path(ce2de_os.__file__).parent
GLOSSARY = ROOT.parent / "docs" / "reference" / "glossary.md"
# The account that runs local servers for root, and British names: a column in files of others, a key in ours.
ALLOWED = {
    ("local/process.py", "nobody"), ("records.py", "judgement"),
    ("distill/report/probe.py", "centred"), ("distill/report/write.py", "centred"),
}  # fmt: skip
INLINE_CODE = re.compile(r"``[^`]+``")
CLASSES_OF = ("index", "model", "reindex", "search", "records.py")


def texts(path: Path) -> Iterator[str]:
    """Give every string, docstrings among them, and every comment of a file."""
    source = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


@pytest.mark.parametrize("package", sorted({path.relative_to(ROOT).parts[0] for path in ROOT.rglob("*.py")}))
def test_texts_use_plain_words(package: str) -> None:
    found = {
        (path.relative_to(ROOT).as_posix(), match[0].lower().strip())
        for path in ([ROOT / package] if package.endswith(".py") else (ROOT / package).rglob("*.py"))
        for text in texts(path)
        for match in FOREIGN.finditer(" ".join(INLINE_CODE.sub("", text).split()))
    }
    assert found - ALLOWED == set()


def test_pages_in_the_browser_use_plain_words() -> None:
    pages = [*(ROOT / "ui" / "templates").glob("*.html"), *(ROOT / "ui" / "static").glob("[!h]*.js")]
    assert len(pages) > 5
    assert {(page.name, *FOREIGN.findall(page.read_text("utf-8"))) for page in pages} == {
        (page.name,) for page in pages
    }


def one_word_classes() -> set[str]:
    """Give the public classes whose name is one word, in the packages that run in production."""
    paths = [path for name in CLASSES_OF for path in [ROOT / name, *(ROOT / name).rglob("*.py")]]
    return {
        node.name
        for path in paths
        if path.suffix == ".py"
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and re.fullmatch(r"[A-Z][a-z]+", node.name)
    }


def test_the_glossary_has_every_one_word_class() -> None:
    terms, classes = GLOSSARY.read_text(encoding="utf-8").split("## Classes")
    rows = re.findall(r"^\| `(\w+)` \|", classes, re.MULTILINE)
    assert set(rows) == one_word_classes()
    assert rows == sorted(rows)
    words = [row.lower() for row in re.findall(r"^\| ([^|]+) \|", terms, re.MULTILINE)[1:]]
    assert words == sorted(words)
