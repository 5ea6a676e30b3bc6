"""Tables for people: how they look, and those of search results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from ce2de_os.records import Hit, Leg

TITLE_FIELDS = ("title", "name", "headline", "subject")
TITLE_CHARS, SNIPPET_CHARS = 70, 150
COLORS = ("green", "cyan", "magenta", "yellow", "blue", "red")


def plain_table(title: Text | str = "") -> Table:
    """Start a table with a line under its headings; title and caption are on the left."""
    return Table(
        title=Text(title, style="bold") if isinstance(title, str) and title else title or None,
        title_justify="left", caption_justify="left", box=box.SIMPLE_HEAD, pad_edge=False,
    )  # fmt: skip


def results_table(hits: Sequence[Hit], explain: bool = False) -> Table:
    """Build a table with one row per hit: rank, title and snippet, score, ranks of legs, and any logit.

    ``explain`` adds the legs' raw scores. A leg that did not return the document shows a dash.
    """
    reranked = any(hit.logit is not None for hit in hits)
    table = plain_table()
    table.add_column("#", justify="right", style="dim")
    table.add_column("document", ratio=1)
    table.add_column("score", justify="right")
    table.add_column("bm25", justify="right")
    table.add_column("dense", justify="right")
    if reranked:
        table.add_column("logit", justify="right")
    for hit in hits:
        cells = [_leg(hit.bm25, explain), _leg(hit.dense, explain)]
        if reranked:
            cells.append(Text("-" if hit.logit is None else f"{hit.logit:.3g}"))
        table.add_row(str(hit.rank), _document(hit), f"{hit.score:.4g}", *cells)
    return table


def compare_table(question: str, answers: Mapping[str, Sequence[Hit]]) -> Table:
    """Build a table of several modes' answers to one question, in the mapping's order.

    A document that more than one mode found bears the same letter and color in each of its columns.
    """
    letters = _letters(answers)
    table = Table(
        title=Text(_plain(question), style="bold"),
        title_justify="left",
        caption=Text("[A], [B], …: found by more than one mode") if letters else None,
        caption_justify="left",
        box=box.ROUNDED,
        show_lines=True,
        expand=True,
    )
    table.add_column("#", justify="right", style="dim")
    for mode in answers:
        table.add_column(mode, ratio=1)
    for row in range(max((len(hits) for hits in answers.values()), default=0)):
        cells = [_cell(mode, hits[row : row + 1], letters) for mode, hits in answers.items()]
        table.add_row(str(row + 1), *cells)
    return table


def title_of(hit: Hit) -> str:
    """Return the document's title on one line: a title field, else its first text, else its id."""
    texts = {name: _plain(value) for name, value in hit.source.items() if isinstance(value, str)}
    named = [texts[name] for name in TITLE_FIELDS if texts.get(name)]
    title = next((text for text in (*named, *texts.values()) if text), hit.doc_id)
    return _shorten(title, TITLE_CHARS)


def _letters(answers: Mapping[str, Sequence[Hit]]) -> dict[str, str]:
    """Assign a letter to each document that several modes found, in the order of reading."""
    by_rank = sorted((hit for hits in answers.values() for hit in hits), key=lambda hit: hit.rank)
    found = Counter(hit.doc_id for hit in by_rank)
    shared = [doc_id for doc_id, modes in found.items() if modes > 1]
    return dict(zip(shared, ascii_uppercase, strict=False))


def _cell(mode: str, hits: Sequence[Hit], letters: Mapping[str, str]) -> Text:
    """Build the cell of one hit, or an empty cell if a mode found fewer documents than another."""
    cell = Text()
    for hit in hits:
        letter = letters.get(hit.doc_id)
        color = COLORS[ascii_uppercase.index(letter) % len(COLORS)] if letter else ""
        if letter:
            cell.append(f"[{letter}] ", style=f"bold {color}")
        cell.append(title_of(hit), style=color)
        if mode == "hybrid":
            cell.append(f"\nbm25 {_rank(hit.bm25)} · dense {_rank(hit.dense)}", style="dim")
    return cell


def _document(hit: Hit) -> Text:
    title = title_of(hit)
    texts = [_plain(value) for value in hit.source.values() if isinstance(value, str)]
    # One word alone is a code such as a language, and no text.
    told = [text for text in texts if " " in text and _shorten(text, TITLE_CHARS) != title]
    snippet = max(told, key=len, default="")
    if hit.passage:
        snippet = _plain(hit.passage.text)
    document = Text(title, style="bold")
    document.append(f"  {_shorten(hit.doc_id, TITLE_CHARS)}", style="not bold dim")
    if snippet:
        document.append(f"\n{_shorten(snippet, SNIPPET_CHARS)}", style="not bold")
    return document


def _leg(leg: Leg | None, explain: bool) -> Text:
    raw = f"\n{leg.score:.4g}" if explain and leg else ""
    return Text(f"{_rank(leg)}{raw}", style="" if leg else "dim")


def _rank(leg: Leg | None) -> str:
    return f"#{leg.rank}" if leg else "-"


def _plain(value: Any) -> str:  # noqa: ANN401 - a field of any document
    """Put ``value`` on one line, without control characters, which could move a terminal's cursor."""
    printable = "".join(char if char.isprintable() else " " for char in str(value))
    return " ".join(printable.split())


def _shorten(text: str, chars: int) -> str:
    return text if len(text) <= chars else f"{text[: chars - 1].rstrip()}…"
