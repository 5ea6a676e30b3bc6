"""Read questions and facts: MedQuAD, The World Factbook, regulations of the CFPB, query-wellformedness."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from texts.prose import Section
from texts.xml_files import text_of, xml_files

LEAST_WORDS, PAIR_WORDS = 12, 25
_BLOCK = re.compile(r"\n\s*\n|(?<![\n ]) {6,}")
_BULLET = re.compile(r"^(?:Key Points\s+)?(?:-\s+)?")
_TAG = re.compile(r"<[^>]*>")
_PARAGRAPH = re.compile(r"<br\s*/?>|</p>|\+\+")
_NUMBERED = re.compile(r"^§+\s*[\d.]+\s*")


def medquad(folder: Path) -> Iterator[Section]:
    """Questions with their answers, and the questions whose answers are not in the collection."""
    for root in xml_files(folder, "*_QA/*.xml"):
        for pair in root.iter("QAPair"):
            question = text_of(pair.find("Question")).replace(" (are)", "")
            blocks = _BLOCK.split(text_of(pair.find("Answer")).strip())
            yield Section(question, [_BULLET.sub("", block.strip()) for block in blocks])


def factbook(folder: Path) -> Iterator[Section]:
    """Fields of at least 12 words of each country, as texts and, from 25 words, as pairs."""
    for path in sorted(folder.glob("*/*.json")):
        country = json.loads(path.read_text("utf-8"))
        name = _country_name(country)
        fields = [(key, text) for key, text in _fields(country) if text.count(" ") >= LEAST_WORDS - 1]
        if name:
            yield Section("", [f"{key} ({name}): {text}" for key, text in fields])
            for key, text in fields:
                if text.count(" ") >= PAIR_WORDS - 1:
                    yield Section(f"{key} of {name}", [text], in_texts=False)


def _country_name(country: dict[str, Any]) -> str:
    names = country.get("Government", {}).get("Country name", {})
    forms = (names.get(f"conventional {form} form", {}).get("text", "none") for form in ("short", "long"))
    return next((_TAG.sub("", form).strip() for form in forms if form != "none"), "")


def _fields(value: Any, key: str = "") -> Iterator[tuple[str, str]]:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _fields(inner, key if name == "text" else name)
    elif isinstance(value, str):
        yield key, " ".join(_TAG.sub(" ", _PARAGRAPH.sub(" ", value)).split())


def cfpb_regulations(folder: Path) -> Iterator[Section]:
    """Sections of each regulation's newest version, and the analyses in the notices."""
    notices = {path: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("stub/notice/*/*"))}
    dates = {(path.parent.name, path.name): str(one.get("effective_on")) for path, one in notices.items()}
    for part in sorted(folder.glob("stub/regulation/*")):
        newest = max(part.iterdir(), key=lambda path: (dates.get((part.name, path.name), ""), path.name))
        yield from _nodes(json.loads(newest.read_text("utf-8")))
    for notice in notices.values():
        yield from _analyses(notice.get("section_by_section") or [])


def _nodes(node: dict[str, Any]) -> Iterator[Section]:
    """Yield a section for each titled node, with the texts of the untitled ones below it."""
    yield Section(_NUMBERED.sub("", node.get("title") or ""), list(_own_texts(node)))
    yield from (section for child in _titled(node) for section in _nodes(child))


def _own_texts(node: dict[str, Any]) -> Iterator[str]:
    yield node.get("text", "").strip().removeprefix(node.get("marker") or "")
    for child in node.get("children", ()):
        if not child.get("title"):
            yield from _own_texts(child)


def _titled(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for child in node.get("children", ()):
        if child.get("title"):
            yield child
        else:
            yield from _titled(child)


def _analyses(parts: list[dict[str, Any]]) -> Iterator[Section]:
    for part in parts:
        paragraphs = [_TAG.sub("", paragraph) for paragraph in part.get("paragraphs", ())]
        yield Section(_TAG.sub("", part.get("title") or ""), paragraphs)
        yield from _analyses(part.get("children") or [])


def query_wellformedness(folder: Path) -> Iterator[Section]:
    """Questions alone; the second column is how well people found them formed."""
    for path in sorted(folder.glob("*.tsv")):
        for line in path.read_text("utf-8").splitlines():
            yield Section(line.partition("\t")[0], [])
