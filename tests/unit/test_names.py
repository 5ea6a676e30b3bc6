"""The size of the house, and one word for one thing: modules, packages and the names of classes."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from pathlib import Path

import ce2de_os

ROOT = Path(ce2de_os.__file__).parent
MOST_LINES, MOST_MODULES = 350, 20


def test_no_module_is_too_long_and_no_package_too_large() -> None:
    modules = [path for folder in (ROOT, ROOT.parent / "workers") for path in folder.rglob("*.py")]
    lengths = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in modules}
    sizes = Counter(str(path.parent) for path in modules)
    assert {path: lines for path, lines in lengths.items() if lines > MOST_LINES} == {}
    assert {folder: size for folder, size in sizes.items() if size > MOST_MODULES} == {}


def test_no_two_public_classes_have_the_same_name() -> None:
    homes = defaultdict(list)
    for path in ROOT.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(str(path.relative_to(ROOT)))
    # Each framework finds its retriever under the same name.
    assert {name: paths for name, paths in homes.items() if len(paths) > 1}.keys() == {"Ce2deRetriever"}
