"""The documents of the demo: the documentation inside every Python installation.

Docstrings of the standard library (parsed, never imported), docstrings of the modules compiled into the
interpreter, and the language reference that ``pydoc`` shows. The order and the ids depend on nothing but the
Python version.
"""

from __future__ import annotations

import ast
import inspect
import re
import sysconfig
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path

from ce2de_os.records import Document

MIN_CHARS = 60
"""Shorter docstrings ("Return the value.") have nothing that a person would search for."""

MAX_TITLE_SENTENCE_CHARS = 120
"""Most characters of a first sentence that becomes the title."""

# Modules without a source file must be imported to be read.
COMPILED_MODULES = (
    *("array", "binascii", "builtins", "cmath", "errno", "fcntl", "gc", "itertools", "math", "mmap"),
    *("posix", "select", "sys", "time", "zlib"),
)

# Folders of the standard library that hold tests, programs, tables of characters or deprecated modules.
SKIPPED_FOLDERS = frozenset(
    {"site-packages", "test", "tests", "turtledemo", "idlelib", "lib2to3", "ensurepip", "encodings"}
    | {"pydoc_data", "distutils"}
)

_DOCTEST = re.compile(r"^[ \t]*(>>>|\.\.\.)[^\n]*(\n(?![ \t]*\n)[^\n]*)*", re.MULTILINE)
_SIGNATURES = re.compile(r"\A(?:[\w.]+\([^\n]*\)(?:[ \t]*->[^\n]*)?\n+)+")
_HEADING = re.compile(r"^(?P<title>\S[^\n]*)\n(?P<line>[=\-*~^\"])(?P=line){3,}$", re.MULTILINE)
_BLANK_LINES = re.compile(r"\n\s*\n\s*")

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def python_documents() -> Iterator[Document]:
    """Yield every document of the demo, each text once; ``doc_id`` is the qualified name."""
    seen: set[str] = set()
    for doc_id, text in _all_texts():
        text = clean(text)
        if len(text) < MIN_CHARS or text in seen or doc_id in seen:
            continue
        seen.update((text, doc_id))
        yield Document(doc_id, _title(doc_id, text), text)


def clean(docstring: str) -> str:
    """Remove leading signatures, interactive examples, indentation and surplus blank lines."""
    prose = _DOCTEST.sub("", _SIGNATURES.sub("", inspect.cleandoc(docstring)))
    return _BLANK_LINES.sub("\n\n", prose).strip()


def module_docstrings(source: str, module: str) -> Iterator[tuple[str, str]]:
    """Yield pairs of qualified name and docstring in a module's ``source``; private names are left out."""
    try:
        tree = ast.parse(source)
    except SyntaxError:  # the standard library has broken files on purpose, for its own tests
        return
    yield from _docstrings(tree, module)


def sections(page: str) -> Iterator[tuple[str, str]]:
    """Cut a reference page at its underlined headings into pairs of heading and text."""
    heading, start = "", 0
    for match in _HEADING.finditer(page):
        yield heading, page[start : match.start()]
        heading, start = match["title"], match.end()
    yield heading, page[start:]


def _all_texts() -> Iterator[tuple[str, str]]:
    yield from _topics()
    for name in COMPILED_MODULES:
        yield from _compiled_docstrings(name)
    stdlib = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(_module_files(stdlib)):
        module = ".".join(path.relative_to(stdlib).with_suffix("").parts).removesuffix(".__init__")
        yield from module_docstrings(path.read_text(encoding="utf-8", errors="replace"), module)


def _topics() -> Iterator[tuple[str, str]]:
    from pydoc_data.topics import topics

    for name in sorted(topics):
        for heading, text in sections(topics[name]):
            yield f"{name}: {heading}" if heading else name, text


def _module_files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith("_") and path.name != "__init__.py":
            continue
        if path.suffix == ".py":
            yield path
        elif path.is_dir() and path.name not in SKIPPED_FOLDERS:  # site-packages is too large to look into
            yield from _module_files(path)


def _docstrings(node: ast.Module | Definition, name: str) -> Iterator[tuple[str, str]]:
    yield name, ast.get_docstring(node) or ""
    if not isinstance(node, ast.Module | ast.ClassDef):
        return  # what a function defines inside cannot be used from outside
    for child in node.body:
        if isinstance(child, Definition) and not child.name.startswith("_"):
            yield from _docstrings(child, f"{name}.{child.name}")


def _compiled_docstrings(module_name: str) -> Iterator[tuple[str, str]]:
    module = import_module(module_name)
    # People know the functions of `posix` as those of the module that re-exports them.
    module_name = {"posix": "os"}.get(module_name, module_name)
    yield module_name, inspect.getdoc(module) or ""
    for name, value in _public(vars(module).items()):
        yield f"{module_name}.{name}", _own_docstring(value)
        if isinstance(value, type):
            for member, attribute in _public(vars(value).items()):
                yield f"{module_name}.{name}.{member}", _own_docstring(attribute)


def _public(items: Iterable[tuple[str, object]]) -> list[tuple[str, object]]:
    return sorted((name, value) for name, value in items if not name.startswith("_"))


def _own_docstring(value: object) -> str:
    """Return ``value``'s docstring; ``""`` for constants, which would repeat that of their type."""
    is_documented = isinstance(value, type) or inspect.isroutine(value)
    return (inspect.getdoc(value) or "") if is_documented else ""


def _title(doc_id: str, text: str) -> str:
    name = doc_id if ":" in doc_id else ".".join(doc_id.split(".")[-2:])
    first_paragraph = " ".join(text.partition("\n\n")[0].split())
    first_sentence = first_paragraph.partition(". ")[0].rstrip(".")
    return f"{name}: {first_sentence}" if len(first_sentence) <= MAX_TITLE_SENTENCE_CHARS else name
