"""The parts of a report with a run's recipe: training, texts, settings, and how to repeat it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from ce2de_os.distill.report.page import Block, Cell, Code, Missing, Table, Text
from ce2de_os.distill.report.plots import training_plot

Recipe = Mapping[str, Any] | None
"""The content of ``recipe.json``; ``None`` if the run has none yet."""

SOURCES_SHOWN = 15

_NOT_SETTINGS = frozenset({
    "texts", "dev", "dev_metric", "curve", "space", "versions", "machine", "command", "passages",
    "passage_tokens", "text_sources", "tokens_seen", "steps", "final_loss", "preparation_minutes",
    "training_minutes",
})  # fmt: skip
_PLACES = {
    "teacher": "teacher.model", "query_prefix": "teacher.query_prefix",
    "document_prefix": "teacher.document_prefix", "init": "student.init", "layers": "student.layers",
    "pooled": "student.pooled", "losses": "training.losses", "readout": "student.readout",
    "unique_tokens": "texts.unique_tokens", "lr": "training.lr", "seed": "training.seed",
}  # fmt: skip
"""The place of each setting in a recipe file."""


def training_blocks(recipe: Recipe) -> list[Block]:
    """Return the curves of loss and dev metric, and the facts of the training."""
    if recipe is None:
        return [Missing("There is no finished training in this folder;", "ce2de distill", "writes one.")]
    loss = [tuple(point) for point in recipe.get("curve") or []]
    dev, metric = [tuple(point) for point in recipe.get("dev") or []], recipe.get("dev_metric", "dev metric")
    blocks: list[Block] = []
    if loss or dev:
        blocks.append(training_plot(loss, dev, metric))
    facts = [
        (label, _value(recipe[key]))
        for key, label in (
            ("tokens_seen", "tokens trained on"), ("steps", "steps"), ("final_loss", "final loss"),
            ("preparation_minutes", "minutes of preparation"), ("training_minutes", "minutes of training"),
        )
        if key in recipe
    ]  # fmt: skip
    if dev:
        facts.append((f"{metric}, best", f"{max(value for _, value in dev):.4f}"))
    return [*blocks, Table(["", ""], [[Cell(a), Cell(b)] for a, b in facts])]


def texts_blocks(recipe: Recipe) -> list[Block]:
    """Return blocks about the sources of the passages."""
    if recipe is None or not recipe.get("texts"):
        return [Missing("No record of the texts;", "ce2de distill", "writes it.")]
    counts: dict[str, int] = dict(recipe["texts"])
    total = sum(counts.values())
    order = sorted(counts, key=lambda name: (-counts[name], name))
    rows = [
        [Cell(n), Cell(f"{counts[n]:,}"), Cell(f"{counts[n] / total:.1%}")] for n in order[:SOURCES_SHOWN]
    ]
    rest = [counts[name] for name in order[SOURCES_SHOWN:]]
    if rest:
        name = f"{len(rest)} more sources"
        rows.append([Cell(name), Cell(f"{sum(rest):,}"), Cell(f"{sum(rest) / total:.1%}")])
    tokens = f", {recipe['passage_tokens']:,} tokens" if "passage_tokens" in recipe else ""
    sources = f"{len(counts)} sources" if len(counts) > 1 else "1 source"
    shown: list[Block] = [
        Text(f"{total:,} passages from {sources}{tokens}."),
        Table(["source", "passages", "share"], rows),
    ]
    known: dict[str, dict[str, str]] = recipe.get("text_sources") or {}
    owed = [[Cell(name), Cell(one["license"]), Cell(one["attribution"])] for name, one in known.items()]
    return [*shown, Table(["source", "license", "attribution"], owed, numbers=False)] if owed else shown


def settings_blocks(recipe: Recipe) -> list[Block]:
    """Return blocks with every setting of the run."""
    if recipe is None:
        return [Missing("No recipe;", "ce2de distill", "writes it.")]
    rows = [
        [Cell(key.replace("_", " ")), Cell(_value(value))]
        for key, value in recipe.items()
        if key not in _NOT_SETTINGS
    ]
    return [Table(["setting", "value"], rows, numbers=False)]


def again_blocks(recipe: Recipe) -> list[Block]:
    """Return the command that makes the student again, and the versions it was made with."""
    if recipe is None:
        return [Missing("No recipe, so no command;", "ce2de distill", "writes it.")]
    lines = [recipe.get("command") or _command(recipe)]
    versions = ", ".join(f"{name} {number}" for name, number in (recipe.get("versions") or {}).items())
    note = (
        "TEXTS are the files of the sources above, RUN is a new folder. " if not recipe.get("command") else ""
    )
    made = f"Made with {versions}" if versions else "Made"
    where = f" on {recipe['machine']}" if recipe.get("machine") else ""
    return [Code("\n".join(lines)), Text(f"{note}{made}{where}.")]


def _command(recipe: Mapping[str, Any]) -> str:
    """Return the command that repeats the run, by tokens instead of minutes, so that speed is irrelevant."""
    words = ["ce2de distill --texts TEXTS --out RUN"]
    for key, place in _PLACES.items():
        if recipe.get(key) is not None:
            words.append(f"--set {shlex.quote(f'{place}={_toml(recipe[key])}')}")
    if "tokens_seen" in recipe:
        words.append(f"--set training.tokens={recipe['tokens_seen']}")
    return " \\\n  ".join(words)


def _toml(value: Any) -> str:  # noqa: ANN401 - whatever the recipe holds
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}={weight:g}" for name, weight in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join('"new"' if part is None else str(part) for part in value) + "]"
    return str(value)


def _value(value: Any) -> str:  # noqa: ANN401 - whatever the recipe holds
    match value:
        case None:
            return "not set"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:g}"
        case list() | tuple():
            return ", ".join(map(_value, value))
        case dict():
            return ", ".join(f"{key} {_value(one)}" for key, one in value.items())
        case _:
            return str(value)
