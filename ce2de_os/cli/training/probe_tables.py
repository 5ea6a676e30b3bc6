"""Tables of the layer probe, for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ce2de_os.cli.tables import plain_table
from ce2de_os.distill.report.probe import CHOSEN_BY, METRICS, Probe
from ce2de_os.evaluation.figures import p_text


def print_tables(found: Probe) -> None:
    """Print the ways to read the models, if there were several, and each collection's layers."""
    console = Console()
    if len(found.models[0].curves) > 1:
        console.print(readings_table(found))
    for collection in found.collections:
        console.print(layers_table(found, collection.name))


def readings_table(found: Probe) -> Table:
    """Build a table of each model's readings, at the best layer; values are means over collections."""
    table = plain_table("Ways to read the models, each at its best layer")
    for heading in ("model", "input", "pooling", "centered"):
        table.add_column(heading)
    for heading in ("layer", *METRICS):
        table.add_column(heading, justify="right")
    for model in found.models:
        for curve in model.curves:
            layer, chosen = curve.best_layer(), curve is model.best
            reading = curve.reading
            table.add_row(
                model.role, reading.input, reading.pooling, "yes" if reading.centred else "no", str(layer),
                *(_value(curve.values(metric)[layer], chosen and metric == CHOSEN_BY) for metric in METRICS),
                style="bold" if chosen else "",
            )  # fmt: skip
    return table


def layers_table(found: Probe, collection: str) -> Table:
    """Build a table of a collection's metrics by layer, each model in its best reading, with p-values."""
    facts = next(c for c in found.collections if c.name == collection)
    title = Text(f"{collection}: {len(facts.documents):,} documents, {len(facts.queries):,} queries")
    title.append(f"\nat most {found.max_tokens} tokens of a text", style="not bold")
    for model in found.models:
        title.append(f"\n{model.role} = {model.name} (text {model.best.reading})", style="not bold")
    title.stylize("bold")
    table = plain_table(title)
    table.add_column("layer", justify="right")
    columns = []
    for model in found.models:
        for metric in METRICS:
            table.add_column(f"{model.role}\n{metric}", justify="right")
            values = model.best.values(metric, collection)
            best = model.best.best_layer(metric, collection)
            columns.append([_value(value, layer == best) for layer, value in enumerate(values)])
    if len(found.models) > 1:
        table.add_column("p", justify="right", style="dim")
        table.caption = (
            f"* best layer; p: paired t-test of CE and DE at this layer, {CHOSEN_BY}, each layer by itself"
        )
    for layer in range(max(map(len, columns))):
        cells = [column[layer] if layer < len(column) else "-" for column in columns]
        if len(found.models) > 1:
            p_value = found.p_value(collection, layer)
            cells.append(p_text(p_value) or "-")
        table.add_row(str(layer), *cells)
    return table


def _value(value: float, best: bool) -> Text:
    return Text(f"{value:.4f}*" if best else f"{value:.4f} ", style="bold" if best else "")
