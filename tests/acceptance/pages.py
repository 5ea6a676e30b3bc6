"""The documents that users read, and what is in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SITE = ROOT / "docs"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    *sorted(SITE.rglob("*.md")),
]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
COMMAND = re.compile(
    r"^(?:\$ )?(?:[A-Z0-9_]+=\S+ )*(?:\S*/bin/)?((?:ce2de|make|docker compose|celery|python -m) .*)",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A code block of a page."""

    page: str
    language: str
    text: str
    output: str | None = None

    def __str__(self) -> str:
        return f"{self.page}: {self.text.strip().splitlines()[-1][:60]}"


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Block]:
    """The code blocks; ``output`` is that of a text block right behind a Python block."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in BLOCK.finditer(text):
        behind = re.match(r"\n\n```text\n(.*?)^```", text[match.end() :], re.MULTILINE | re.DOTALL)
        found.append(Block(name_of(page), match[1], match[2], behind[1] if behind else None))
    return found


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return BLOCK.sub("", page.read_text(encoding="utf-8"))


def typed(page: Path) -> list[str]:
    """The commands of a page, in its blocks and in its lines, without comments."""
    lines = []
    for block in blocks(page):
        for match in COMMAND.finditer(re.sub(r"\s*\\\n\s*", " ", block.text)):
            lines.append(re.split(r"\s{2,}", match[1])[0])  # what is behind several spaces explains it
    return lines + [match[1] for span in INLINE.findall(prose(page)) if (match := COMMAND.match(span))]
