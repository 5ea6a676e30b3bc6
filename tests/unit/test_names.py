"""One word for one thing: the names of classes."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import ce2de_os

ROOT = Path(ce2de_os.__file__).parent


def test_no_two_public_classes_have_the_same_name() -> None:
    homes = defaultdict(list)
    for path in ROOT.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(str(path.relative_to(ROOT)))
    # Each framework finds its retriever under the same name.
    assert {name: paths for name, paths in homes.items() if len(paths) > 1}.keys() == {"Ce2deRetriever"}
