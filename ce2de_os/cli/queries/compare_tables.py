"""Tables of a comparison of runs, for people."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ce2de_os.cli.tables import plain_table
from ce2de_os.evaluation.comparison import (
    TOP_K,
    MetricFigure,
    RunComparison,
    is_better,
    is_equivalent,
)
from ce2de_os.evaluation.figures import PValue

_LANGUAGES_LEGEND = (
    "each language's documents in the rankings, judged by its relevant ones, tested by itself\n"
    f"top {TOP_K}: the language's share of the first {TOP_K} documents where all languages are ranked\n"
    "relevant: its share of the relevant documents; a system that shows more of it than that prefers it\n"
    "both are means over queries"
)


def print_tables(found: RunComparison) -> None:
    """Print to stdout: all systems, and each language alone if languages are known; what they mean below."""
    console = Console()
    console.print(systems_table(found))
    console.print(Text("\n".join(_legend(found)), style="dim"))
    if found.languages:
        console.print(languages_table(found))
        console.print(Text(_LANGUAGES_LEGEND, style="dim"))


def systems_table(found: RunComparison) -> Table:
    """Build a table of each system's metrics with intervals, and its tests against the baseline."""
    table = plain_table(f"quality over {found.queries:,} queries")
    table.add_column("system")
    for metric in found.metrics:
        table.add_column(metric, justify="right", no_wrap=True)
    for name, figures in found.figures.items():
        title = Text(name)
        if name == found.baseline:
            title.append("\nbaseline", style="dim")
        table.add_row(title, *(_cell(figures[metric], tests=True) for metric in found.metrics))
    return table


def languages_table(found: RunComparison) -> Table:
    """Build a table of each language alone, and how often it is ranked high."""
    table = plain_table("each language alone")
    table.add_column("system")
    for heading in (*found.metrics, f"top {TOP_K}"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in found.languages:
        title = Text(one.language, style="bold")
        title.append(f"\n{one.queries:,} queries", style="not bold dim")
        relevant = Text(f"relevant\n{one.relevant_share:.1%}", style="dim")
        table.add_row(title, *("" for _ in found.metrics), relevant)
        for name, share in one.ranked_shares.items():
            figures = one.figures.get(name)
            cells = [_cell(figures[metric]) if figures else Text("-") for metric in found.metrics]
            table.add_row(Text(name), *cells, f"{share:.1%}")
        table.add_section()
    return table


def notes(found: RunComparison) -> Iterator[str]:
    """Yield the reasons to doubt the figures."""
    for name, one in found.answers.items():
        if not one.relevant:
            yield (
                f"{name} finds no relevant document at all; do run and judgments name documents alike? "
                "Passages need --passages"
            )
        if one.missing:
            answered = found.queries - one.missing
            yield f"{name} answers {answered:,} of {found.queries:,} judged queries; the others count 0"
        deep = [metric for metric in found.metrics if one.depth < _depth(metric)]
        if deep:
            yield f"{name} ranks at most {one.depth:,} documents of a query; {', '.join(deep)} may be too low"
    for language in found.languages:
        if not language.queries:
            yield f"{language.language} has no relevant document: it is not measured alone"


def _legend(found: RunComparison) -> Iterator[str]:
    yield "below each mean its 95% bootstrap interval"
    if found.comparisons:
        times = f" ({found.comparisons} comparisons)" if found.comparisons > 1 else ""
        yield f"▲ p of a one-sided paired t-test: better than {found.baseline}"
        yield f"≈ p of a paired TOST: within ±{found.margin:g} of {found.baseline}"
        yield f"each with Bonferroni's correction{times}; next to the mean: p < 0.05"


def _cell(figure: MetricFigure, tests: bool = False) -> Text:
    marks = f"{'▲' if is_better(figure) else ''}{'≈' if is_equivalent(figure) else ''}"
    cell = Text(f"{figure.mean:.3f}{f' {marks}' if marks else ''}")
    cell.append(f"\n{figure.low:.3f}-{figure.high:.3f}", style="dim")
    if tests and figure.better and figure.equivalent:
        cell.append(f"\n▲ {_p(figure.better)} ≈ {_p(figure.equivalent)}", style="dim")
    return cell


def _p(test: PValue) -> str:
    if test.corrected < 0.001:
        return "<.001"
    return f"{test.corrected:.3f}".removeprefix("0") if test.corrected < 0.9995 else "1"


def _depth(metric: str) -> int:
    """Return the number of ranks that a metric reads; 0: all of them, as for MAP."""
    found = re.fullmatch(r".*@(\d+)", metric)
    return int(found[1]) if found else 0
