"""Write a run's report: the student, its sources, quality, speed, and how to repeat the run.

Everything is read from the files of the run folder and of the model folder; a part whose file is not there is
left out, and a sentence names the command that writes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ce2de_os.distill.report.evaluate import EVALUATION_FILE, Evaluation
from ce2de_os.distill.report.page import (
    Block,
    Cell,
    Missing,
    Section,
    Table,
    Text,
    Tiles,
    to_html,
    to_markdown,
)
from ce2de_os.distill.report.plots import Plot, Point, frontier_plot, probe_plot
from ce2de_os.distill.report.quality import quality_section
from ce2de_os.distill.report.recipe_part import again_blocks, settings_blocks, texts_blocks, training_blocks
from ce2de_os.distill.report.speed import SPEED_FILE, Speed
from ce2de_os.errors import DataError
from ce2de_os.evaluation.figures import MAIN_METRIC
from ce2de_os.model.artifact import Artifact
from ce2de_os.model.manifest import HASHED_FILES
from ce2de_os.reading import RUN_BYTES, read_object

HTML_FILE, MARKDOWN_FILE = "report.html", "report.md"
RECIPE_FILE, PARITY_FILE, PROBE_FILE = "recipe.json", "parity.json", "probe.json"
BUSY = 0.1
"""Share of the time without a core from which a speed measurement is called rough."""


@dataclass(frozen=True)
class RunFiles:
    """The contents of a run folder and its model folder; ``None`` for missing files."""

    name: str
    recipe: dict[str, Any] | None
    parity: dict[str, Any] | None
    evaluation: Evaluation | None
    probe: dict[str, Any] | None
    speed: Speed | None
    artifact: Artifact | None

    @classmethod
    def read(cls, run: Path, model: Path | None = None) -> RunFiles:
        """Read both folders; ``model`` ``None`` means that there is no exported model.

        Raises:
            DataError: ``run`` is no folder, or a file is damaged.
            ArtifactError: the model folder cannot be used.
        """
        if not run.is_dir():
            raise DataError(f"{run}: no such folder; expected one written by 'ce2de distill'")
        evaluation, speed = run / EVALUATION_FILE, run / SPEED_FILE
        artifact = Artifact.load(model) if model is not None else None
        return cls(
            run.resolve().name,
            _read_json(run / RECIPE_FILE),
            _read_json(run / PARITY_FILE),
            Evaluation.load(evaluation) if evaluation.is_file() else None,
            _read_json(run / PROBE_FILE),
            Speed.load(speed) if speed.is_file() else None,
            artifact,
        )


def write_report(run: Path, model: Path | None = None) -> tuple[Path, Path]:
    """Write ``report.html`` and ``report.md`` with its plots into ``run``; return both paths.

    Any file of the run folder may be missing; ``model`` is the folder that ``ce2de export`` wrote, if it did.

    Raises:
        DataError: a folder does not exist, or a file is damaged.
        ArtifactError: the model folder cannot be used.
    """
    files = RunFiles.read(run, model)
    try:
        sections = _sections(files)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise DataError(
            f"{run}: a file is damaged or from another version ({error!r}); make it again"
        ) from error
    title, subtitle = f"Distillation report: {files.name}", _subtitle(files)
    for section in sections:
        for block in section.blocks:
            if isinstance(block, Plot):
                _write(run / f"{block.name}.png", block.png)
    _write(run / HTML_FILE, to_html(title, subtitle, sections).encode())
    _write(run / MARKDOWN_FILE, to_markdown(title, subtitle, sections).encode())
    return run / HTML_FILE, run / MARKDOWN_FILE


def _sections(files: RunFiles) -> list[Section]:
    recipe = files.recipe
    tiles = _tiles(files)
    return [
        Section("", [Tiles(tiles)] if tiles else []),
        quality_section(files.evaluation),
        Section("Quality against speed", _frontier(files)),
        Section("Speed", _speed(files.speed)),
        Section("Training", training_blocks(recipe)),
        Section("Layer probe", _probe(files)),
        Section("Texts", texts_blocks(recipe)),
        Section("Settings", settings_blocks(recipe)),
        Section("Model", _model(files)),
        Section("Make it again", again_blocks(recipe)),
    ]


def _subtitle(files: RunFiles) -> str:
    recipe = files.recipe or {}
    made = f"A student of {recipe['teacher']}" if "teacher" in recipe else "A student"
    layers = ", ".join(map(str, recipe.get("layers") or []))
    when = f"; measured on {files.speed.machine.date}" if files.speed else ""
    return f"{made}{f', started from its layers {layers}' if layers else ''}{when}."


def _tiles(files: RunFiles) -> list[tuple[str, str]]:
    tiles = []
    if files.evaluation is not None and (kept := files.evaluation.kept()) is not None:
        count = len(files.evaluation.collections)
        on = f"mean of {count} collections" if count > 1 else files.evaluation.collections[0].collection
        tiles.append((f"{kept:.1%}", f"of the DE's {MAIN_METRIC} kept ({on})"))
    if files.speed is not None:
        rough = " (rough: the machine was busy)" if files.speed.waited > BUSY else ""
        label = f"as many documents a second as the DE on one core{rough}"
        tiles.append((f"{files.speed.ratio:.1f} x", label))
    if files.artifact is not None:
        tiles.append((_megabytes(files.artifact), f"on disk, dimension {files.artifact.dim}"))
    if files.recipe is not None and "tokens_seen" in files.recipe:
        minutes = files.recipe.get("training_minutes")
        label = "tokens trained on" + (f" in {minutes:g} min" if minutes is not None else "")
        tiles.append((_count(files.recipe["tokens_seen"]), label))
    return tiles


def _frontier(files: RunFiles) -> list[Block]:
    kept = files.evaluation.kept() if files.evaluation is not None else None
    if files.speed is None or kept is None:
        return [Missing("It needs both a quality and a speed measurement;", "ce2de distill", "makes them.")]
    point = Point(files.name, files.speed.ratio, kept)
    return [frontier_plot(point, MAIN_METRIC), Text("Up and to the right is better.")]


def _speed(speed: Speed | None) -> list[Block]:
    if speed is None:
        return [Missing("Not measured in this run;", "ce2de distill", "measures it.")]
    rows = [
        [
            Cell(side.name), Cell(f"{side.docs_per_s:,.1f}", f"[{side.slowest:,.1f}, {side.fastest:,.1f}]"),
            Cell(f"{side.tokens_per_s:,.0f}"),
        ]
        for side in (speed.student, speed.teacher)
    ]  # fmt: skip
    machine = speed.machine
    flags = f" with {', '.join(machine.flags)}" if machine.flags else ""
    versions = ", ".join(f"{name} {number}" for name, number in machine.versions.items())
    starts = [1, *(longest + 1 for longest, _ in speed.histogram)]
    lengths = [
        [Cell(f"{low} to {longest}"), Cell(f"{count:,}"), Cell(f"{count / speed.texts:.0%}")]
        for low, (longest, count) in zip(starts, speed.histogram, strict=False)
        if count
    ]
    disturbed = Text(
        f"The machine was busy: the encoders waited for the core {speed.waited:.0%} of the time, so these "
        "figures are rough. Measure again on an idle machine."
    )
    return [
        *([disturbed] if speed.waited > BUSY else []),
        Table(["encoder", "documents/s", "tokens/s"], rows, strong=frozenset({0})),
        Text(
            f"The student is {speed.ratio:.2f} [{speed.ratio_low:.2f}, {speed.ratio_high:.2f}] times as "
            f"fast. Both encoded the same {speed.texts:,} documents ({speed.tokens / speed.texts:.0f} tokens "
            "on average) in turn on one core, tokenizing included, in batches of "
            f"{speed.batch_tokens} tokens; "
            f"medians of {speed.rounds} rounds after one to warm up, in brackets the slowest and the fastest."
        ),
        Text(f"{machine.cpu}{flags}; {machine.cores} cores, {machine.date}; {versions}."),
        Table(["tokens in a document", "documents", "share"], lengths),
    ]


def _probe(files: RunFiles) -> list[Block]:
    if files.probe is None:
        return [
            Missing("Not probed in this run;", "ce2de probe", "shows the retrieval quality of each layer.")
        ]
    metric, found = files.probe["chosen_by"], []
    for model in files.probe["models"]:
        curve = next(
            one for one in model["curves"]
            if all(one[key] == value for key, value in model["best"].items())
        )  # fmt: skip
        by_collection = [
            [layer[metric]["mean"] for layer in layers] for layers in curve["collections"].values()
        ]
        means = [sum(values) / len(values) for values in zip(*by_collection, strict=True)]
        found.append((f"{model['role']}: {model['name']}", means, model["best"]))
    depth = max(len(means) for _, means, _ in found)
    header = ["model", *(str(layer) for layer in range(depth))]
    rows = [
        [Cell(name), *(Cell(f"{value:.3f}") for value in means), *[Cell("")] * (depth - len(means))]
        for name, means, _ in found
    ]
    names = ", ".join(str(collection["name"]) for collection in files.probe["collections"])
    reading = "; ".join(f"{name}: read {_reading(best)}" for name, _, best in found)
    return [
        probe_plot([(name, means) for name, means, _ in found], metric),
        Table(header, rows),
        Text(f"{metric} of a search with each layer (0: embeddings), mean over {names}. {reading}."),
    ]


def _reading(best: Mapping[str, Any]) -> str:
    return f"{best['input']}, pooled by {best['pooling']}{', centered' if best['centred'] else ''}"


def _model(files: RunFiles) -> list[Block]:
    artifact, parity = files.artifact, files.parity
    if artifact is None:
        return [Missing("Not exported yet;", "ce2de export RUN --out MODEL", "writes the model folder.")]
    parity = parity or artifact.recipe.get("parity")
    rows = [
        ("name", artifact.name), ("fingerprint", artifact.fingerprint), ("size", _megabytes(artifact)),
        ("dimension", str(artifact.dim)), ("longest text", f"{artifact.max_length} tokens"),
        ("pooling", artifact.pooling),
    ]  # fmt: skip
    if parity:
        rows.append((
            "int8 against fp32",
            f"cosine {parity['mean_cosine']:.4f} on average, {parity['worst_cosine']:.4f} at worst, "
            f"over {parity['texts']:,} texts",
        ))  # fmt: skip
    return [Table(["", ""], [[Cell(a), Cell(b)] for a, b in rows], numbers=False)]


def _megabytes(artifact: Artifact) -> str:
    return f"{sum((artifact.folder / name).stat().st_size for name in HASHED_FILES) / 1e6:.1f} MB"


def _count(number: float) -> str:
    return f"{number / 1e6:.1f}M" if number >= 1e6 else f"{number:,}"


def _read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object; ``None`` if there is no such file."""
    if not path.is_file():
        return None
    try:
        return read_object(path, RUN_BYTES)
    except DataError as error:
        raise DataError(f"{error}; make it again") from error


def _write(path: Path, content: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content)
    partial.replace(path)
