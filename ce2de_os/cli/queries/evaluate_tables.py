"""Tables of an evaluation, for people."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ce2de_os.cli.tables import plain_table
from ce2de_os.evaluation.figures import MAIN_METRIC, SHOWN_METRICS, Figure, p_text
from ce2de_os.quality.comparison import Comparison, mark

_TRIED = 5  # weightings shown of those that were tried


def print_tables(found: Comparison) -> None:
    """Print to stdout: quality, latency, and how the weights were chosen."""
    console = Console()
    console.print(quality_table(found))
    if any(one.latency_ms for one in found.systems):
        console.print(latency_table(found))
    for line in tuning_lines(found):
        console.print(line, highlight=False)


def quality_table(found: Comparison) -> Table:
    """Build a table of each system's metrics with intervals, and its difference from its reference."""
    half = ", the test half" if found.tuning else ""
    table = plain_table(f"{found.index}: quality over {found.queries:,} queries{half}")
    table.add_column("system")
    for metric in SHOWN_METRICS:
        table.add_column(metric, justify="right")
    table.add_column("against")
    table.add_column("p", justify="right")
    table.caption = (
        f"below each mean its 95% bootstrap interval; p: paired t-test of {MAIN_METRIC} against the named "
        "system, Holm-corrected; ▲ ▼: significantly better or worse than it (p < 0.05)"
    )
    by_name = {one.name: one for one in found.systems}
    for one in found.systems:
        reference = by_name[one.reference].figures if one.reference else {}
        cells = [_cell(one.figures[metric], reference.get(metric)) for metric in SHOWN_METRICS]
        table.add_row(one.name, *cells, one.reference or "", p_text(one.figures[MAIN_METRIC].p_holm))
    return table


def latency_table(found: Comparison) -> Table:
    """Build a table of each system's percentiles."""
    searches = max(one.latency_ms.searches for one in found.systems if one.latency_ms)
    table = plain_table(f"latency of {searches:,} single searches, ms")
    table.add_column("system")
    for name in ("p50", "p90", "p99"):
        table.add_column(name, justify="right")
    table.add_column("fused by")
    table.caption = "one search after the other, 10 hits each, query encoded anew"
    for one in found.systems:
        if one.latency_ms:
            times = (one.latency_ms.p50, one.latency_ms.p90, one.latency_ms.p99)
            table.add_row(one.name, *(f"{value:.1f}" for value in times), one.strategy or "")
    return table


def tuning_lines(found: Comparison) -> Iterator[str]:
    """Yield lines about the tuning: the choice, its queries, and the next best weightings."""
    if found.tuning is None:
        return
    tuning = found.tuning
    yield (
        f"Tuned on the dev half, {tuning.dev_queries:,} other queries: {tuning.chosen} is best there of "
        f"{len(tuning.scores)} ({MAIN_METRIC} {max(tuning.scores.values()):.3f})."
    )
    best = [f"{name} {score:.3f}" for name, score in list(tuning.scores.items())[:_TRIED]]
    yield f"The best on dev: {'; '.join(best)}."
    options = tuning.chosen.options
    weight = options["dense_weight"]
    given = f", dense_weight={weight}" if weight is not None else ""
    yield f'Use it: HybridSearcher(client, "{found.index}", encoder, fusion="{options["fusion"]}"{given})'


def _cell(figure: Figure, reference: Figure | None) -> Text:
    cell = Text(f"{figure.mean:.3f}{mark(figure, reference) if reference else ''}")
    cell.append(f"\n{figure.low:.3f}-{figure.high:.3f}", style="dim")
    return cell
