"""Fill the JSON bodies of ``index_templates/``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ce2de_os.errors import ConfigError

_PACKAGE = Path(__file__).parents[1]
# A wheel has the folder inside the package; a checkout has it at the top.
_FOLDER = next(
    folder / "index_templates"
    for folder in (_PACKAGE, _PACKAGE.parent)
    if (folder / "index_templates").is_dir()
)


def render(name: str, holes: Mapping[str, Any]) -> dict[str, Any]:
    """Read ``index_templates/<name>.json`` and put values into its holes.

    A hole is a whole string ``"$hole"``, as a key or as a value; the value put there keeps its type.

    Raises:
        ConfigError: the template names a hole that is not given.
    """
    rendered = _fill(_body(name), holes)
    if not isinstance(rendered, dict):
        raise ConfigError(f"index_templates/{name}.json: expected an object")
    return rendered


@cache
def _body(name: str) -> Any:  # noqa: ANN401 - any JSON value
    return json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def _fill(node: Any, holes: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(node, dict):
        return {_fill(key, holes): _fill(value, holes) for key, value in node.items()}
    if isinstance(node, list):
        return [_fill(value, holes) for value in node]
    if isinstance(node, str) and node.startswith("$"):
        if node[1:] not in holes:
            raise ConfigError(f"index template: no value for the hole '{node}'")
        return holes[node[1:]]
    return node
