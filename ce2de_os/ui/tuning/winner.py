"""The winner of an evaluation, to take away: a Python line, a command, a search pipeline."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ce2de_os.search.question import Question, QuestionOptions
from ce2de_os.search.strategy import pipeline

if TYPE_CHECKING:
    from ce2de_os.quality.comparison import Comparison, SystemResult

NAMES = ("mode", "fusion", "dense_weight", "rerank_depth", "rerank_weight")


@dataclass(frozen=True)
class Winner:
    """The best system, in the forms in which people use it.

    Attributes:
        name: its name in the table.
        is_tuned: whether its weights were tuned on the other half of the queries.
        python: a line that makes its searcher.
        flags: name and value of each option of the command.
        pipeline: the body of a search pipeline, JSON; ``""``: it fuses nothing.
    """

    name: str
    is_tuned: bool
    python: str
    flags: tuple[tuple[str, str], ...]
    pipeline: str


def winner_of(found: Comparison, metric: str) -> Winner:
    """Choose the tuned system, where there is one, else the system with the best figure."""
    from ce2de_os.quality.systems import TUNED

    tuned = next((one for one in found.systems if one.name == TUNED), None)
    return _winner(
        found.index, tuned or max(found.systems, key=lambda one: one.figures[metric].mean), tuned is not None
    )


def _winner(index: str, system: SystemResult, is_tuned: bool) -> Winner:
    options: QuestionOptions = system.options
    given = {name: options[name] for name in NAMES if options.get(name) is not None}  # type: ignore[literal-required]
    has_reranker = bool(given.get("rerank_depth"))
    if not has_reranker:
        given.pop("rerank_depth", None)
    if given.get("mode") == "hybrid":
        given.pop("mode")  # the default
    parts = [f"{name}={value!r}" for name, value in given.items()]
    if has_reranker:
        parts.insert(0, "reranker=reranker")
    python = ", ".join([f"HybridSearcher(client, {json.dumps(index)}, encoder", *parts]) + ")"
    question = Question("").changed(options)
    is_hybrid = question.mode == "hybrid"
    body = json.dumps(pipeline(question), indent=2) if is_hybrid else ""
    flags = tuple((name.replace("_", "-"), shlex.quote(str(value))) for name, value in given.items())
    return Winner(system.name, is_tuned, python, flags, body)
