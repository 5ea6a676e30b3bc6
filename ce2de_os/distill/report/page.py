"""A report as data, and its two forms: one self-contained HTML file, and Markdown with PNG files.

Everything that comes from files is escaped here, and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from string import Template

from ce2de_os.distill.report.plots import Plot

_TEMPLATE = Path(__file__).parent / "report.html"


@dataclass(frozen=True)
class Cell:
    """A table cell: ``minor`` is set small after ``text``."""

    text: str
    minor: str = ""


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Missing:
    """A part that is not there; ``before`` says so, and the command is the subject of ``after``."""

    before: str
    command: str
    after: str


@dataclass(frozen=True)
class Tiles:
    """The figures that matter most: value and label."""

    tiles: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """``numbers`` aligns all columns but the first to the right; ``strong`` rows are emphasized.

    A header of empty names is not shown in HTML.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numbers: bool = True
    strong: frozenset[int] = frozenset()
    title: str = ""


@dataclass(frozen=True)
class Code:
    """Lines to be copied."""

    text: str


Block = Text | Missing | Tiles | Table | Code | Plot


@dataclass(frozen=True)
class Section:
    """A heading with its content."""

    title: str
    blocks: list[Block] = field(default_factory=list)


def to_html(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """Render the whole page as HTML."""
    body = "\n".join(
        (f"<section>\n<h2>{escape(section.title)}</h2>\n" if section.title else "<section>\n")
        + "\n".join(_html(block) for block in section.blocks)
        + "\n</section>"
        for section in sections
    )
    template = Template(_TEMPLATE.read_text(encoding="utf-8"))
    return template.substitute(title=escape(title), subtitle=escape(subtitle), body=body)


def to_markdown(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """Render the whole text as Markdown; plots are expected in the same folder as ``NAME.png``."""
    parts = [f"# {_plain(title)}", _plain(subtitle)]
    for section in sections:
        parts += [f"## {_plain(section.title)}"] if section.title else []
        parts += [_markdown(block) for block in section.blocks]
    return "\n\n".join(part for part in parts if part) + "\n"


def _html(block: Block) -> str:
    match block:
        case Text(text):
            return f"<p>{escape(text)}</p>"
        case Missing(before, command, after):
            return f'<p class="missing">{escape(before)} <code>{escape(command)}</code> {escape(after)}</p>'
        case Tiles(tiles):
            items = "".join(
                f"<div><strong>{escape(value)}</strong><span>{escape(label)}</span></div>"
                for value, label in tiles
            )
            return f'<div class="tiles">{items}</div>'
        case Table():
            return _html_table(block)
        case Code(text):
            return f"<pre><code>{escape(text)}</code></pre>"
        case Plot(svg=svg):
            return f"<figure>{svg}</figure>"


def _html_table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.header)
    rows = "\n".join(
        ('<tr class="strong">' if number in table.strong else "<tr>")
        + "".join(_html_cell(cell, first=not column) for column, cell in enumerate(row))
        + "</tr>"
        for number, row in enumerate(table.rows)
    )
    head = f"<thead><tr>{head}</tr></thead>" if any(table.header) else ""
    title = f"<caption>{escape(table.title)}</caption>" if table.title else ""
    kind = "numbers" if table.numbers else "words"
    return (
        f'<div class="table" tabindex="0"><table class="{kind}">{title}{head}'
        f"<tbody>\n{rows}\n</tbody></table></div>"
    )


def _html_cell(cell: Cell, *, first: bool) -> str:
    inner = escape(cell.text) + (f" <small>{escape(cell.minor)}</small>" if cell.minor else "")
    return f'<th scope="row">{inner}</th>' if first else f"<td>{inner}</td>"


def _markdown(block: Block) -> str:
    match block:
        case Text(text):
            return _plain(text)
        case Missing(before, command, after):
            return f"_{_plain(before)}_ {_code(command)} _{_plain(after)}_"
        case Tiles(tiles):
            return "\n".join(f"- **{_plain(value)}** {_plain(label)}" for value, label in tiles)
        case Table():
            return _markdown_table(block)
        case Code(text):
            return f"{_fence(text)}\n{text}\n{_fence(text)}"
        case Plot(name, alt):
            return f"![{_plain(alt)}]({name}.png)"


def _markdown_table(table: Table) -> str:
    align = "---:" if table.numbers else "---"
    lines = [
        "| " + " | ".join(_plain(name) or " " for name in table.header) + " |",
        "| " + " | ".join(["---", *[align] * (len(table.header) - 1)]) + " |",
    ]
    for number, row in enumerate(table.rows):
        cells = [
            f"**{_plain(cell.text)}**" if number in table.strong and cell.text else _plain(cell.text)
            for cell in row
        ]
        minors = [f" {_plain(cell.minor)}" if cell.minor else "" for cell in row]
        lines.append("| " + " | ".join(a + b for a, b in zip(cells, minors, strict=True)) + " |")
    title = f"**{_plain(table.title)}**\n\n" if table.title else ""
    return title + "\n".join(lines)


def _plain(text: str) -> str:
    """Put ``text`` on one line, escaped for Markdown and HTML."""
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", escape(" ".join(text.split()), quote=False))


def _code(text: str) -> str:
    """Format ``text`` as inline code, with any backticks in it."""
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " if len(ticks) > 1 else ""
    return f"{ticks}{pad}{text}{pad}{ticks}"


def _fence(text: str) -> str:
    return "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
